//! HTTP v3: the client API of Nacos since 3.0, and of its admin API what a client lacks there.
//!
//! It cannot hold questions, so everything is polled. It does not tell of protection, so `healthy` may be wrong without notice.

use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Beat, Call, Pairs, Translated,
    answer::{self, Reply},
    asked::{self, AskedInstance},
    v1,
};
use crate::{
    error::Error,
    model::{Instance, ServiceName},
    wire::{self, Message, Payload, WireError},
};

const INSTANCE: &str = "/nacos/v3/client/ns/instance";
const LIST: &str = "/nacos/v3/client/ns/instance/list";
const CONFIG: &str = "/nacos/v3/client/cs/config";
const SERVICES: &str = "/nacos/v3/admin/ns/service/list";
const ADMIN_CONFIG: &str = "/nacos/v3/admin/cs/config";

const SUCCESS: i32 = 0;

/// There is no such config.
const NO_RESOURCE: i32 = 20_004;

/// The server does not know the instance that a beat is for.
const NO_INSTANCE: i32 = 21_003;

pub(super) fn translate(request: &Payload) -> Result<Translated, WireError> {
    Ok(match request.kind() {
        wire::ServiceQueryRequest::KIND => {
            let (namespace, name) = asked::query(request)?;
            Translated::Call(list(&namespace, &name), state::<wire::QueryServiceResponse>)
        }
        wire::SubscribeServiceRequest::KIND => match asked::subscription(request)? {
            Some((namespace, name)) => Translated::Call(
                list(&namespace, &name),
                state::<wire::SubscribeServiceResponse>,
            ),
            None => Translated::Done(answer::success::<wire::SubscribeServiceResponse>()),
        },
        wire::InstanceRequest::KIND => {
            let AskedInstance {
                method,
                namespace,
                name,
                instance: host,
            } = asked::instance(request)?;
            Translated::Call(
                instance(method, &namespace, &name, &host, false),
                done::<wire::InstanceResponse>,
            )
        }
        wire::ServiceListRequest::KIND => {
            let asked: wire::ServiceListRequest = request.decode()?;
            let pairs = vec![
                ("pageNo", asked.page_no.to_string()),
                ("pageSize", asked.page_size.to_string()),
                ("namespaceId", asked.namespace),
                ("groupNameParam", asked.group_name),
            ];
            Translated::Call(Call::new(Method::GET, SERVICES).with(pairs), read_services)
        }
        wire::ConfigQueryRequest::KIND => {
            let asked: wire::ConfigQueryRequest = request.decode()?;
            let pairs = config(asked.data_id, asked.group, asked.tenant);
            Translated::Call(Call::new(Method::GET, CONFIG).with(pairs), read_config)
        }
        wire::ConfigPublishRequest::KIND => {
            let call = asked::publishing(request, ADMIN_CONFIG, config)?;
            Translated::Call(call, done::<wire::ConfigPublishResponse>)
        }
        wire::ConfigRemoveRequest::KIND => {
            let asked: wire::ConfigRemoveRequest = request.decode()?;
            let pairs = config(asked.data_id, asked.group, asked.tenant);
            let call = Call::new(Method::DELETE, ADMIN_CONFIG).with(pairs);
            Translated::Call(call, done::<wire::ConfigRemoveResponse>)
        }
        // There is no listening: the configs are polled.
        wire::ConfigBatchListenRequest::KIND => {
            Translated::Done(answer::success::<wire::ConfigChangeBatchListenResponse>())
        }
        other => Translated::Done(answer::no_handler(other)),
    })
}

/// The question whether the server is there.
pub(super) fn probe() -> Call {
    list(wire::PUBLIC, &ServiceName::new("", "pailou-probe"))
}

fn list(namespace: &str, name: &ServiceName) -> Call {
    let mut pairs = service(namespace, name);
    pairs.push(("healthyOnly", "false".into()));
    // Without it only the cluster `DEFAULT` is listed; a list of no clusters is no filter.
    pairs.push(("clusterName", ",".into()));
    Call::new(Method::GET, LIST).with(pairs)
}

