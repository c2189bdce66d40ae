//! Services over HTTP.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

use super::{params::Trusted, problem::Caused};
use crate::{DEFAULT_GROUP, PUBLIC, core::Core};

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
