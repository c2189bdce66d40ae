//! Grey release: a request says which endpoints of a service it wants.

use crate::{
    field::Field,
    request_value::{RequestValue, is_name, is_token},
};

/// How requests of a route choose among the endpoints of its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanarySpec {
    /// Where a request says what it wants.
    pub place: RequestValue,
    /// The key of an endpoint's metadata that has to have the value that the request names.
    pub metadata: String,
    /// The value of requests that name none.
    pub usual: Option<String>,
    /// What a request gets for whose value there is no endpoint.
    pub fallback: CanaryFallback,
    /// The request header that tells the endpoint the value; none if nothing is told.
    pub propagate: Option<String>,
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
        let places: Vec<_> = RequestValue::KINDS
            .into_iter()
            .filter_map(|kind| Some((kind, fields.optional(kind)?)))
            .collect();
        let metadata = fields
            .required("metadata")
            .and_then(|field| name(&field, "a key of the endpoints' metadata"));
        let usual = match fields.optional("default") {
            Some(value) => Some(Some(name(&value, "a value of the endpoints' metadata")?)),
            None => Some(None),
        };
        let fallback = match fields.optional("fallback") {
            Some(fallback) => fallback.one_of(FALLBACKS),
            None => Some(CanaryFallback::default()),
        };
        let propagate = match fields.optional("propagate") {
            Some(header) => Some(Some(token(&header, "the name of a header")?)),
            None => Some(None),
        };
        fields.finish();
        let place = match &places[..] {
            [(kind, field)] => RequestValue::read(kind, field),
            _ => {
                field.fault_expected(
                    "not one place where a request says what it wants",
                    "one of `header`, `cookie`, `query` and `claim`, with a name",
                );
                None
            }
        };
        Some(CanarySpec {
            place: place?,
            metadata: metadata?,
            usual: usual?,
            fallback: fallback?,
            propagate: propagate?,
        })
    }
}

fn name(field: &Field<'_>, expected: &str) -> Option<String> {
    read(field, expected, is_name)
}

fn token(field: &Field<'_>, expected: &str) -> Option<String> {
    read(field, expected, is_token)
}

fn read(field: &Field<'_>, expected: &str, is_legal: fn(&str) -> bool) -> Option<String> {
    let text = field.string()?;
    if !is_legal(&text) {
        field.fault_expected(field.quoted(), expected);
        return None;
    }
    Some(text)
}
