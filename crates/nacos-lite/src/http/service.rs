//! Services over HTTP: their list, and what an operator does with one, in the forms of version 1 and of version 3.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    client::Wrapped,
    instance::metadata,
    params::{Params, Trusted},
    problem::{Caused, Rejected},
};
use crate::{
    DEFAULT_GROUP, PUBLIC, ServiceKey,
    core::Core,
    state::{Definition, Denial, Described, Kind},
};

#[derive(Serialize)]
pub(super) struct Page {
    count: usize,
    doms: Vec<String>,
}

pub(super) async fn list(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Page>, Caused> {
    let page = params
        .required("pageNo")
        .and_then(|_| params.parsed("pageNo"))?
        .unwrap_or(1);
    let size = params
        .required("pageSize")
        .and_then(|_| params.parsed("pageSize"))?
        .unwrap_or(10);
    let namespace = params.optional("namespaceId").unwrap_or(PUBLIC);
    let group = params.optional("groupName").unwrap_or(DEFAULT_GROUP);
    let (count, doms) = core.with(|state, _| state.service_names(namespace, group, page, size));
    Ok(Json(Page { count, doms }))
}

/// What an operator asks for. A service that an operator makes takes persistent instances unless told otherwise.
enum Order {
    Create(Kind, Definition),
    Define(Definition),
    Remove,
}

impl Order {
    fn create(params: &Params) -> Result<Self, Caused> {
        let ephemeral = params.flag("ephemeral").unwrap_or(false);
        Ok(Self::Create(Kind::of(ephemeral), definition(params)?))
    }

    fn carry_out(self, core: &Core, key: &ServiceKey) -> Result<(), Denial> {
        core.with(|state, now| match self {
            Order::Create(kind, definition) => state.create_service(key, kind, definition, now),
            Order::Define(definition) => state.define_service(key, definition),
            Order::Remove => state.remove_service(key, now),
        })
    }
}

fn definition(params: &Params) -> Result<Definition, Caused> {
    let protect_threshold: f32 = params.parsed("protectThreshold")?.unwrap_or(0.0);
    // A share; and what is not finite has no form in JSON.
    if !(0.0..=1.0).contains(&protect_threshold) {
        return Err(Caused::bad_request(format!(
            "Param 'protectThreshold' is illegal, got '{protect_threshold}'."
        )));
    }
    Ok(Definition {
        protect_threshold,
        metadata: metadata(params)?,
    })
}

fn words(denial: &Denial, key: &ServiceKey) -> String {
    let name = key.grouped_name();
    match denial {
        Denial::AlreadyThere => format!("specified service {name} already exists!"),
        Denial::NotThere => format!("service {name} not found!"),
        Denial::NotEmpty => format!(
            "Service {name} is not empty, can't be delete. Please unregister instance first"
        ),
        Denial::Refused(_) => String::new(),
    }
}

fn nothing_to_show(key: &ServiceKey) -> String {
    format!(
        "service not found, namespace: {}, serviceName: {}",
        key.namespace,
        key.grouped_name()
    )
}

/// How real servers name the rule by which consumers would be told apart: there is none.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    #[serde(rename = "type")]
    kind: &'static str,
    context_type: &'static str,
}

const NO_SELECTOR: Selector = Selector {
    kind: "none",
    context_type: "NONE",
};

/// How real servers would probe persistent instances, which this one does not.
#[derive(Serialize)]
struct HealthChecker {
    #[serde(rename = "type")]
    kind: &'static str,
}

const TCP_CHECKER: HealthChecker = HealthChecker { kind: "TCP" };

pub(super) mod version_1 {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(in crate::http) struct Shown {
        namespace_id: String,
        group_name: String,
        name: String,
        protect_threshold: f32,
        metadata: BTreeMap<String, String>,
        selector: Selector,
        clusters: Vec<Cluster>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Cluster {
        name: String,
        health_checker: HealthChecker,
        metadata: BTreeMap<String, String>,
    }

    pub(in crate::http) async fn create(
        State(core): State<Arc<Core>>,
        Trusted(params): Trusted,
    ) -> Result<&'static str, Caused> {
        done(&core, &params, Order::create(&params)?)
    }

