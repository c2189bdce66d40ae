//! Instances over HTTP: kept alive by beats, edited by operators.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, response::IntoResponse};
use pailou_nacos::wire::ServiceInfo;
use serde::{Deserialize, Serialize};

use super::{
    params::{Params, Trusted},
    problem::Caused,
};
use crate::{
    Instance,
    core::Core,
    instance::{BEAT_INTERVAL, DEFAULT_CLUSTER},
    names::check,
    state::{Beat, Edit, Owner},
};

/// A beat was taken.
const BEAT_TAKEN: i32 = 10_200;

/// A beat without the instance's data came for an instance that is not there: the client must register.
const BEAT_UNKNOWN: i32 = 20_404;

/// Weights that Nacos accepts.
const WEIGHTS: std::ops::RangeInclusive<f64> = 0.0..=10_000.0;

pub(super) async fn register(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<&'static str, Caused> {
    put(&core, &params)?;
    Ok("ok")
}

/// Registers the instance that the parameters describe.
pub(super) fn put(core: &Core, params: &Params) -> Result<(), Caused> {
    let (key, (ip, port, cluster)) = (params.service()?, place(params)?);
    let instance = Instance {
        ephemeral: is_ephemeral(params),
        weight: weight(params)?.unwrap_or(1.0),
        healthy: params.flag("healthy").unwrap_or(true),
        enabled: enabled(params).unwrap_or(true),
        cluster,
        metadata: metadata(params)?,
        ..Instance::new(ip, port)
    };
    check::instance(&instance).map_err(Caused::bad_request)?;
    check::beats(&instance).map_err(Caused::bad_request)?;
    let owner = Owner::over_http(&instance);
    core.with(|state, now| state.register(owner, &key, vec![instance], now))?;
    Ok(())
}

/// Removes the instance that the parameters name; whether there was one makes no difference to the client.
pub(super) fn remove(core: &Core, params: &Params) -> Result<(), Caused> {
    let (key, (ip, port, cluster)) = (params.service()?, place(params)?);
    let owner = Owner::over_http(&Instance {
        ephemeral: is_ephemeral(params),
        cluster,
        ..Instance::new(ip, port)
    });
    core.with(|state, now| state.deregister(&owner, &key, now));
    Ok(())
}

pub(super) async fn deregister(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<&'static str, Caused> {
    remove(&core, &params)?;
    Ok("ok")
}

/// What is not given is set to its default, as on real servers: a `PUT` is the whole edit.
pub(super) async fn replace_edit(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<&'static str, Caused> {
    apply(&core, &params, whole_edit(&params)?, false)
}

pub(super) fn whole_edit(params: &Params) -> Result<Edit, Caused> {
    Ok(Edit {
        enabled: Some(enabled(params).unwrap_or(true)),
        weight: Some(weight(params)?.unwrap_or(1.0)),
        metadata: metadata(params)?,
    })
}

/// Changes what is given.
pub(super) async fn merge_edit(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<&'static str, Caused> {
    let edit = Edit {
        enabled: enabled(&params),
        weight: weight(&params)?,
        metadata: metadata(&params)?,
    };
    apply(&core, &params, edit, true)
}

fn apply(core: &Core, params: &Params, edit: Edit, merge: bool) -> Result<&'static str, Caused> {
    let (key, place) = (params.service()?, place(params)?);
    if core.with(|state, now| state.edit(&key, place, edit, merge, now)) {
        return Ok("ok");
    }
    Err(Caused::bad_request(format!(
        "service not found, namespace: {}, serviceName: {}",
        key.namespace,
        key.grouped_name()
    )))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneInstance {
    service: String,
    ip: String,
    port: u16,
    cluster_name: String,
    weight: f64,
    healthy: bool,
    instance_id: Option<String>,
    metadata: BTreeMap<String, String>,
}

