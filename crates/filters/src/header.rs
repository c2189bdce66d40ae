//! Header names and values as arguments of filters.

use http::header::{ACCEPT_ENCODING, ACCEPT_RANGES, ETAG, HOST, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};
use pailou_config::Field;

/// Which way a header goes; each way has names of its own that no filter may
/// touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Request,
    Response,
}

/// Fields that belong to one connection, or that say where a message ends. A
/// filter that changed them could smuggle a request.
const CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that the gateway itself writes on a request, from what it knows of the
/// connection. Endpoints trust them.
const GATEWAY_REQUEST: &[&str] = &[
    "forwarded",
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// Fields that the gateway itself writes on a response.
const GATEWAY_RESPONSE: &[&str] = &["x-request-id"];

/// Reads `{ name, value }`.
pub(crate) fn name_and_value(field: &Field<'_>, way: Way) -> Option<(HeaderName, HeaderValue)> {
    let mut fields = field.mapping()?;
    let name = fields.required("name").and_then(|field| name(&field, way));
    let value = fields.required("value").and_then(|field| value(&field));
    fields.finish();
    Some((name?, value?))
}

/// Reads `{ name }`.
pub(crate) fn only_name(field: &Field<'_>, way: Way) -> Option<HeaderName> {
    let mut fields = field.mapping()?;
    let name = fields.required("name").and_then(|field| name(&field, way));
    fields.finish();
    name
}

/// Reads a list of names.
pub(crate) fn names(field: &Field<'_>, way: Way) -> Option<Vec<HeaderName>> {
    field.each(|item| name(item, way))
}

fn name(field: &Field<'_>, way: Way) -> Option<HeaderName> {
    name_of(&field.string()?, field, way)
}

/// Checks a name that stands at `field`.
pub(crate) fn name_of(text: &str, field: &Field<'_>, way: Way) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        field.fault_expected("not a header name", "letters, digits and `-`");
        return None;
    };
    if CONNECTION.contains(&name.as_str()) {
        field.fault(format!(
            "`{name}` belongs to the connection or frames the message; no filter may change it"
        ));
        return None;
    }
    let owned = match way {
        Way::Request => GATEWAY_REQUEST,
        Way::Response => GATEWAY_RESPONSE,
    };
    if owned.contains(&name.as_str()) {
        field.fault(format!(
            "`{name}` is written by the gateway itself; no filter may change it"
        ));
        return None;
    }
    Some(name)
}

/// Visible ASCII, spaces and tabs within. RFC 9110, 5.5: anything else has no
/// agreed meaning, and white space at the ends is lost on the way.
pub(crate) fn value(field: &Field<'_>) -> Option<HeaderValue> {
    let text = field.string()?;
    if text.trim_matches([' ', '\t']).len() != text.len() {
        field.fault("a header value cannot begin or end with white space");
        return None;
    }
    match HeaderValue::from_str(&text) {
        Ok(mut value) if text.is_ascii() => {
            // The value may be a credential for the endpoint, so `Debug` must hide it.
            value.set_sensitive(true);
            Some(value)
        }
        _ => {
            field.fault_expected("not a header value", "visible ASCII characters");
            None
        }
    }
}

/// Takes headers away, also where `_` stands for `-` or the other way round: behind CGI and WSGI the two are one, so that a
/// client could forge one by the other.
pub(crate) fn drop_in_any_spelling<'n>(
    headers: &mut HeaderMap,
    names: impl IntoIterator<Item = &'n HeaderName> + Clone,
) {
    let is_named = |sent: &&HeaderName| {
        let mut names = names.clone().into_iter();
        names.any(|name| is_one_spelling(name.as_str(), sent.as_str()))
    };
    let named: Vec<_> = headers.keys().filter(is_named).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}

fn is_one_spelling(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    one.len() == other.len() && one.bytes().map(plain).eq(other.bytes().map(plain))
}

/// Takes away what belongs to one connection or frames a message.
pub(crate) fn drop_of_the_connection(headers: &mut HeaderMap) {
    for name in CONNECTION {
        headers.remove(*name);
    }
}

