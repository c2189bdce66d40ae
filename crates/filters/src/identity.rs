//! Who a request is of, as an authentication filter has found.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use pailou_config::Field;
use serde_json::{Map, Value};

use crate::header::{self, Way};

/// What is known of the client. Filters behind the one that found it, grey release and the access log use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The subject of a token (`sub`), the name of a user or consumer.
    pub subject: Option<Arc<str>>,
    /// The claims of a token.
    claims: Map<String, Value>,
}

impl Identity {
    /// Somebody with a name and nothing else.
    pub fn named(subject: impl Into<Arc<str>>) -> Identity {
        Identity {
            subject: Some(subject.into()),
            claims: Map::new(),
        }
    }

    /// Whom the claims of a token tell of.
    pub(crate) fn of_claims(claims: Map<String, Value>) -> Identity {
        let subject = claims.get("sub").and_then(Value::as_str);
        Identity {
            subject: subject.filter(|subject| !subject.is_empty()).map(Arc::from),
            claims,
        }
    }

    /// A claim as text, or `sub` of somebody without claims. Texts, numbers and booleans are as they are, a list has commas.
    pub fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.value(name) {
            Some(value) => text(value),
            None if name == "sub" => self.subject.as_deref().map(Cow::Borrowed),
            None => None,
        }
    }

    /// The same as bytes, as keys and parts are compared.
    pub fn claim_bytes(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        Some(match self.claim(name)? {
            Cow::Borrowed(claim) => Cow::Borrowed(claim.as_bytes()),
            Cow::Owned(claim) => Cow::Owned(claim.into_bytes()),
        })
    }

    /// A claim by its name, or by names with dots between them (`realm_access.roles`).
    fn value(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.claims.get(name) {
            return Some(value);
        }
        let mut parts = name.split('.');
        let first = self.claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }
}

/// Texts, numbers and booleans as they are, a list of them with commas between; nothing of what is nested, null or empty.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::Bool(is) => Cow::Borrowed(if *is { "true" } else { "false" }),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(text).collect();
            Cow::Owned(items?.join(","))
        }
        Value::Null | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Claims that a route asks for, each with the values of which it must have one; any value will do where there are none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Required(Vec<(String, Vec<String>)>);

impl Required {
    /// Reads `{ role: admin, scope: [ a, b ] }`, or a list of names.
    pub(crate) fn read(field: &Field<'_>) -> Option<Required> {
        if !field.is_mapping() {
            let names = field.each(|item| item.string().filter(|name| is_name(name, item)))?;
            return Some(Required(
                names.into_iter().map(|name| (name, Vec::new())).collect(),
            ));
        }
        let entries = field.entries()?;
        let count = entries.len();
        let required: Vec<_> = entries
            .into_iter()
            .filter_map(|(name, field)| {
                let values = field.each(Field::string)?;
                if values.is_empty() {
                    field.fault_expected("no value", "the values of which the claim must have one");
                    return None;
                }
                is_name(&name.text, &field).then(|| (name.text.clone(), values))
            })
            .collect();
        (required.len() == count).then_some(Required(required))
    }

    /// The first of them that does not hold: its name.
    pub(crate) fn missing(&self, identity: &Identity) -> Option<&str> {
        let holds = |(name, values): &&(String, Vec<String>)| {
            let value = identity.value(name).filter(|value| !value.is_null());
            let Some(value) = value else { return false };
            values.is_empty() || values.iter().any(|wanted| has(name, value, wanted))
        };
        let missing = self.0.iter().find(|required| !holds(required));
        missing.map(|(name, _)| name.as_str())
    }
}

fn is_name(name: &str, field: &Field<'_>) -> bool {
    if name.is_empty() {
        field.fault_expected("an empty name", "the name of a claim");
    }
    !name.is_empty()
}

/// Whether a claim has a value: it is that, or a list with it. `scope` is a text of words (RFC 8693 section 4.2), and so is `scp`.
fn has(name: &str, value: &Value, wanted: &str) -> bool {
    match value {
        Value::Array(items) => items
            .iter()
            .any(|item| text(item).as_deref() == Some(wanted)),
        Value::String(words) if matches!(name, "scope" | "scp") => {
            words.split(' ').any(|word| word == wanted)
        }
        value => text(value).as_deref() == Some(wanted),
    }
}

/// Claims that become headers of the request.
#[derive(Debug, Default)]
pub(crate) struct Told(Vec<(String, HeaderName)>);

