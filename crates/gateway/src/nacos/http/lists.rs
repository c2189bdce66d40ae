//! Lists: namespaces, services and configs of all groups, the history of a config.

use http::Method;
use pailou_nacos::Instance;
use serde::Serialize;
use serde_json::Value;

use super::{Http, HttpError, Question};

/// A namespace that was created.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// Empty for the default one.
    pub(crate) id: String,
    pub(crate) name: String,
}

/// A service, as the lists have it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServiceCount {
    pub(crate) group: String,
    pub(crate) name: String,
    /// Disabled instances count here, and nowhere else.
    pub(crate) instances: u64,
}

/// Where a config is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfigAddress<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) group: &'a str,
    pub(crate) data_id: &'a str,
}

/// One change of a config.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) id: String,
    /// `insert`, `update` or `delete`, or the server's own letter.
    pub(crate) operation: String,
    /// As the server writes it: ISO 8601, or milliseconds since 1970.
    pub(crate) time: String,
    pub(crate) user: Option<String>,
    pub(crate) address: Option<String>,
}

impl Http {
    pub(crate) async fn namespaces(&self) -> Result<Vec<Namespace>, HttpError> {
        let json = self
            .ask(&[
                ("/v3/admin/core/namespace/list", &[]),
                ("/v1/console/namespaces", &[]),
            ])
            .await?;
        let namespace = |item: &Value| {
            let id = text(item, &["namespace"])?;
            Some(Namespace {
                id: if id == "public" { String::new() } else { id },
                name: text(item, &["namespaceShowName"])?,
            })
        };
        Ok(items(&json, &["data"])
            .iter()
            .filter_map(namespace)
            .collect())
    }