/// Removes the fields that describe the bytes of a body that was changed.
pub(crate) fn drop_of_the_body(headers: &mut HeaderMap) {
    for name in [ETAG, LAST_MODIFIED, ACCEPT_RANGES] {
        headers.remove(name);
    }
    drop_digests(headers);
}

/// Removes the digests of a body's bytes.
pub(crate) fn drop_digests(headers: &mut HeaderMap) {
    for name in ["content-md5", "digest", "content-digest", "repr-digest"] {
        headers.remove(name);
    }
}

/// Asks for a body that can be read: without compression, and all of it.
pub(crate) fn ask_for_plain_and_all(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(RANGE);
}

/// Whether the gateway writes this field of a request, in the place of the client's.
pub(crate) fn is_told_by_the_gateway(name: &HeaderName) -> bool {
    GATEWAY_REQUEST.contains(&name.as_str()) && *name != HOST
}

/// Whether the field belongs to one connection or frames a message.
pub(crate) fn is_of_the_connection(name: &HeaderName) -> bool {
    CONNECTION.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use crate::registry::tests::compiled;

    const REQUEST: [&str; 2] = ["set_request_header", "add_request_header"];
    const RESPONSE: [&str; 2] = ["set_response_header", "add_response_header"];

    #[test]
    fn fields_of_the_connection_and_of_the_gateway_are_refused() {
        for name in super::CONNECTION {
            for filter in REQUEST.iter().chain(&RESPONSE) {
                let error =
                    compiled(filter, &format!("{{ name: {name}, value: x }}")).expect_err(name);
                assert!(error.contains("no filter may change it"), "{error}");
            }
            for filter in ["remove_request_header", "remove_response_header"] {
                compiled(filter, &format!("{{ name: {name} }}")).expect_err(name);
            }
        }
        for name in super::GATEWAY_REQUEST {
            compiled(
                "set_request_header",
                &format!("{{ name: {name}, value: x }}"),
            )
            .expect_err(name);
            compiled("remove_request_header", &format!("{{ name: {name} }}")).expect_err(name);
        }
        compiled("set_response_header", "{ name: X-Request-Id, value: x }").expect_err("owned");
        compiled("set_response_header", "{ name: host, value: x }").expect("only requests have it");
    }

    #[test]
    fn names_and_values_are_checked_when_the_table_is_compiled() {
        for (args, problem) in [
            ("{ name: 'a b', value: x }", "not a header name"),
            ("{ name: '', value: x }", "not a header name"),
            ("{ name: é, value: x }", "not a header name"),
            ("{ name: 'a:', value: x }", "not a header name"),
            (r#"{ name: a, value: "x\r\nb: c" }"#, "not a header value"),
            (r#"{ name: a, value: "x\0y" }"#, "not a header value"),
            ("{ name: a, value: é }", "not a header value"),
            ("{ name: a, value: ' x' }", "white space"),
            ("{ name: a }", "`value` is missing"),
            ("{ value: a }", "`name` is missing"),
            ("{ name: a, value: x, valeu: y }", "unknown key"),
            ("x", "expected a mapping"),
        ] {
            let error = compiled("set_request_header", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
        for args in [
            "{ name: X-Env, value: '' }",
            "{ name: x_env, value: 1.10 }",
            "{ name: a, value: 'x y' }",
        ] {
            compiled("set_request_header", args).expect(args);
        }
    }

    #[test]
    fn a_header_goes_in_any_spelling() {
        let mut headers = http::HeaderMap::new();
        for name in ["x-user-id", "x_user_id", "x-user_id", "x_other", "x-b-c"] {
            headers.insert(name, http::HeaderValue::from_static("1"));
        }
        let names = ["x-user-id", "x_b-c"].map(http::HeaderName::from_static);
        super::drop_in_any_spelling(&mut headers, &names);
        let mut left: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x_other"]);
    }

    #[test]
    fn a_value_does_not_print() {
        let edit = compiled(
            "set_request_header",
            "{ name: authorization, value: Basic c2VjcmV0 }",
        )
        .expect("legal");
        assert!(!format!("{edit:?}").contains("c2VjcmV0"), "{edit:?}");
    }
}