impl Told {
    /// Reads `{ sub: x-user-id }`.
    pub(crate) fn read(field: &Field<'_>) -> Option<Told> {
        let entries = field.entries()?;
        let count = entries.len();
        let told: Vec<_> = entries
            .into_iter()
            .filter_map(|(claim, field)| {
                let header = header::name_of(&field.string()?, &field, Way::Request)?;
                is_name(&claim.text, &field).then(|| (claim.text.clone(), header))
            })
            .collect();
        (told.len() == count).then_some(Told(told))
    }

    /// The headers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &HeaderName> + Clone {
        self.0.iter().map(|(_, name)| name)
    }

    /// The headers with the values that claims have. A value that no header can have is left out: control characters.
    pub(crate) fn headers(&self, identity: &Identity) -> Vec<(HeaderName, HeaderValue)> {
        let values = self.0.iter().filter_map(|(claim, name)| {
            let text = identity.claim(claim)?;
            let value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
            Some((name.clone(), value))
        });
        values.collect()
    }
}

#[cfg(test)]
mod tests {
    use pailou_config::{Node, Report};
    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        let claims = json!({
            "sub": "seven", "age": 7, "is_admin": true, "none": null, "empty": "", "list": ["a", 2], "nested": [["a"]],
            "scope": "read write", "realm_access": { "roles": ["admin", "user"] }, "a.b": "dotted", "name": "李", "bad": "a\nb",
        });
        let Value::Object(claims) = claims else {
            panic!("an object");
        };
        Identity::of_claims(claims)
    }

    fn read<T>(yaml: &str, read: fn(&Field<'_>) -> Option<T>) -> Result<T, String> {
        let report = Report::new("test");
        let node = Node::parse_yaml(yaml, &report).expect("YAML");
        let value = read(&Field::new(&node, "claims", &report));
        value.ok_or_else(|| report.into_faults().remove(0).to_string())
    }

    #[test]
    fn claims_are_texts() {
        let identity = identity();
        assert_eq!(identity.subject.as_deref(), Some("seven"));
        for (name, expected) in [
            ("sub", Some("seven")),
            ("age", Some("7")),
            ("is_admin", Some("true")),
            ("none", None),
            ("empty", None),
            ("list", Some("a,2")),
            ("nested", Some("a")),
            ("realm_access", None),
            ("realm_access.roles", Some("admin,user")),
            ("realm_access.roles.x", None),
            ("a.b", Some("dotted")),
            ("absent", None),
        ] {
            assert_eq!(identity.claim(name).as_deref(), expected, "{name}");
        }
        assert_eq!(Identity::named("bob").claim("sub").as_deref(), Some("bob"));
    }

    #[test]
    fn a_required_claim_has_one_of_the_values() {
        for (yaml, missing) in [
            ("[ sub, age ]", None),
            ("sub", None),
            ("[ sub, other ]", Some("other")),
            ("none", Some("none")),
            ("{ scope: read }", None),
            ("{ scope: rea }", Some("scope")),
            ("{ scope: 'read write' }", Some("scope")),
            ("{ realm_access.roles: [ root, admin ] }", None),
            ("{ realm_access.roles: root }", Some("realm_access.roles")),
            ("{ age: 7, is_admin: true }", None),
            ("{ list: 2 }", None),
            ("{ list: 'a,2' }", Some("list")),
            ("{ sub: seven, age: 8 }", Some("age")),
        ] {
            let required = read(yaml, Required::read).expect(yaml);
            assert_eq!(required.missing(&identity()), missing, "{yaml}");
        }
        for yaml in ["{ role: [] }", "{ '': a }", "['']", "{ role: { a: b } }"] {
            read(yaml, Required::read).expect_err(yaml);
        }
    }

    #[test]
    fn claims_become_headers() {
        let told = read(
            "{ sub: X-User-Id, bad: x-bad, name: x-name, absent: x-absent }",
            Told::read,
        );
        let told = told.expect("legal");
        assert_eq!(told.names().count(), 4);
        let headers = told.headers(&identity());
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-user-id", "x-name"]);
        assert_eq!(headers[1].1.as_bytes(), "李".as_bytes());
        for yaml in ["{ sub: host }", "{ sub: 'a b' }", "{ '': x-a }", "[ sub ]"] {
            read(yaml, Told::read).expect_err(yaml);
        }
    }
}