pub(super) async fn show(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<impl IntoResponse, Caused> {
    let key = params.service()?;
    let (ip, port, default_cluster) = place(&params)?;
    let cluster = params
        .optional("cluster")
        .map_or(default_cluster, str::to_owned);
    let hosts = core
        .with(|state, _| state.service_info(&key, "", false))
        .hosts
        .unwrap_or_default();
    if hosts.is_empty() {
        let reason = format!(
            "no ips found for cluster {cluster} in service {}",
            key.grouped_name()
        );
        return Err(Caused::not_found(reason));
    }
    let found = hosts
        .into_iter()
        .find(|host| host.ip == ip && host.port == port && host.cluster_name == cluster);
    let host = found.ok_or_else(|| Caused::not_found("no matched ip found!"))?;
    Ok(Json(OneInstance {
        service: key.grouped_name(),
        ip: host.ip,
        port: host.port,
        cluster_name: host.cluster_name,
        weight: host.weight,
        healthy: host.healthy,
        instance_id: host.instance_id,
        metadata: host.metadata,
    }))
}

pub(super) async fn list(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<ServiceInfo>, Caused> {
    let key = params.service()?;
    let (clusters, healthy_only) = (
        params.optional("clusters").unwrap_or_default(),
        params.flag("healthyOnly"),
    );
    let mut info =
        core.with(|state, _| state.service_info(&key, clusters, healthy_only.unwrap_or(false)));
    info.name = key.grouped_name();
    Ok(Json(info))
}

/// What a full beat says of the instance.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BeatBody {
    ip: String,
    port: u16,
    #[serde(default)]
    weight: Option<f64>,
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BeatAnswer {
    client_beat_interval: u128,
    code: i32,
    light_beat_enabled: bool,
}

pub(super) async fn beat(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<BeatAnswer>, Caused> {
    let key = params.service()?;
    let full = match params.optional("beat") {
        Some(json) => Some(full_beat(json, &params)?),
        None => None,
    };
    let (ip, port) = match &full {
        Some(instance) => (instance.ip.clone(), instance.port),
        None => (
            params.required("ip")?.to_owned(),
            params.parsed("port")?.unwrap_or(0),
        ),
    };
    let (code, interval) = match core.with(|state, now| state.beat(&key, &ip, port, full, now))? {
        Beat::Taken { interval } => (BEAT_TAKEN, interval),
        Beat::Unknown => (BEAT_UNKNOWN, BEAT_INTERVAL),
    };
    Ok(Json(BeatAnswer {
        client_beat_interval: interval.as_millis(),
        code,
        light_beat_enabled: true,
    }))
}

fn full_beat(json: &str, params: &Params) -> Result<Instance, Caused> {
    let body: BeatBody = serde_json::from_str(json)
        .map_err(|error| Caused::bad_request(format!("Param 'beat' is illegal: {error}.")))?;
    let cluster = body.cluster.filter(|cluster| !cluster.is_empty());
    let cluster = cluster
        .as_deref()
        .or(params.optional("clusterName"))
        .unwrap_or(DEFAULT_CLUSTER)
        .to_owned();
    let instance = Instance {
        weight: body.weight.unwrap_or(1.0),
        cluster,
        metadata: body.metadata.unwrap_or_default(),
        ..Instance::new(body.ip, body.port)
    };
    check::instance(&instance).map_err(Caused::bad_request)?;
    Ok(instance)
}

pub(super) fn place(params: &Params) -> Result<(String, u16, String), Caused> {
    let port = params
        .required("port")
        .and_then(|_| params.parsed("port"))?
        .unwrap_or(0);
    let cluster = params.optional("clusterName").unwrap_or(DEFAULT_CLUSTER);
    Ok((params.required("ip")?.to_owned(), port, cluster.to_owned()))
}

/// What is not said to be persistent is ephemeral.
fn is_ephemeral(params: &Params) -> bool {
    params.flag("ephemeral").unwrap_or(true)
}

/// `enabled`, or `enable` as older clients say.
fn enabled(params: &Params) -> Option<bool> {
    params.flag("enabled").or_else(|| params.flag("enable"))
}

fn weight(params: &Params) -> Result<Option<f64>, Caused> {
    match params.parsed::<f64>("weight")? {
        Some(weight) if !WEIGHTS.contains(&weight) => Err(Caused::bad_request(format!(
            "instance format invalid: The weights range from {} to {}",
            WEIGHTS.start(),
            WEIGHTS.end()
        ))),
        weight => Ok(weight),
    }
}

/// A JSON object, or `key=value,key=value`.
pub(super) fn metadata(params: &Params) -> Result<BTreeMap<String, String>, Caused> {
    let Some(text) = params.optional("metadata") else {
        return Ok(BTreeMap::new());
    };
    if let Ok(metadata) = serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text) {
        let as_text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        return Ok(metadata
            .into_iter()
            .map(|(key, value)| (key, as_text(value)))
            .collect());
    }
    let pairs = text.split(',').map(|pair| {
        pair.split_once('=')
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    });
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| Caused::bad_request(format!("metadata format incorrect:{text}")))
}
