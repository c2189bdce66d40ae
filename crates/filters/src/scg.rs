//! The filters of Spring Cloud Gateway, by the names that its documents use.
//!
//! Each does what the factory of that name does in Spring Cloud Gateway 4.3; 5.0
//! does the same. If the factory would answer 500, the route is refused when it is
//! read, or the filter does what its author meant.

pub(crate) mod add_request_header;
pub(crate) mod add_request_headers_if_not_present;
pub(crate) mod add_request_parameter;
pub(crate) mod add_response_header;
pub(crate) mod cache_request_body;
pub(crate) mod circuit_breaker;
pub(crate) mod cors;
pub(crate) mod dedupe_response_header;
pub(crate) mod fallback_headers;
pub(crate) mod local_response_cache;
pub(crate) mod map_request_header;
pub(crate) mod prefix_path;
pub(crate) mod preserve_host_header;
pub(crate) mod redirect_to;
pub(crate) mod remove_json_attributes_response_body;
pub(crate) mod remove_request_header;
pub(crate) mod remove_request_parameter;
pub(crate) mod remove_response_header;
pub(crate) mod request_header_size;
pub(crate) mod request_rate_limiter;
pub(crate) mod request_size;
pub(crate) mod retry;
pub(crate) mod rewrite_location_response_header;
pub(crate) mod rewrite_path;
pub(crate) mod rewrite_request_parameter;
pub(crate) mod rewrite_response_header;
pub(crate) mod secure_headers;
pub(crate) mod set_path;
pub(crate) mod set_request_header;
pub(crate) mod set_request_host_header;
pub(crate) mod set_response_header;
pub(crate) mod set_status;
pub(crate) mod strip_prefix;

mod bucket4j;
mod fields;
mod json;
mod path;
pub(crate) mod path_glob;
pub(crate) mod query;
mod status;
mod template;

use http::{HeaderName, HeaderValue, StatusCode};
use pailou_config::{Fault, PartSpec, Report, ScgArg, ScgArgs, Severity};

use crate::{Answer, Edit, JavaRegex, JavaRegexError, Next, Replacement, Step};

/// Filters that are known and not served, with the reason.
const REFUSED: &[(&str, &str)] = &[
    (
        "SetRequestUri",
        "it would send requests to a URL made of what clients send; name the service in `uri`",
    ),
    (
        "RequestHeaderToRequestUri",
        "it would send requests wherever a client's header says; name the service in `uri`",
    ),
    (
        "TokenRelay",
        "it needs the OAuth2 login of a Spring application; `forward_auth` asks a service instead",
    ),
    (
        "SaveSession",
        "it belongs to a session of a Spring application, which there is none of",
    ),
    (
        "JsonToGrpc",
        "it needs a protobuf descriptor and a Java client; the service has to speak JSON itself",
    ),
    (
        "ModifyRequestBody",
        "it runs Java code that no document can hold",
    ),
    (
        "ModifyResponseBody",
        "it runs Java code that no document can hold; `rewrite_body` replaces text",
    ),
    (
        "Function",
        "it runs a Java function of the Spring application",
    ),
    ("RequestBody", "it runs Java code that no document can hold"),
];

/// The fault of a filter that Spring's documents name and that is not served,
/// if it is one: names in capitals are Spring's.
pub(crate) fn unserved(part: &PartSpec, report: &Report) -> Option<Fault> {
    let is_springs = part.name.chars().next()?.is_ascii_uppercase();
    let known = REFUSED.iter().find(|(name, _)| *name == part.name);
    let (problem, expected) = match known {
        Some((name, reason)) => (format!("`{name}` is not served: {reason}"), None),
        None if is_springs => (
            format!(
                "`{}` is not a filter of this gateway",
                part.name.escape_debug()
            ),
            Some(format!(
                "its name under `scg.filters` in gateway.yaml, with what takes its place: `{}: {{ forward_auth: … }}`, or `ignore`",
                part.name.escape_debug()
            )),
        ),
        None => return None,
    };
    let names = crate::REGISTRY.iter().map(|entry| entry.name);
    let names = names.filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase()));
    let nearest = match known {
        Some(_) => None,
        None => pailou_config::nearest(&part.name, names),
    };
    Some(Fault {
        document: report.document().clone(),
        position: Some(part.at),
        path: part.path.clone(),
        problem,
        expected,
        nearest: nearest.map(str::to_owned),
        severity: Severity::Error,
    })
}

/// The one step of a filter that changes heads.
fn edit(edit: impl Edit + 'static) -> Option<Vec<Step>> {
    Some(vec![Step::Edit(Box::new(edit))])
}

/// The header in which Spring says why a request was too large.
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("errormessage");

/// An answer without a body, whose reason stands in a header.
fn refused(status: StatusCode, header: &HeaderName, reason: String) -> Next {
    let mut answer = Answer {
        status,
        ..Answer::default()
    };
    if let Ok(reason) = HeaderValue::try_from(reason) {
        answer.headers.insert(header, reason);
    }
    Next::Answer(Box::new(answer))
}

