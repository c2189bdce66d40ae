//! HTTP v1, the API of Nacos 1.x, which servers up to 3.1 still have.

use std::time::Duration;

use http::Method;
use serde::Deserialize;

use super::{
    Beat, Call, Pairs, Translated,
    answer::{self, Reply},
    asked::{self, AskedInstance},
};
use crate::{
    error::Error,
    model::{ConfigName, Instance, ServiceName},
    wire::{self, Message, Payload, WireError},
};

/// How long a server is asked to hold a question for changes; it takes half a second less, and 10 s at least.
pub(crate) const LISTENER_HOLD: Duration = Duration::from_secs(30);

pub(super) const LISTENER: &str = "config listener";

const INSTANCE: &str = "/nacos/v1/ns/instance";
const LIST: &str = "/nacos/v1/ns/instance/list";
const BEAT: &str = "/nacos/v1/ns/instance/beat";
const SERVICES: &str = "/nacos/v1/ns/service/list";
const CONFIGS: &str = "/nacos/v1/cs/configs";
const LISTEN: &str = "/nacos/v1/cs/configs/listener";

/// Between the fields of a listened config.
const WORD: char = '\u{2}';

/// After each listened config.
const LINE: char = '\u{1}';

/// The server does not know the instance that a light beat is for.
const BEAT_UNKNOWN: i32 = 20_404;

/// A beat was taken.
const BEAT_TAKEN: i32 = 10_200;

/// A config and the hash of what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) name: ConfigName,
    pub(crate) tenant: String,
    pub(crate) md5: String,
}

