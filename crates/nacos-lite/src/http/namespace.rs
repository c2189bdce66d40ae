//! Namespaces: in version 1's form and in that of version 3's admin API.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

use super::params::Trusted;
use super::problem::Caused;
use crate::{PUBLIC, core::Core};

#[derive(Serialize)]
pub(super) struct Listed {
    code: i32,
    message: Option<&'static str>,
    data: Vec<Namespace>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Namespace {
    namespace: String,
    namespace_show_name: String,
    quota: u32,
    config_count: usize,
    #[serde(rename = "type")]
    kind: u8,
}

pub(super) async fn version_1(State(core): State<Arc<Core>>, Trusted(_): Trusted) -> Json<Listed> {
    Json(Listed {
        code: 200,
        message: None,
        data: namespaces(&core, ""),
    })
}

pub(super) async fn version_3(State(core): State<Arc<Core>>, Trusted(_): Trusted) -> Json<Listed> {
    Json(Listed {
        code: 0,
        message: Some("success"),
        data: namespaces(&core, PUBLIC),
    })
}

pub(super) async fn create(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<&'static str, Caused> {
    let name = params.required("namespaceName")?.to_owned();
    let id = params
        .optional("customNamespaceId")
        .map_or_else(|| format!("{:032x}", fastrand::u128(..)), str::to_owned);
    let is_new = core.with(|state, _| state.create_namespace(id, name))?;
    Ok(if is_new { "true" } else { "false" })
}

/// The default one first, whose id differs by version.
fn namespaces(core: &Core, id_of_public: &str) -> Vec<Namespace> {
    core.with(|state, _| {
        let namespace = |id: &str, tenant: &str, name: &str, kind| Namespace {
            namespace: id.to_owned(),
            namespace_show_name: name.to_owned(),
            quota: 200,
            config_count: state.configs_of(tenant),
            kind,
        };
        let public = namespace(id_of_public, PUBLIC, PUBLIC, 0);
        let created = state
            .namespaces()
            .map(|(id, name)| namespace(id, id, name, 2));
        std::iter::once(public).chain(created).collect()
    })
}
