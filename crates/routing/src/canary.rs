//! Grey release: which endpoints of its service a request wants.

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use pailou_config::{CanaryFallback, CanaryPlace, CanarySpec};
use pailou_filters::form_bytes;
use pailou_upstream::{Fallback, Split};

use crate::predicate::{cookie_value, is_query_text};

/// The longest value that is read. A longer one cannot name an endpoint.
const MAX_VALUE_BYTES: usize = 256;

/// Where the requests of a route say which endpoints they want.
///
/// Cost per request: a look at the header, cookies or query; a copy of the value if there is one.
#[derive(Debug)]
pub struct Canary {
    place: Place,
    propagate: Option<HeaderName>,
}

#[derive(Debug)]
enum Place {
    Header(HeaderName),
    Cookie(String),
    Query(String),
}

impl Canary {
    /// The names in `spec` are tokens, so parsing them cannot fail.
    pub(crate) fn compile(spec: &CanarySpec) -> Option<Canary> {
        let place = match &spec.place {
            CanaryPlace::Header(name) => Place::Header(name.parse().ok()?),
            CanaryPlace::Cookie(name) => Place::Cookie(name.clone()),
            CanaryPlace::Query(name) => Place::Query(name.clone()),
        };
        let propagate = spec.propagate.as_deref();
        Some(Canary {
            place,
            propagate: propagate.and_then(|name| name.parse().ok()),
        })
    }

    /// The part that the request asks for, if it names one. The `propagate` header tells the endpoint.
    pub fn part(&self, query: Option<&str>, headers: &mut HeaderMap) -> Option<String> {
        let part = self.named(query, headers);
        let part = part.filter(|part| !part.is_empty() && part.len() <= MAX_VALUE_BYTES);
        if let Some(name) = &self.propagate {
            match part.as_deref().map(HeaderValue::from_str) {
                Some(Ok(value)) => drop(headers.insert(name, value)),
                _ => drop(headers.remove(name)),
            }
        }
        part
    }

    fn named(&self, query: Option<&str>, headers: &HeaderMap) -> Option<String> {
        match &self.place {
            Place::Header(name) => {
                let value = headers.get(name)?.to_str().ok()?;
                Some(value.trim().to_owned())
            }
            Place::Cookie(name) => {
                let lines = headers.get_all(COOKIE).iter();
                let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
                let value = pairs.find_map(|pair| cookie_value(pair, name))?;
                String::from_utf8(value.to_vec()).ok()
            }
            Place::Query(name) => {
                let mut pairs = query?.split('&');
                let value = pairs.find_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    is_query_text(key.as_bytes(), name).then_some(value)
                })?;
                String::from_utf8(form_bytes(value.as_bytes()).collect()).ok()
            }
        }
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
    use super::*;

    fn part(place: CanaryPlace, query: Option<&str>, headers: &[(&str, &str)]) -> Option<String> {
        let spec = CanarySpec {
            place,
            metadata: "version".to_owned(),
            fallback: CanaryFallback::Any,
            propagate: Some("x-part".to_owned()),
        };
        let mut map = HeaderMap::new();
        map.insert("x-part", HeaderValue::from_static("forged"));
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        let part = Canary::compile(&spec).expect("legal").part(query, &mut map);
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
                CanaryPlace::Header("X-Version".into()),
                None,
                &[("x-version", value)],
            )
        };
        assert_eq!(header("v2"), Some("v2".into()));
        assert_eq!(header(" v2 "), Some("v2".into()));
        assert_eq!(header(""), None);
        assert_eq!(header(&long), None);
        let cookie = |line: &str| {
            part(
                CanaryPlace::Cookie("stage".into()),
                None,
                &[("cookie", line)],
            )
        };
        assert_eq!(cookie("a=b; stage=v2"), Some("v2".into()));
        assert_eq!(cookie("a=b; xstage=v2"), None);
        let query = |query: &str| part(CanaryPlace::Query("v".into()), Some(query), &[]);
        assert_eq!(query("a=b&v=v%322"), Some("v22".into()));
        assert_eq!(query("a=b"), None);
        assert_eq!(part(CanaryPlace::Query("v".into()), None, &[]), None);
    }
}