    /// The services whose name holds `name`, in every group of a namespace; the first hundred.
    pub(crate) async fn services(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<ServiceCount>, HttpError> {
        let query = [
            ("namespaceId", naming(namespace)),
            ("serviceNameParam", name),
            ("groupNameParam", ""),
            ("pageNo", "1"),
            ("pageSize", "100"),
        ];
        let json = self
            .ask(&[
                ("/v3/admin/ns/service/list", &query),
                ("/v1/ns/catalog/services", &query),
            ])
            .await?;
        let service = |item: &Value| {
            Some(ServiceCount {
                group: text(item, &["groupName"])?,
                name: text(item, &["name"])?,
                instances: item.get("ipCount").and_then(Value::as_u64)?,
            })
        };
        let listed = items(&json, &["pageItems", "serviceList"]);
        Ok(listed.iter().filter_map(service).collect())
    }

    /// Group and data id of the configs whose data id holds `data_id`, in every group of a namespace; the first hundred.
    pub(crate) async fn configs(
        &self,
        namespace: &str,
        data_id: &str,
    ) -> Result<Vec<(String, String)>, HttpError> {
        let pattern = format!("*{data_id}*");
        let common = [
            ("search", "blur"),
            ("dataId", pattern.as_str()),
            ("pageNo", "1"),
            ("pageSize", "100"),
        ];
        let new = [
            &common[..],
            &[("namespaceId", namespace), ("groupName", "")],
        ]
        .concat();
        let old = [&common[..], &[("tenant", namespace), ("group", "")]].concat();
        let json = self
            .ask(&[("/v3/admin/cs/config/list", &new), ("/v1/cs/configs", &old)])
            .await?;
        let config = |item: &Value| {
            Some((
                text(item, &["groupName", "group"])?,
                text(item, &["dataId"])?,
            ))
        };
        let listed = items(&json, &["pageItems"]);
        Ok(listed.iter().filter_map(config).collect())
    }

    /// The changes of a config, newest first; the first hundred.
    pub(crate) async fn history(&self, of: ConfigAddress<'_>) -> Result<Vec<Change>, HttpError> {
        let page = [("pageNo", "1"), ("pageSize", "100"), ("search", "accurate")];
        let (new, old) = of.queries();
        let (new, old) = ([&new[..], &page].concat(), [&old[..], &page].concat());
        let json = self
            .ask(&[
                ("/v3/admin/cs/history/list", &new),
                ("/v1/cs/history", &old),
            ])
            .await?;
        let change = |item: &Value| {
            let operation = text(item, &["opType"])?;
            Some(Change {
                id: text(item, &["id"])?,
                operation: match operation.trim() {
                    "I" => "insert".to_owned(),
                    "U" => "update".to_owned(),
                    "D" => "delete".to_owned(),
                    other => other.to_owned(),
                },
                time: text(item, &["lastModifiedTime", "modifyTime", "createTime"])
                    .unwrap_or_default(),
                user: text(item, &["srcUser"]).filter(|user| !user.is_empty()),
                address: text(item, &["srcIp"]).filter(|address| !address.is_empty()),
            })
        };
        let listed = items(&json, &["pageItems"]);
        Ok(listed.iter().filter_map(change).collect())
    }

    /// The content that a change holds; `None` if there is no such change.
    pub(crate) async fn changed_content(
        &self,
        of: ConfigAddress<'_>,
        id: &str,
    ) -> Result<Option<String>, HttpError> {
        let (new, old) = of.queries();
        let id = [("nid", id)];
        let (new, old) = ([&new[..], &id].concat(), [&old[..], &id].concat());
        let json = self
            .ask(&[("/v3/admin/cs/history", &new), ("/v1/cs/history", &old)])
            .await?;
        let json = json.get("data").unwrap_or(&json);
        Ok(text(json, &["content"]))
    }

    /// Asks for the removal of an instance.
    pub(crate) async fn deregister(
        &self,
        namespace: &str,
        (group, service): (&str, &str),
        instance: &Instance,
    ) -> Result<(), HttpError> {
        let (port, ephemeral) = (instance.port.to_string(), instance.ephemeral.to_string());
        let query = [
            ("namespaceId", naming(namespace)),
            ("groupName", group),
            ("serviceName", service),
            ("ip", &instance.ip),
            ("port", &port),
            ("clusterName", &instance.cluster),
            ("ephemeral", &ephemeral),
        ];
        for path in ["/v3/client/ns/instance", "/v1/ns/instance"] {
            let answer = self
                .send(Question::new(Method::DELETE, path).query(&query))
                .await?;
            if answer.is_absent() {
                continue;
            }
            return match answer.status.as_u16() {
                200 => Ok(()),
                401 | 403 => Err(HttpError::Forbidden(answer.words())),
                status => Err(HttpError::Failed(format!(
                    "HTTP {status}: {}",
                    answer.words()
                ))),
            };
        }
        Err(HttpError::Absent)
    }
}

type Query<'a> = [(&'static str, &'a str); 3];

impl<'a> ConfigAddress<'a> {
    /// As version 3 and as version 1 call it.
    pub(super) fn queries(&self) -> (Query<'a>, Query<'a>) {
        (
            [
                ("namespaceId", self.namespace),
                ("groupName", self.group),
                ("dataId", self.data_id),
            ],
            [
                ("tenant", self.namespace),
                ("group", self.group),
                ("dataId", self.data_id),
            ],
        )
    }
}

/// The default namespace as naming calls it.
fn naming(namespace: &str) -> &str {
    if namespace.is_empty() {
        pailou_nacos::wire::PUBLIC
    } else {
        namespace
    }
}

/// The list under the first of these keys that there is, at the top or in `data`.
fn items<'a>(json: &'a Value, keys: &[&str]) -> &'a [Value] {
    let data = json.get("data").filter(|data| data.is_object());
    let places = [data.unwrap_or(json), json];
    let found = places
        .into_iter()
        .flat_map(|place| keys.iter().filter_map(|key| place.get(*key)))
        .find_map(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

/// The text or number under the first of these keys that there is.
fn text(json: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| match json.get(*key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_found_wherever_a_version_puts_them() {
        let one = json!([1]);
        for (json, keys) in [
            (json!({ "data": [1] }), &["data"][..]),
            (json!({ "data": { "pageItems": [1] } }), &["pageItems"]),
            (json!({ "pageItems": [1] }), &["pageItems"]),
            (
                json!({ "count": 1, "serviceList": [1] }),
                &["pageItems", "serviceList"],
            ),
        ] {
            assert_eq!(json!(items(&json, keys)), one, "{json}");
        }
        assert!(items(&json!({ "data": null }), &["data"]).is_empty());
    }

    #[test]
    fn ids_are_texts_or_numbers() {
        assert_eq!(text(&json!({ "id": 7 }), &["id"]).as_deref(), Some("7"));
        assert_eq!(
            text(&json!({ "b": "x" }), &["a", "b"]).as_deref(),
            Some("x")
        );
        assert_eq!(text(&json!({ "a": null }), &["a"]), None);
    }
}