/// The answer where a filter cannot do its work.
fn failed() -> Next {
    Next::Answer(Box::new(Answer {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        ..Answer::default()
    }))
}

/// An argument that must be given and must not be empty.
fn text<'a>(args: &ScgArgs<'a>, name: &str) -> Option<ScgArg<'a>> {
    let arg = args.required(name)?;
    if arg.text().is_empty() {
        arg.fault(format!("`{name}` is empty"));
        return None;
    }
    Some(arg)
}

/// A regular expression, compiled by `compile`; a fault with the reason if it
/// cannot be.
fn regex(
    arg: &ScgArg<'_>,
    compile: fn(&str) -> Result<JavaRegex, JavaRegexError>,
) -> Option<JavaRegex> {
    match compile(arg.text()) {
        Ok(regex) => Some(regex),
        Err(error) => {
            arg.fault(error.to_string());
            None
        }
    }
}

/// What takes the place of the matches of an expression; a fault with the reason
/// if it cannot.
fn replacement(arg: &ScgArg<'_>, regex: &JavaRegex) -> Option<Replacement> {
    match regex.replacement(arg.text()) {
        Ok(replacement) => Some(replacement),
        Err(error) => {
            arg.fault(error.to_string());
            None
        }
    }
}

/// Tests of these filters compile a filter as a document names it.
#[cfg(test)]
mod testing {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use crate::registry::tests::{request_head, steps};
    use crate::{Bindings, Edit, Facts, Next, RequestHead, ResponseHead, Step};

    /// The filter's only step, compiled in a route that binds some names.
    pub(crate) fn edit(name: &str, args: &str, bound: &[&str]) -> Result<Box<dyn Edit>, String> {
        let (mut steps, _) = steps(name, args, bound)?;
        assert_eq!(steps.len(), 1, "{name} is not one step");
        match steps.remove(0) {
            Step::Edit(edit) => Ok(edit),
            other => panic!("{name} does not change heads: {other:?}"),
        }
    }

    /// Facts of a request to a route that has bound these names.
    pub(crate) fn bound(bindings: &[(&str, &str)]) -> Facts {
        let mut facts = Facts {
            bindings: Bindings::default(),
            ..Facts::default()
        };
        for (name, value) in bindings {
            facts.bindings.bind(&(*name).into(), *value);
        }
        facts
    }

    /// Header fields.
    pub(crate) fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    /// The values of a header.
    pub(crate) fn values<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
        let values = headers.get_all(name).iter();
        let text = |value: &'h HeaderValue| std::str::from_utf8(value.as_bytes());
        values.map(|value| text(value).expect("UTF-8")).collect()
    }

    /// What becomes of a response to `GET /`.
    pub(crate) fn answered(
        edit: &dyn Edit,
        facts: &Facts,
        status: u16,
        headers: HeaderMap,
    ) -> (u16, HeaderMap) {
        answered_to(edit, facts, "/", status, headers)
    }

    /// What becomes of a response to a request that has passed the step.
    pub(crate) fn answered_to(
        edit: &dyn Edit,
        facts: &Facts,
        path: &str,
        status: u16,
        mut headers: HeaderMap,
    ) -> (u16, HeaderMap) {
        let mut sent = HeaderMap::new();
        let mut request = RequestHead {
            facts,
            ..request_head(path, &mut sent)
        };
        assert!(matches!(edit.request(&mut request), Next::Continue));
        let note = request.effects.note.take();
        let mut head = ResponseHead {
            facts,
            note: note.as_deref(),
            status: status.try_into().expect("a status"),
            headers: &mut headers,
        };
        edit.response(&mut head);
        (head.status.as_u16(), headers)
    }

    /// What becomes of a path (with its query) and headers.
    pub(crate) struct Sent {
        pub(crate) target: String,
        pub(crate) headers: HeaderMap,
        pub(crate) next: Next,
    }

    /// Sends `GET target` through the step.
    pub(crate) fn send(edit: &dyn Edit, facts: &Facts, target: &str, headers: HeaderMap) -> Sent {
        let mut headers = headers;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.into())),
            None => (target, None),
        };
        let mut head = RequestHead {
            facts,
            query,
            ..request_head(path, &mut headers)
        };
        let next = edit.request(&mut head);
        let target = head.target();
        Sent {
            target,
            headers,
            next,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::registry::tests::steps;

    #[test]
    fn what_is_not_served_is_refused_with_the_reason() {
        for (name, problem) in [
            ("TokenRelay", "OAuth2"),
            ("JsonToGrpc", "protobuf"),
            ("SetRequestUri", "name the service in `uri`"),
        ] {
            let error = steps(name, "~", &[]).expect_err(name);
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_comes_with_the_cure() {
        let error = steps("CheckToken", "~", &[]).expect_err("unknown");
        assert!(error.contains("`scg.filters`"), "{error}");
        assert!(error.contains("CheckToken: { forward_auth"), "{error}");
        let error = steps("StripPrefx", "1", &[]).expect_err("unknown");
        assert!(error.contains("did you mean `StripPrefix`?"), "{error}");
    }
}
