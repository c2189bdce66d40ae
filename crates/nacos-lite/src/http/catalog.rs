//! Version 3's admin lists of services and configs over all groups.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    params::{Params, Trusted},
    problem::Caused,
};
use crate::{PUBLIC, core::Core};

#[derive(Serialize)]
pub(super) struct Listed<T> {
    code: i32,
    message: &'static str,
    data: Page<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    total_count: usize,
    page_number: usize,
    pages_available: usize,
    page_items: Vec<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    name: String,
    group_name: String,
    cluster_count: usize,
    ip_count: usize,
    healthy_instance_count: usize,
    trigger_flag: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    data_id: String,
    group_name: String,
    namespace_id: String,
    md5: String,
    #[serde(rename = "type")]
    kind: String,
}

pub(super) async fn services(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Listed<Service>>, Caused> {
    let text = params.optional("serviceNameParam").unwrap_or_default();
    let group = params.optional("groupNameParam").unwrap_or_default();
    let found = core.with(|state, _| {
        let matching = state
            .services_like(namespace(&params), text)
            .filter(|(key, _)| key.group.contains(group));
        let listed = matching.map(|(key, instances)| Service {
            name: key.name.clone(),
            group_name: key.group.clone(),
            cluster_count: instances
                .iter()
                .map(|instance| &instance.cluster)
                .collect::<BTreeSet<_>>()
                .len(),
            ip_count: instances.len(),
            healthy_instance_count: instances.iter().filter(|it| it.healthy).count(),
            trigger_flag: false,
        });
        listed.collect()
    });
    page(&params, found)
}

pub(super) async fn configs(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Json<Listed<Config>>, Caused> {
    // Only the blur search is there, where a star stands for any text.
    let text = params
        .optional("dataId")
        .unwrap_or_default()
        .trim_matches('*');
    let group = params
        .optional("groupName")
        .unwrap_or_default()
        .trim_matches('*');
    let found = core.with(|state, _| {
        let matching = state
            .configs_like(namespace(&params), text)
            .filter(|(key, _)| key.group.contains(group));
        let listed = matching.map(|(key, stored)| Config {
            data_id: key.data_id.clone(),
            group_name: key.group.clone(),
            namespace_id: key.tenant.clone(),
            md5: stored.md5.clone(),
            kind: stored.kind.clone(),
        });
        listed.collect()
    });
    page(&params, found)
}

fn namespace(params: &Params) -> &str {
    params.optional("namespaceId").unwrap_or(PUBLIC)
}

fn page<T>(params: &Params, all: Vec<T>) -> Result<Json<Listed<T>>, Caused> {
    let number = params.parsed("pageNo")?.unwrap_or(1).max(1);
    let size = params.parsed("pageSize")?.unwrap_or(100).clamp(1, 500);
    let data = Page {
        total_count: all.len(),
        page_number: number,
        pages_available: all.len().div_ceil(size),
        page_items: all
            .into_iter()
            .skip((number - 1) * size)
            .take(size)
            .collect(),
    };
    Ok(Json(Listed {
        code: 0,
        message: "success",
        data,
    }))
}
