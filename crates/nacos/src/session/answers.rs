//! Questions in Nacos's words, and what the answers mean in ours.

use std::{collections::HashMap, sync::Arc};

use md5::{Digest, Md5};
use tokio::time::Instant;

use crate::{
    core::Core,
    error::Error,
    model::{Config, ConfigName, ConfigState, Instance, Origin, ServiceName, ServiceState},
    wire::{self, Message, code},
};

/// The question for a service's hosts: all clusters, unhealthy ones included.
pub(crate) fn service_query(core: &Core, name: &ServiceName) -> wire::ServiceQueryRequest {
    wire::ServiceQueryRequest {
        namespace: core.naming_namespace(),
        service_name: name.name.to_string(),
        group_name: name.group.to_string(),
        ..Default::default()
    }
}

pub(crate) fn config_query(core: &Core, name: &ConfigName) -> wire::ConfigQueryRequest {
    wire::ConfigQueryRequest {
        data_id: name.data_id.to_string(),
        group: name.group.to_string(),
        tenant: core.tenant(),
        ..Default::default()
    }
}

/// The state that a message brings. No host list is a fault, not an empty list.
pub(crate) fn service_state(
    info: Option<wire::ServiceInfo>,
    origin: Origin,
    epoch: u64,
) -> Result<ServiceState, Error> {
    let malformed = |problem: &str| Error::Malformed {
        operation: "service state",
        problem: problem.to_owned(),
    };
    let info = info.ok_or_else(|| malformed("no serviceInfo"))?;
    let hosts = info.hosts.ok_or_else(|| malformed("no host list"))?;
    let mut instances: Vec<Instance> = hosts.into_iter().map(Instance::from).collect();
    // Servers list hosts in any order, and the order must not look like a change.
    instances.sort_by(|one, other| {
        (&one.ip, one.port, &one.cluster).cmp(&(&other.ip, other.port, &other.cluster))
    });
    Ok(ServiceState {
        instances: instances.into(),
        protected: info.reach_protection_threshold,
        origin,
        epoch,
        received: Instant::now(),
    })
}

/// The service that a pushed state is of. Some servers write the group into the name.
pub(crate) fn service_name(info: &wire::ServiceInfo) -> ServiceName {
    match info.name.split_once("@@") {
        Some((group, name)) => ServiceName::new(group, name),
        None => ServiceName::new(&info.group_name, &info.name),
    }
}

/// What the answer to a config query means: only one error says that there is no such config.
pub(crate) fn config_state(
    answer: Result<wire::ConfigQueryResponse, Error>,
) -> Result<ConfigState, Error> {
    match answer {
        Err(Error::Refused {
            code: code::STARTING_OR_NOT_FOUND,
            ..
        }) => Ok(ConfigState::Absent),
        Err(error) => Err(error),
        Ok(answer) => {
            let Some(content) = answer.content else {
                let problem = "a success without content".to_owned();
                return Err(Error::Malformed {
                    operation: wire::ConfigQueryRequest::KIND,
                    problem,
                });
            };
            let md5 = answer
                .md5
                .filter(|md5| !md5.is_empty())
                .unwrap_or_else(|| hash(&content));
            let kind = answer.content_type.filter(|kind| !kind.is_empty());
            Ok(ConfigState::Present(Arc::new(Config {
                content,
                md5,
                kind,
            })))
        }
    }
}

/// The question whether configs differ from what is known, which also makes the server tell of changes.
pub(crate) fn config_listen(
    core: &Core,
    listen: bool,
    configs: &HashMap<ConfigName, String>,
) -> wire::ConfigBatchListenRequest {
    let context = |(name, md5): (&ConfigName, &String)| wire::ConfigListenContext {
        data_id: name.data_id.to_string(),
        group: name.group.to_string(),
        tenant: core.tenant(),
        md5: md5.clone(),
    };
    wire::ConfigBatchListenRequest {
        listen,
        config_listen_contexts: configs.iter().map(context).collect(),
        ..Default::default()
    }
}

/// The hash to listen with: what the server gave, nothing for a config that does not exist.
pub(crate) fn known_md5(state: Option<&ConfigState>) -> String {
    state
        .and_then(ConfigState::config)
        .map(|config| config.md5.clone())
        .unwrap_or_default()
}

fn hash(content: &str) -> String {
    use std::fmt::Write;
    Md5::digest(content.as_bytes())
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(json: &str) -> Option<wire::ServiceInfo> {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn a_state_without_a_host_list_is_a_fault_and_not_an_empty_one() {
        for (json, instances) in [
            ("null", None),
            ("{}", None),
            (r#"{"hosts":null}"#, None),
            (r#"{"hosts":[]}"#, Some(0)),
            (
                r#"{"hosts":[{"ip":"10.0.0.1","port":1},{"ip":"10.0.0.2","port":1}]}"#,
                Some(2),
            ),
        ] {
            let state = service_state(info(json), Origin::Push, 1);
            assert_eq!(
                state.ok().map(|state| state.instances.len()),
                instances,
                "{json}"
            );
        }
    }

    #[test]
    fn the_order_of_hosts_is_no_difference() {
        let one = info(r#"{"hosts":[{"ip":"10.0.0.1","port":1},{"ip":"10.0.0.2","port":1}]}"#);
        let other = info(r#"{"hosts":[{"ip":"10.0.0.2","port":1},{"ip":"10.0.0.1","port":1}]}"#);
        let one = service_state(one, Origin::Push, 1).unwrap();
        assert!(one.same_content(&service_state(other, Origin::Audit, 2).unwrap()));
    }

    #[test]
    fn a_pushed_service_is_known_by_either_form_of_its_name() {
        for (json, expected) in [
            (
                r#"{"name":"orders","groupName":"shop"}"#,
                ("shop", "orders"),
            ),
            (
                r#"{"name":"shop@@orders","groupName":"shop"}"#,
                ("shop", "orders"),
            ),
            (r#"{"name":"orders"}"#, ("DEFAULT_GROUP", "orders")),
        ] {
            assert_eq!(
                service_name(&info(json).unwrap()),
                ServiceName::from(expected),
                "{json}"
            );
        }
    }

    #[test]
    fn only_not_found_is_absent() {
        let refused = |code| {
            Err(Error::Refused {
                operation: "q",
                code,
                message: String::new(),
            })
        };
        assert_eq!(config_state(refused(300)), Ok(ConfigState::Absent));
        for answer in [
            refused(400),
            Err(Error::Starting),
            Ok(wire::ConfigQueryResponse::default()),
        ] {
            assert!(config_state(answer).is_err());
        }
        let content = Some("k: 1".to_owned());
        let answer = wire::ConfigQueryResponse {
            content,
            ..Default::default()
        };
        let state = config_state(Ok(answer)).unwrap();
        assert_eq!(
            state.config().unwrap().md5,
            "91f4a7bb25cd3347fcc9821061b42d2a"
        );
    }
}
