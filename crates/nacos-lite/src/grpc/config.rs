//! Requests about configs.

use pailou_nacos::wire::{
    ChangedConfig, ConfigBatchListenRequest, ConfigChangeBatchListenResponse, ConfigPublishRequest,
    ConfigPublishResponse, ConfigQueryRequest, ConfigQueryResponse, ConfigRemoveRequest,
    ConfigRemoveResponse, code,
};

use super::{connection::Connection, unary::Failure};
use crate::{ConfigKey, names::check, state::Publish};

pub(super) fn query(
    connection: &Connection,
    request: ConfigQueryRequest,
) -> Result<ConfigQueryResponse, Failure> {
    let key = config(request.tenant, request.group, request.data_id)?;
    let Some(stored) = connection.core.with(|state, _| state.config(&key).cloned()) else {
        return Err(Failure::new(
            code::STARTING_OR_NOT_FOUND,
            "config data not exist",
        ));
    };
    Ok(ConfigQueryResponse {
        content: Some(stored.content.to_string()),
        encrypted_data_key: Some(String::new()),
        content_type: Some(stored.kind),
        md5: Some(stored.md5),
        last_modified: stored.modified,
        ..ConfigQueryResponse::default()
    })
}

pub(super) fn publish(
    connection: &Connection,
    request: ConfigPublishRequest,
) -> Result<ConfigPublishResponse, Failure> {
    let key = config(request.tenant, request.group, request.data_id)?;
    let publish = Publish {
        content: &request.content,
        kind: request.addition_map.get("type").map(String::as_str),
        if_md5: request.cas_md5.as_deref().filter(|md5| !md5.is_empty()),
    };
    connection
        .core
        .with(|state, now| state.publish(&key, &publish, now))?;
    Ok(ConfigPublishResponse::default())
}

pub(super) fn remove(
    connection: &Connection,
    request: ConfigRemoveRequest,
) -> Result<ConfigRemoveResponse, Failure> {
    let key = config(request.tenant, request.group, request.data_id)?;
    connection
        .core
        .with(|state, now| state.remove_config(&key, now));
    Ok(ConfigRemoveResponse::default())
}

pub(super) fn listen(
    connection: &Connection,
    request: ConfigBatchListenRequest,
) -> Result<ConfigChangeBatchListenResponse, Failure> {
    let mut listened = Vec::with_capacity(request.config_listen_contexts.len());
    for context in request.config_listen_contexts {
        let key = config(
            context.tenant.clone(),
            context.group.clone(),
            context.data_id.clone(),
        )?;
        listened.push((key, context));
    }
    // One lock for all: a publish comes before or after, never between the comparison and the listening.
    let changed_configs = connection.core.with(|state, _| {
        let mut changed = Vec::new();
        for (key, context) in listened {
            if !request.listen {
                state.stop_listening(connection.id, &key);
                continue;
            }
            if state.config_differs(&key, &context.md5) {
                let tenant = Some(context.tenant.clone());
                changed.push(ChangedConfig {
                    data_id: context.data_id,
                    group: context.group,
                    tenant,
                });
            }
            state.listen(connection.id, key, context.tenant)?;
        }
        Ok::<_, Failure>(changed)
    })?;
    Ok(ConfigChangeBatchListenResponse {
        changed_configs,
        ..ConfigChangeBatchListenResponse::default()
    })
}

fn config(tenant: String, group: String, data_id: String) -> Result<ConfigKey, Failure> {
    let key = ConfigKey::new(tenant, group, data_id);
    check::config(&key).map_err(Failure::parameter)?;
    Ok(key)
}