    pub(in crate::http) async fn define(
        State(core): State<Arc<Core>>,
        Trusted(params): Trusted,
    ) -> Result<&'static str, Caused> {
        params.required("protectThreshold")?;
        done(&core, &params, Order::Define(definition(&params)?))
    }

    pub(in crate::http) async fn remove(
        State(core): State<Arc<Core>>,
        Trusted(params): Trusted,
    ) -> Result<&'static str, Caused> {
        done(&core, &params, Order::Remove)
    }

    pub(in crate::http) async fn show(
        State(core): State<Arc<Core>>,
        Trusted(params): Trusted,
    ) -> Result<Json<Shown>, Caused> {
        let key = params.service()?;
        let found: Result<Described, _> = core.with(|state, _| state.describe_service(&key));
        let found = found.map_err(|_| Caused::bad_request(nothing_to_show(&key)))?;
        let cluster = |name| Cluster {
            name,
            health_checker: TCP_CHECKER,
            metadata: BTreeMap::new(),
        };
        Ok(Json(Shown {
            namespace_id: key.namespace,
            group_name: key.group,
            name: key.name,
            protect_threshold: found.definition.protect_threshold,
            metadata: found.definition.metadata,
            selector: NO_SELECTOR,
            clusters: found.clusters.into_iter().map(cluster).collect(),
        }))
    }

    fn done(core: &Core, params: &Params, order: Order) -> Result<&'static str, Caused> {
        let key = params.service()?;
        match order.carry_out(core, &key) {
            Ok(()) => Ok("ok"),
            Err(Denial::Refused(refusal)) => Err(refusal.into()),
            Err(denial) => Err(Caused::bad_request(words(&denial, &key))),
        }
    }
}

pub(super) mod version_3 {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(in crate::http) struct Shown {
        namespace_id: String,
        group_name: String,
        service_name: String,
        ephemeral: bool,
        protect_threshold: f32,
        metadata: BTreeMap<String, String>,
        selector: Selector,
        cluster_map: BTreeMap<String, Cluster>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Cluster {
        cluster_name: String,
        health_checker: HealthChecker,
        healthy_check_port: u16,
        use_instance_port_for_check: bool,
        metadata: BTreeMap<String, String>,
        hosts: Option<()>,
    }

    pub(in crate::http) async fn create(
        State(core): State<Arc<Core>>,
        Trusted(params): Trusted,
    ) -> Result<Json<Wrapped<&'static str>>, Rejected> {
        done(&core, &params, Order::create(&params)?)
    }

    pub(in crate::http) async fn define(
        State(core): State<Arc<Core>>,
        Trusted(params): Trusted,
    ) -> Result<Json<Wrapped<&'static str>>, Rejected> {
        done(&core, &params, Order::Define(definition(&params)?))
    }

    pub(in crate::http) async fn remove(
        State(core): State<Arc<Core>>,
        Trusted(params): Trusted,
    ) -> Result<Json<Wrapped<&'static str>>, Rejected> {
        done(&core, &params, Order::Remove)
    }

    pub(in crate::http) async fn show(
        State(core): State<Arc<Core>>,
        Trusted(params): Trusted,
    ) -> Result<Json<Wrapped<Shown>>, Rejected> {
        let key = params.service()?;
        let found: Result<Described, _> = core.with(|state, _| state.describe_service(&key));
        let found =
            found.map_err(|_| Rejected::new(21_008, "service not exist", nothing_to_show(&key)))?;
        Ok(Wrapped::success(Shown {
            namespace_id: key.namespace,
            group_name: key.group,
            service_name: key.name,
            ephemeral: found.kind == Kind::Ephemeral,
            protect_threshold: found.definition.protect_threshold,
            metadata: found.definition.metadata,
            selector: NO_SELECTOR,
            cluster_map: cluster_map(found.clusters),
        }))
    }

    fn cluster_map(names: BTreeSet<String>) -> BTreeMap<String, Cluster> {
        let cluster = |name: String| {
            let cluster = Cluster {
                cluster_name: name.clone(),
                health_checker: TCP_CHECKER,
                healthy_check_port: 80,
                use_instance_port_for_check: true,
                metadata: BTreeMap::new(),
                hosts: None,
            };
            (name, cluster)
        };
        names.into_iter().map(cluster).collect()
    }

    fn done(
        core: &Core,
        params: &Params,
        order: Order,
    ) -> Result<Json<Wrapped<&'static str>>, Rejected> {
        let key = params.service()?;
        order.carry_out(core, &key).map_err(|denial| {
            let reason = words(&denial, &key);
            match denial {
                Denial::AlreadyThere => Rejected::new(21_007, "service already exist", reason),
                Denial::NotThere => Rejected::new(21_008, "service not exist", reason),
                Denial::NotEmpty => Rejected::new(21_009, "service delete failure", reason),
                Denial::Refused(refusal) => refusal.into(),
            }
        })?;
        Ok(Wrapped::success("ok"))
    }
}
