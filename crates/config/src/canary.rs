//! Grey release: a request says which endpoints of a service it wants.

use crate::field::Field;

/// How requests of a route choose among the endpoints of its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanarySpec {
    /// Where a request says what it wants.
    pub source: CanarySource,
    /// The key of an endpoint's metadata that has to have the value that the request names.
    pub metadata: String,
    /// What a request gets for whose value there is no endpoint.
    pub fallback: CanaryFallback,
    /// The request header that tells the endpoint the value; none if nothing is told.
    pub propagate: Option<String>,
}

/// Where a request says which endpoints it wants. The first value counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanarySource {
    /// The value of a header.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a query parameter.
    Query(String),
    /// A claim, or `sub`: who the request is of, as a filter of the route has found.
    Claim(String),
}

/// What a request gets for whose value there is no endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CanaryFallback {
    /// Any endpoint.
    Any,
    /// One whose metadata has no such key; any if there is none.
    #[default]
    Untagged,
    /// 503.
    Refuse,
}

const FALLBACKS: &[(&str, CanaryFallback)] = &[
    ("any", CanaryFallback::Any),
    ("untagged", CanaryFallback::Untagged),
    ("refuse", CanaryFallback::Refuse),
];

impl CanarySpec {
    /// Reads `canary` of a service.
    pub(crate) fn read(field: &Field<'_>) -> Option<CanarySpec> {
        let mut fields = field.mapping()?;
        let sources: Vec<_> = ["header", "cookie", "query", "claim"]
            .into_iter()
            .filter_map(|kind| Some((kind, fields.optional(kind)?)))
            .collect();
        let metadata = fields
            .required("metadata")
            .and_then(|field| name(&field, "a key of the endpoints' metadata"));
        let fallback = match fields.optional("fallback") {
            Some(fallback) => fallback.one_of(FALLBACKS),
            None => Some(CanaryFallback::default()),
        };
        let propagate = match fields.optional("propagate") {
            Some(header) => Some(Some(token(&header, "the name of a header")?)),
            None => Some(None),
        };
        fields.finish();
        let source = match &sources[..] {
            [(kind, field)] => source(kind, field),
            _ => {
                field.fault_expected(
                    "not one place where a request says what it wants",
                    "one of `header`, `cookie`, `query` and `claim`, with a name",
                );
                None
            }
        };
        Some(CanarySpec {
            source: source?,
            metadata: metadata?,
            fallback: fallback?,
            propagate: propagate?,
        })
    }
}

fn source(kind: &str, field: &Field<'_>) -> Option<CanarySource> {
    Some(match kind {
        "header" => CanarySource::Header(token(field, "the name of a header")?),
        "cookie" => CanarySource::Cookie(token(field, "the name of a cookie")?),
        "claim" => CanarySource::Claim(name(field, "the name of a claim")?),
        _ => CanarySource::Query(name(field, "the name of a query parameter")?),
    })
}

fn name(field: &Field<'_>, expected: &str) -> Option<String> {
    let text = field.string()?;
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        field.fault_expected(field.quoted(), expected);
        return None;
    }
    Some(text)
}

/// A token (RFC 9110 section 5.6.2), as the names of headers and cookies are.
fn token(field: &Field<'_>, expected: &str) -> Option<String> {
    let text = name(field, expected)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.bytes().all(is_token) {
        field.fault_expected(field.quoted(), expected);
        return None;
    }
    Some(text)
}
