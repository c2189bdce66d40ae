//! The history of a config.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{params::Trusted, problem::Caused};
use crate::{PUBLIC, clock::iso, core::Core, state::Change};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    total_count: usize,
    page_number: usize,
    pages_available: usize,
    page_items: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    /// A text, since a script cannot hold such a number.
    id: String,
    last_id: i64,
    data_id: String,
    group: String,
    tenant: String,
    md5: Option<String>,
    content: Option<String>,
    src_ip: Option<&'static str>,
    src_user: Option<&'static str>,
    op_type: &'static str,
    created_time: String,
    last_modified_time: String,
}

impl Item {
    fn new(change: &Change, with_content: bool) -> Self {
        let tenant = Some(change.key.tenant.as_str()).filter(|tenant| *tenant != PUBLIC);
        Self {
            id: change.id.to_string(),
            last_id: -1,
            data_id: change.key.data_id.clone(),
            group: change.key.group.clone(),
            tenant: tenant.unwrap_or_default().to_owned(),
            md5: with_content.then(|| change.md5.clone()),
            content: with_content.then(|| change.content.to_string()),
            src_ip: None,
            src_user: None,
            op_type: change.operation.code(),
            created_time: iso(change.at),
            last_modified_time: iso(change.at),
        }
    }
}

/// With `nid` one change and its content, without it a page of all.
pub(super) async fn show(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Response, Caused> {
    let key = params.config()?;
    if let Some(id) = params.parsed::<u64>("nid")? {
        let found = core.with(|state, _| {
            state
                .history(&key)
                .find(|change| change.id == id)
                .map(|change| Item::new(change, true))
        });
        let missing =
            || Caused::not_found(format!("certain config history for nid = {id} not exist"));
        return Ok(Json(found.ok_or_else(missing)?).into_response());
    }
    let number = params.parsed("pageNo")?.unwrap_or(1).max(1);
    let size = params.parsed("pageSize")?.unwrap_or(100).clamp(1, 500);
    let (total_count, page_items) = core.with(|state, _| {
        let page = state
            .history(&key)
            .skip((number - 1) * size)
            .take(size)
            .map(|change| Item::new(change, false))
            .collect();
        (state.history(&key).count(), page)
    });
    let page = Page {
        total_count,
        page_number: number,
        pages_available: total_count.div_ceil(size),
        page_items,
    };
    Ok(Json(page).into_response())
}
