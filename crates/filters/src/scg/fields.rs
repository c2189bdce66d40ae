//! Header names and values as arguments of Spring's filters.

use http::{HeaderName, HeaderValue};
use pailou_config::{ScgArg, ScgArgs};

use super::{template::Template, text};
use crate::{Facts, Scope, header};

/// A header's name that a filter sets. What frames a message or belongs to the
/// connection is refused: Spring would desynchronise the connection.
fn name(text: &str, arg: &ScgArg<'_>) -> Option<HeaderName> {
    let name = parsed(text, arg)?;
    if header::is_of_the_connection(&name) {
        arg.fault(format!(
            "`{name}` belongs to the connection or frames the message; no filter may set it"
        ));
        return None;
    }
    Some(name)
}

/// The same for a request, whose Host is not set as other headers are.
pub(super) fn request_name(arg: &ScgArg<'_>) -> Option<HeaderName> {
    name_of(arg.text(), arg)
}

/// The same for a name that is a part of `arg`.
pub(super) fn name_of(text: &str, arg: &ScgArg<'_>) -> Option<HeaderName> {
    let name = name(text, arg)?;
    if name == http::header::HOST {
        arg.fault_expected(
            "`Host` says which endpoint gets the request; Spring sets it again afterwards",
            "`SetRequestHostHeader`, or `PreserveHostHeader`",
        );
        return None;
    }
    Some(name)
}

/// The same for a response, of which the gateway writes the request's id.
pub(super) fn response_name(arg: &ScgArg<'_>) -> Option<HeaderName> {
    let name = name(arg.text(), arg)?;
    if is_the_gateways(&name) {
        arg.warn("`x-request-id` is written by the gateway, after every filter");
    }
    Some(name)
}

/// The name of a header that is removed. `None` in it: nothing is to be done, as
/// a warning says.
pub(super) fn removed(
    arg: &ScgArg<'_>,
    is_kept: fn(&HeaderName) -> bool,
) -> Option<Option<HeaderName>> {
    let name = any_name(arg)?;
    if header::is_of_the_connection(&name) || is_kept(&name) {
        arg.warn(format!(
            "`{name}` is not removed: the gateway writes it anew for each message"
        ));
        return Some(None);
    }
    Some(Some(name))
}

/// Whether a response has it from the gateway in any case.
pub(super) fn is_the_gateways(name: &HeaderName) -> bool {
    name == "x-request-id"
}

/// A name in `arg`, of a header of which some values stay as they are.
pub(super) fn deduped(text: &str, arg: &ScgArg<'_>) -> Option<HeaderName> {
    name(text, arg)
}

/// The name of a header that is only looked at.
pub(super) fn any_name(arg: &ScgArg<'_>) -> Option<HeaderName> {
    parsed(arg.text(), arg)
}

fn parsed(text: &str, arg: &ScgArg<'_>) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        arg.fault_expected(
            format!("`{}` is not a header name", text.escape_debug()),
            "letters, digits and `-`",
        );
    }
    name
}

/// Reads the fields `name` and `value`.
pub(super) fn name_and_value(
    args: &ScgArgs<'_>,
    scope: &Scope<'_>,
    name: fn(&ScgArg<'_>) -> Option<HeaderName>,
) -> Option<(HeaderName, Value)> {
    let name = text(args, "name").and_then(|arg| name(&arg));
    let value = text(args, "value").and_then(|arg| Value::read(&arg, scope));
    Some((name?, value?))
}

/// A header's value, which may have variables.
///
/// Text beyond ASCII is sent as UTF-8, where Spring sends question marks.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Constant(HeaderValue),
    Variable(Template),
}

impl Value {
    pub(super) fn read(arg: &ScgArg<'_>, scope: &Scope<'_>) -> Option<Value> {
        Value::of_text(arg.text(), arg, scope)
    }

    /// Reads a text that is a part of `arg`.
    pub(super) fn of_text(text: &str, arg: &ScgArg<'_>, scope: &Scope<'_>) -> Option<Value> {
        let text = text.trim_matches([' ', '\t']);
        if text.chars().any(|c| c.is_control() && c != '\t') {
            arg.fault("a header value cannot have line breaks or control characters");
            return None;
        }
        let template = Template::read_text(text, arg, scope)?;
        let Some(constant) = template.constant() else {
            return Some(Value::Variable(template));
        };
        sensitive(constant).map(Value::Constant)
    }

    /// The value for a request. `None` if the request has not bound a name.
    pub(super) fn of(&self, facts: &Facts) -> Option<HeaderValue> {
        match self {
            Value::Constant(value) => Some(value.clone()),
            Value::Variable(template) => {
                let text = template.expand(&facts.bindings, write).ok()?;
                sensitive(text.trim_matches([' ', '\t']))
            }
        }
    }
}

/// It may be a credential for the endpoint: `Debug` hides it.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A value that a client has sent in a path ends no line.
fn write(value: &str, to: &mut String) {
    for c in value.chars() {
        match c.is_control() && c.is_ascii() && c != '\t' {
            true => to.push_str(&format!("%{:02X}", u32::from(c))),
            false => to.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{bound, edit, send};
    use http::HeaderMap;

    #[test]
    fn a_variable_cannot_end_a_line() {
        let step = edit("AddRequestHeader", "'X-A, {v}'", &["v"]).expect("legal");
        let facts = bound(&[("v", "a\r\nx: y")]);
        let sent = send(&*step, &facts, "/", HeaderMap::new());
        assert_eq!(sent.headers["x-a"], "a%0D%0Ax: y");
    }

    #[test]
    fn a_value_does_not_print() {
        for value in ["Basic c2VjcmV0", "Basic c2VjcmV0 {v}"] {
            let args = format!("'Authorization, {value}'");
            let step = edit("SetRequestHeader", &args, &["v"]).expect("legal");
            assert!(!format!("{step:?}").contains("c2VjcmV0"), "{step:?}");
        }
    }

    #[test]
    fn names_and_values_are_checked_when_the_route_is_read() {
        for (name, args, problem) in [
            (
                "SetRequestHeader",
                "'Content-Length, 3'",
                "no filter may set it",
            ),
            (
                "AddRequestHeader",
                "'Transfer-Encoding, chunked'",
                "no filter may set it",
            ),
            (
                "SetRequestHeader",
                "'Host, a.test'",
                "`SetRequestHostHeader`",
            ),
            (
                "AddRequestHeader",
                "'Host, a.test'",
                "`SetRequestHostHeader`",
            ),
            ("MapRequestHeader", "'X-A, Host'", "`SetRequestHostHeader`"),
            ("SetRequestHeader", "'X-{v}, 1'", "not a header name"),
            ("AddRequestHeader", "'X-A, {missing}'", "binds `{missing}`"),
            (
                "AddRequestHeader",
                "{ name: X-A, value: '{\"json\":1}' }",
                "no predicate of the route binds",
            ),
            ("AddRequestHeader", "X-A", "`value` is missing"),
            (
                "AddRequestHeader",
                "{ name: X-A, value: '' }",
                "`value` is empty",
            ),
            (
                "AddRequestHeader",
                "{ name: X-A, value: \"a\\r\\nb\" }",
                "line breaks",
            ),
            (
                "SetResponseHeader",
                "'Connection, close'",
                "no filter may set it",
            ),
        ] {
            let error = edit(name, args, &["v"]).expect_err(args);
            assert!(error.contains(problem), "{name} {args}: {error}");
        }
    }
}
