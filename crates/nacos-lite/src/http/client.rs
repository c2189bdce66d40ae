//! Version 3's client API, which is asked and never tells, and the admin paths that write configs.

use std::sync::Arc;

use axum::{Json, extract::State};
use pailou_nacos::wire::{ConfigQueryResponse, HostInfo, Response};
use serde::Serialize;

use super::{
    instance,
    params::{Params, Trusted},
    problem::{Caused, Rejected},
};
use crate::{
    ConfigKey, PUBLIC,
    core::Core,
    instance::DEFAULT_CLUSTER,
    names::check,
    state::{Beat, Publish},
};

const SUCCESS: i32 = 0;

/// There is no such config.
const NO_RESOURCE: i32 = 20_004;

/// A beat came for an instance that is not there: the client must register.
const NO_INSTANCE: i32 = 21_003;

/// An instance of a service that is not there cannot be edited.
const NO_SUCH_SERVICE: i32 = 21_004;

/// How this API wraps every answer.
#[derive(Serialize)]
pub(super) struct Wrapped<T> {
    code: i32,
    message: &'static str,
    data: Option<T>,
}

impl<T> Wrapped<T> {
    pub(super) fn success(data: T) -> Json<Self> {
        Json(Self {
            code: SUCCESS,
            message: "success",
            data: Some(data),
        })
    }

    fn failure(code: i32, message: &'static str) -> Json<Self> {
        Json(Self {
            code,
            message,
            data: None,
        })
    }
}

/// Registers, or takes a beat, which is a registration that says so.
pub(super) async fn register(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Wrapped<&'static str>>, Rejected> {
    if params.flag("heartBeat") != Some(true) {
        instance::put(&core, &params)?;
        return Ok(Wrapped::success("ok"));
    }
    let (key, (ip, port, _)) = (params.service()?, instance::place(&params)?);
    let beat = core.with(|state, now| state.beat(&key, &ip, port, None, now))?;
    Ok(match beat {
        Beat::Taken { .. } => Wrapped::success("ok"),
        Beat::Unknown => Wrapped::failure(NO_INSTANCE, "instance not found"),
    })
}

pub(super) async fn deregister(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Wrapped<&'static str>>, Caused> {
    instance::remove(&core, &params)?;
    Ok(Wrapped::success("ok"))
}

/// The console's change of an instance: the whole edit.
pub(super) async fn edit(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Wrapped<&'static str>>, Rejected> {
    let (key, place) = (params.service()?, instance::place(&params)?);
    let edit = instance::whole_edit(&params)?;
    if core.with(|state, now| state.edit(&key, place, edit, false, now)) {
        return Ok(Wrapped::success("ok"));
    }
    let reason = format!(
        "service not found, namespace: {namespace}, service: Service{{namespace='{namespace}', \
         group='{group}', name='{name}', ephemeral=true, revision=0}}",
        namespace = key.namespace,
        group = key.group,
        name = key.name
    );
    Err(Rejected::new(NO_SUCH_SERVICE, "instance error", reason))
}

/// The hosts alone: protection does not show. Without a cluster the default one is meant, which is not so in version 1;
/// a comma names none and so means all.
pub(super) async fn list(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Wrapped<Vec<HostInfo>>>, Caused> {
    let key = params.service()?;
    let clusters = params.optional("clusterName").unwrap_or(DEFAULT_CLUSTER);
    let healthy_only = params.flag("healthyOnly").unwrap_or(false);
    let info = core.with(|state, _| state.service_info(&key, clusters, healthy_only));
    Ok(Wrapped::success(info.hosts.unwrap_or_default()))
}

pub(super) async fn config(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Wrapped<ConfigQueryResponse>>, Caused> {
    let key = config_key(&params)?;
    let Some(stored) = core.with(|state, _| state.config(&key).cloned()) else {
        return Ok(Wrapped::failure(NO_RESOURCE, "resource not found"));
    };
    let mut found = ConfigQueryResponse {
        content: Some(stored.content.to_string()),
        encrypted_data_key: Some(String::new()),
        content_type: Some(stored.kind),
        md5: Some(stored.md5),
        last_modified: stored.modified,
        ..ConfigQueryResponse::default()
    };
    found.succeed(None);
    Ok(Wrapped::success(found))
}

pub(super) async fn publish(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Wrapped<bool>>, Caused> {
    let key = config_key(&params)?;
    let publish = Publish {
        content: params.raw("content").unwrap_or_default(),
        kind: params.optional("type"),
        if_md5: params.header("casMd5"),
    };
    core.with(|state, now| state.publish(&key, &publish, now))?;
    Ok(Wrapped::success(true))
}

pub(super) async fn remove(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Wrapped<bool>>, Caused> {
    let key = config_key(&params)?;
    core.with(|state, now| state.remove_config(&key, now));
    Ok(Wrapped::success(true))
}

fn config_key(params: &Params) -> Result<ConfigKey, Caused> {
    let namespace = params.optional("namespaceId").unwrap_or(PUBLIC);
    let (group, data_id) = (params.required("groupName")?, params.required("dataId")?);
    let key = ConfigKey::new(namespace, group, data_id);
    check::config(&key).map_err(Caused::bad_request)?;
    Ok(key)
}