pub(super) fn translate(request: &Payload) -> Result<Translated, WireError> {
    Ok(match request.kind() {
        wire::ServiceQueryRequest::KIND => {
            let (namespace, name) = asked::query(request)?;
            Translated::Call(
                list(&namespace, &name),
                read_hosts::<wire::QueryServiceResponse>,
            )
        }
        wire::SubscribeServiceRequest::KIND => match asked::subscription(request)? {
            Some((namespace, name)) => Translated::Call(
                list(&namespace, &name),
                read_hosts::<wire::SubscribeServiceResponse>,
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
            Translated::Call(instance(method, &namespace, &name, &host), |reply| {
                reply
                    .success()
                    .map(|_| answer::success::<wire::InstanceResponse>())
            })
        }
        wire::ServiceListRequest::KIND => {
            let asked: wire::ServiceListRequest = request.decode()?;
            let pairs = vec![
                ("pageNo", asked.page_no.to_string()),
                ("pageSize", asked.page_size.to_string()),
                ("namespaceId", asked.namespace),
                ("groupName", asked.group_name),
            ];
            Translated::Call(Call::new(Method::GET, SERVICES).with(pairs), read_services)
        }
        wire::ConfigQueryRequest::KIND => {
            let asked: wire::ConfigQueryRequest = request.decode()?;
            let pairs = config(asked.data_id, asked.group, asked.tenant);
            Translated::Call(Call::new(Method::GET, CONFIGS).with(pairs), read_config)
        }
        wire::ConfigPublishRequest::KIND => {
            let call = asked::publishing(request, CONFIGS, config)?;
            Translated::Call(call, |reply| {
                read_flag(reply).map(|()| answer::success::<wire::ConfigPublishResponse>())
            })
        }
        wire::ConfigRemoveRequest::KIND => {
            let asked: wire::ConfigRemoveRequest = request.decode()?;
            let pairs = config(asked.data_id, asked.group, asked.tenant);
            Translated::Call(Call::new(Method::DELETE, CONFIGS).with(pairs), |reply| {
                read_flag(reply).map(|()| answer::success::<wire::ConfigRemoveResponse>())
            })
        }
        wire::ConfigBatchListenRequest::KIND => {
            let asked: wire::ConfigBatchListenRequest = request.decode()?;
            if !asked.listen || asked.config_listen_contexts.is_empty() {
                let done = answer::success::<wire::ConfigChangeBatchListenResponse>();
                return Ok(Translated::Done(done));
            }
            let held: Vec<Held> = asked
                .config_listen_contexts
                .into_iter()
                .map(|context| Held {
                    name: ConfigName::new(&context.group, &context.data_id),
                    tenant: context.tenant,
                    md5: context.md5,
                })
                .collect();
            Translated::Call(listener(&held, None), |reply| {
                let mut response = wire::ConfigChangeBatchListenResponse {
                    changed_configs: read_changes(&reply)?,
                    ..Default::default()
                };
                wire::Response::succeed(&mut response, None);
                Ok(Payload::new(&response))
            })
        }
        other => Translated::Done(answer::no_handler(other)),
    })
}

/// The question whether the server is there.
pub(super) fn probe() -> Call {
    list(wire::PUBLIC, &ServiceName::new("", "pailou-probe"))
}

/// Something else may answer there: only a list of hosts is an answer.
pub(super) fn read_probe(reply: Reply) -> Result<(), Error> {
    let reply = reply.success()?;
    let info: wire::ServiceInfo = reply.json()?;
    let hosts = info.hosts.map(drop);
    hosts.ok_or_else(|| reply.malformed("no host list"))
}

fn list(namespace: &str, name: &ServiceName) -> Call {
    Call::new(Method::GET, LIST).with(vec![
        ("serviceName", name.to_string()),
        ("groupName", name.group.to_string()),
        ("namespaceId", namespace.to_owned()),
        ("healthyOnly", "false".into()),
    ])
}

fn instance(method: Method, namespace: &str, name: &ServiceName, instance: &Instance) -> Call {
    let mut pairs = place(namespace, name, instance);
    pairs.push(("groupName", name.group.to_string()));
    if method == Method::POST {
        pairs.extend([
            ("weight", instance.weight.to_string()),
            ("enabled", instance.enabled.to_string()),
            ("healthy", instance.healthy.to_string()),
            ("metadata", metadata(instance)),
        ]);
    }
    Call::new(method, INSTANCE).with(pairs)
}

/// A beat. The first one, and each one where the server does not say that less will do, carries the whole instance.
pub(super) fn beat(namespace: &str, name: &ServiceName, instance: &Instance, light: bool) -> Call {
    let mut pairs = place(namespace, name, instance);
    if !light {
        let beat = serde_json::json!({
            "serviceName": name.to_string(),
            "ip": instance.ip,
            "port": instance.port,
            "cluster": instance.cluster,
            "weight": instance.weight,
            "metadata": instance.metadata,
            "scheduled": false,
            "stopped": false,
        });
        pairs.push(("beat", beat.to_string()));
    }
    Call::new(Method::PUT, BEAT).with(pairs)
}

/// Asks which configs differ from these: at once, or when one does within this time.
pub(super) fn listener(held: &[Held], hold: Option<Duration>) -> Call {
    let line = |held: &Held| {
        let ConfigName { group, data_id } = &held.name;
        let mut line = format!("{data_id}{WORD}{group}{WORD}{}", held.md5);
        if !held.tenant.is_empty() {
            line.push(WORD);
            line.push_str(&held.tenant);
        }
        line.push(LINE);
        line
    };
    let lines: String = held.iter().map(line).collect();
    let mut call = Call::new(Method::POST, LISTEN).with(vec![("Listening-Configs", lines)]);
    let timeout = hold.unwrap_or(LISTENER_HOLD).as_millis().to_string();
    call.headers.push(("Long-Pulling-Timeout", timeout));
    if hold.is_none() {
        call.headers
            .push(("Long-Pulling-Timeout-No-Hangup", "true".into()));
    }
    call
}

/// The changed configs: `dataId ^2 group [^2 tenant] ^1` for each, the whole URL-encoded; nothing when none did.
pub(super) fn read_changes(reply: &Reply) -> Result<Vec<wire::ChangedConfig>, Error> {
    if !reply.status.is_success() {
        return Err(reply.failure());
    }
    let text = reply.text()?.trim();
    // It holds neither `&` nor `=`, so that it is one name without a value.
    let decoded = form_urlencoded::parse(text.as_bytes()).next();
    let decoded = decoded.map(|(name, _)| name).unwrap_or_default();
    decoded
        .split(LINE)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut words = line.split(WORD).map(str::to_owned);
            let (Some(data_id), Some(group)) = (words.next(), words.next()) else {
                return Err(reply.malformed("a changed config without a group"));
            };
            Ok(wire::ChangedConfig {
                data_id,
                group,
                tenant: words.next(),
            })
        })
        .collect()
}