/// Registers, removes, or sends a beat, which is a registration that says so.
pub(super) fn instance(
    method: Method,
    namespace: &str,
    name: &ServiceName,
    instance: &Instance,
    is_beat: bool,
) -> Call {
    let mut pairs = service(namespace, name);
    pairs.extend([
        ("ip", instance.ip.clone()),
        ("port", instance.port.to_string()),
        ("clusterName", instance.cluster.clone()),
        ("ephemeral", instance.ephemeral.to_string()),
    ]);
    if method == Method::POST {
        pairs.extend([
            ("weight", instance.weight.to_string()),
            ("enabled", instance.enabled.to_string()),
            ("healthy", instance.healthy.to_string()),
            ("metadata", v1::metadata(instance)),
            ("heartBeat", is_beat.to_string()),
        ]);
    }
    Call::new(method, INSTANCE).with(pairs)
}

/// How every answer of this API is wrapped.
#[derive(Deserialize)]
struct Wrapped<T> {
    code: i32,
    #[serde(default)]
    message: Option<String>,
    data: Option<T>,
}

/// What an answer brings, when it calls itself a success.
fn data<T: DeserializeOwned>(reply: Reply) -> Result<T, Error> {
    let reply = reply.success()?;
    succeeded(&reply)?.ok_or_else(|| reply.malformed("a success without data"))
}

/// A success that need not bring anything.
fn done<R: wire::Response + Default>(reply: Reply) -> Result<Payload, Error> {
    succeeded::<Value>(&reply.success()?).map(|_| answer::success::<R>())
}

fn succeeded<T: DeserializeOwned>(reply: &Reply) -> Result<Option<T>, Error> {
    let wrapped: Wrapped<T> = reply.json()?;
    if wrapped.code == SUCCESS {
        return Ok(wrapped.data);
    }
    let message = wrapped.message.unwrap_or_default();
    Err(answer::refused(reply.operation, wrapped.code, message))
}

/// The hosts, not read yet.
pub(super) fn read_hosts(reply: Reply) -> Result<Vec<Value>, Error> {
    data(reply)
}

fn state<R: Message>(reply: Reply) -> Result<Payload, Error> {
    let info = serde_json::json!({ "hosts": read_hosts(reply)? });
    Ok(answer::success_with::<R>("serviceInfo", &info.to_string()))
}

fn read_services(reply: Reply) -> Result<Payload, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        total_count: i64,
        page_items: Vec<Service>,
    }
    #[derive(Deserialize)]
    struct Service {
        name: String,
    }
    let page: Page = data(reply)?;
    let mut response = wire::ServiceListResponse {
        count: page.total_count,
        service_names: page.page_items.into_iter().map(|item| item.name).collect(),
        ..Default::default()
    };
    wire::Response::succeed(&mut response, None);
    Ok(Payload::new(&response))
}

/// The answer holds what gRPC answers.
fn read_config(reply: Reply) -> Result<Payload, Error> {
    if let Ok(Wrapped::<Value> {
        code: NO_RESOURCE, ..
    }) = reply.json()
    {
        return Ok(answer::no_config());
    }
    let mut response: wire::ConfigQueryResponse = data(reply)?;
    wire::Response::succeed(&mut response, None);
    Ok(Payload::new(&response))
}

pub(super) fn read_beat(reply: Reply) -> Result<Beat, Error> {
    match reply.json() {
        Ok(Wrapped::<Value> {
            code: NO_INSTANCE, ..
        }) => Ok(Beat::Unknown),
        _ => succeeded::<Value>(&reply.success()?).map(|_| Beat::Taken {
            interval_ms: None,
            light: false,
        }),
    }
}

fn service(namespace: &str, name: &ServiceName) -> Pairs {
    vec![
        ("namespaceId", namespace.to_owned()),
        ("groupName", name.group.to_string()),
        ("serviceName", name.name.to_string()),
    ]
}

fn config(data_id: String, group: String, tenant: String) -> Pairs {
    let namespace = if tenant.is_empty() {
        wire::PUBLIC.to_owned()
    } else {
        tenant
    };
    vec![
        ("namespaceId", namespace),
        ("groupName", group),
        ("dataId", data_id),
    ]
}

#[cfg(test)]
mod tests;
