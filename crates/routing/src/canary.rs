//! Grey release: which endpoints of its service a request wants.

use http::{HeaderMap, HeaderName, HeaderValue};
use pailou_config::{CanaryFallback, CanarySpec};
use pailou_filters::Identity;
use pailou_upstream::{Fallback, Split};

use crate::request_value::RequestValue;

/// The longest value that is read. A longer one cannot name an endpoint.
const MAX_VALUE_BYTES: usize = 256;

/// Where the requests of a route say which endpoints they want.
///
/// Cost per request: a look at the header, cookies or query; a copy of the value if there is one.
#[derive(Debug)]
pub struct Canary {
    place: RequestValue,
    /// The value of requests that name none.
    usual: Option<String>,
    propagate: Option<HeaderName>,
}

impl Canary {
    /// The names in `spec` are tokens, so parsing them cannot fail.
    pub(crate) fn compile(spec: &CanarySpec) -> Option<Canary> {
        let propagate = spec.propagate.as_deref();
        Some(Canary {
            place: RequestValue::compile(&spec.place)?,
            usual: spec.usual.clone(),
            propagate: propagate.and_then(|name| name.parse().ok()),
        })
    }

    /// Whether the route's filters have to find out first who the request is of.
    pub fn needs_identity(&self) -> bool {
        self.place.needs_identity()
    }

    /// What the request wants, if it says so, or who it is of. The endpoint is told in the header of the setting.
    pub fn part(
        &self,
        query: Option<&str>,
        headers: &mut HeaderMap,
        identity: Option<&Identity>,
    ) -> Option<String> {
        let part = self.place.find(query, headers, identity);
        let part = part.and_then(|part| String::from_utf8(part.into_owned()).ok());
        let part = part
            .filter(|part| !part.is_empty() && part.len() <= MAX_VALUE_BYTES)
            .or_else(|| self.usual.clone());
        if let Some(name) = &self.propagate {
            match part.as_deref().map(HeaderValue::from_str) {
                Some(Ok(value)) => drop(headers.insert(name, value)),
                _ => drop(headers.remove(name)),
            }
        }
        part
    }
}

/// How the endpoints are parted.
pub(crate) fn split(spec: &CanarySpec) -> Split {
    Split {
        metadata: spec.metadata.clone(),
        fallback: match spec.fallback {
            CanaryFallback::Any => Fallback::Any,
            CanaryFallback::Untagged => Fallback::Untagged,
            CanaryFallback::Refuse => Fallback::Refuse,
        },
    }
}

#[cfg(test)]
mod tests {
    use pailou_config::RequestValue as Said;

    use super::*;

    fn part(place: Said, query: Option<&str>, headers: &[(&str, &str)]) -> Option<String> {
        let spec = CanarySpec {
            place,
            metadata: "version".to_owned(),
            usual: None,
            fallback: CanaryFallback::Any,
            propagate: Some("x-part".to_owned()),
        };
        let mut map = HeaderMap::new();
        map.insert("x-part", HeaderValue::from_static("forged"));
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        let part = Canary::compile(&spec).expect("legal").part(
            query,
            &mut map,
            Some(&Identity::named("seven")),
        );
        let told = map
            .get("x-part")
            .map(|value| value.to_str().expect("ASCII"));
        assert_eq!(told, part.as_deref(), "the endpoint is told what was taken");
        part
    }

    #[test]
    fn a_request_names_its_part_in_a_header_a_cookie_or_the_query() {
        let long = "v".repeat(MAX_VALUE_BYTES + 1);
        let header = |value: &str| {
            part(
                Said::Header("X-Version".into()),
                None,
                &[("x-version", value)],
            )
        };
        assert_eq!(header("v2"), Some("v2".into()));
        assert_eq!(header(" v2 "), Some("v2".into()));
        assert_eq!(header(""), None);
        assert_eq!(header(&long), None);
        let cookie = |line: &str| part(Said::Cookie("stage".into()), None, &[("cookie", line)]);
        assert_eq!(cookie("a=b; stage=v2"), Some("v2".into()));
        assert_eq!(cookie("a=b; xstage=v2"), None);
        let query = |query: &str| part(Said::Query("v".into()), Some(query), &[]);
        assert_eq!(query("a=b&v=v%322"), Some("v22".into()));
        assert_eq!(query("a=b"), None);
        assert_eq!(part(Said::Query("v".into()), None, &[]), None);
    }

    #[test]
    fn a_request_that_names_none_has_the_usual_value() {
        let spec = CanarySpec {
            place: Said::Header("x-hint".to_owned()),
            metadata: "hint".to_owned(),
            usual: Some("blue".to_owned()),
            fallback: CanaryFallback::Any,
            propagate: None,
        };
        let canary = Canary::compile(&spec).expect("legal");
        let mut headers = HeaderMap::new();
        assert_eq!(canary.part(None, &mut headers, None), Some("blue".into()));
        headers.insert("x-hint", HeaderValue::from_static("green"));
        assert_eq!(canary.part(None, &mut headers, None), Some("green".into()));
    }

    #[test]
    fn who_a_request_is_of_may_name_its_part() {
        let claim = |name: &str| part(Said::Claim(name.into()), None, &[]);
        assert_eq!(claim("sub"), Some("seven".into()));
        assert_eq!(claim("version"), None);
    }
}