/// The body is what a gRPC message holds; it is read with it.
fn read_hosts<R: Message>(reply: Reply) -> Result<Payload, Error> {
    let reply = reply.success()?;
    Ok(answer::success_with::<R>("serviceInfo", reply.text()?))
}

fn read_services(reply: Reply) -> Result<Payload, Error> {
    #[derive(Deserialize)]
    struct Page {
        count: i64,
        doms: Vec<String>,
    }
    let reply = reply.success()?;
    let page: Page = reply.json()?;
    let mut response = wire::ServiceListResponse {
        count: page.count,
        service_names: page.doms,
        ..Default::default()
    };
    wire::Response::succeed(&mut response, None);
    Ok(Payload::new(&response))
}

/// Only these words say that there is no such config: a bare 404 may come of a server that has no v1 any more.
fn read_config(reply: Reply) -> Result<Payload, Error> {
    if reply.status.as_u16() == 404 && reply.text()?.contains("config data not exist") {
        return Ok(answer::no_config());
    }
    let reply = reply.success()?;
    let mut response = wire::ConfigQueryResponse {
        content: Some(reply.text()?.to_owned()),
        content_type: reply.header("Config-Type"),
        md5: reply.header("Content-MD5"),
        encrypted_data_key: reply.header("Encrypted-Data-Key"),
        ..Default::default()
    };
    wire::Response::succeed(&mut response, None);
    Ok(Payload::new(&response))
}

fn read_flag(reply: Reply) -> Result<(), Error> {
    let reply = reply.success()?;
    match reply.text()?.trim() {
        "true" => Ok(()),
        other => Err(answer::refused(
            reply.operation,
            wire::code::FAIL,
            other.chars().take(80).collect(),
        )),
    }
}

pub(super) fn read_beat(reply: Reply) -> Result<Beat, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        /// Absent before 1.2, when there was no other answer.
        #[serde(default)]
        code: Option<i32>,
        #[serde(default)]
        client_beat_interval: Option<u64>,
        #[serde(default)]
        light_beat_enabled: Option<bool>,
    }
    let reply = reply.success()?;
    let answer: Answer = reply.json()?;
    match answer.code.unwrap_or(BEAT_TAKEN) {
        BEAT_UNKNOWN => Ok(Beat::Unknown),
        BEAT_TAKEN => Ok(Beat::Taken {
            interval_ms: answer.client_beat_interval,
            light: answer.light_beat_enabled.unwrap_or(false),
        }),
        code => Err(answer::refused(reply.operation, code, String::new())),
    }
}

fn place(namespace: &str, name: &ServiceName, instance: &Instance) -> Pairs {
    vec![
        ("serviceName", name.to_string()),
        ("namespaceId", namespace.to_owned()),
        ("ip", instance.ip.clone()),
        ("port", instance.port.to_string()),
        ("clusterName", instance.cluster.clone()),
        ("ephemeral", instance.ephemeral.to_string()),
    ]
}

pub(super) fn metadata(instance: &Instance) -> String {
    serde_json::json!(instance.metadata).to_string()
}

fn config(data_id: String, group: String, tenant: String) -> Pairs {
    let mut pairs = vec![("dataId", data_id), ("group", group)];
    if !tenant.is_empty() {
        pairs.push(("tenant", tenant));
    }
    pairs
}

#[cfg(test)]
mod tests;
