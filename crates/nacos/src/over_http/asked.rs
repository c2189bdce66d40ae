//! What a message asks for, where both APIs take it in the same way.

use http::Method;

use super::{Call, Pairs};
use crate::{
    model::{Instance, ServiceName},
    wire::{self, Payload, WireError, instance_type},
};

/// The service that is queried, and its namespace.
pub(super) fn query(request: &Payload) -> Result<(String, ServiceName), WireError> {
    let asked: wire::ServiceQueryRequest = request.decode()?;
    let name = ServiceName::new(&asked.group_name, &asked.service_name);
    Ok((asked.namespace, name))
}

/// The service that is subscribed, and its namespace; none when a subscription is given up.
pub(super) fn subscription(request: &Payload) -> Result<Option<(String, ServiceName)>, WireError> {
    let asked: wire::SubscribeServiceRequest = request.decode()?;
    let name = ServiceName::new(&asked.group_name, &asked.service_name);
    Ok(asked.subscribe.then_some((asked.namespace, name)))
}

/// An instance that is registered or, by the method, removed.
pub(super) struct AskedInstance {
    pub(super) method: Method,
    pub(super) namespace: String,
    pub(super) name: ServiceName,
    pub(super) instance: Instance,
}

pub(super) fn instance(request: &Payload) -> Result<AskedInstance, WireError> {
    let asked: wire::InstanceRequest = request.decode()?;
    let is_removed = asked.r#type == instance_type::DEREGISTER;
    Ok(AskedInstance {
        method: if is_removed {
            Method::DELETE
        } else {
            Method::POST
        },
        name: ServiceName::new(&asked.group_name, &asked.service_name),
        namespace: asked.namespace,
        instance: Instance::from(asked.instance),
    })
}

/// The call that publishes a config; `config` names one in the API's own words.
pub(super) fn publishing(
    request: &Payload,
    path: &'static str,
    config: fn(String, String, String) -> Pairs,
) -> Result<Call, WireError> {
    let mut asked: wire::ConfigPublishRequest = request.decode()?;
    let mut pairs = config(asked.data_id, asked.group, asked.tenant);
    pairs.push(("content", asked.content));
    pairs.extend(asked.addition_map.remove("type").map(|kind| ("type", kind)));
    let mut call = Call::new(Method::POST, path).with(pairs);
    call.headers
        .extend(asked.cas_md5.map(|md5| ("casMd5", md5)));
    Ok(call)
}
