//! Where a request says something about itself: a header, a cookie, a query parameter or a claim.

use crate::field::Field;

/// Where a request says something. The first value counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestValue {
    /// The value of a header.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a query parameter.
    Query(String),
    /// A claim, or `sub`: who the request is of, as a filter of the route has found.
    Claim(String),
}

/// What keeps requests together: those with an equal value are meant for the same endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum RequestKey {
    /// The client's address.
    #[default]
    ClientAddress,
    /// What the request says.
    Value(RequestValue),
}

impl RequestValue {
    /// The kinds that there are, as they are written.
    pub(crate) const KINDS: [&'static str; 4] = ["header", "cookie", "query", "claim"];

    /// The value of a kind that `field` names.
    pub(crate) fn read(kind: &str, field: &Field<'_>) -> Option<RequestValue> {
        let name = field.string()?;
        let read = RequestValue::of(kind, &name);
        if read.is_none() {
            field.fault_expected(field.quoted(), format!("the name of a {kind}"));
        }
        read
    }

    fn of(kind: &str, name: &str) -> Option<RequestValue> {
        let name = name.trim();
        let value: fn(String) -> RequestValue = match kind {
            "header" if is_token(name) => RequestValue::Header,
            "cookie" if is_token(name) => RequestValue::Cookie,
            "query" if is_name(name) => RequestValue::Query,
            "claim" if is_name(name) => RequestValue::Claim,
            _ => return None,
        };
        Some(value(name.to_owned()))
    }
}

impl RequestKey {
    /// Reads `client_address`, `header:NAME`, `cookie:NAME`, `query:NAME` or `claim:NAME`.
    pub fn read(field: &Field<'_>) -> Option<RequestKey> {
        let text = field.string()?;
        let key = match text.split_once(':') {
            None => (text == "client_address").then_some(RequestKey::ClientAddress),
            Some((kind, name)) => RequestValue::of(kind, name).map(RequestKey::Value),
        };
        if key.is_none() {
            field.fault_expected(
                field.quoted(),
                "client_address, header:NAME, cookie:NAME, query:NAME or claim:NAME",
            );
        }
        key
    }

    /// As it is written.
    pub fn text(&self) -> String {
        match self {
            RequestKey::ClientAddress => "client_address".to_owned(),
            RequestKey::Value(RequestValue::Header(name)) => format!("header:{name}"),
            RequestKey::Value(RequestValue::Cookie(name)) => format!("cookie:{name}"),
            RequestKey::Value(RequestValue::Query(name)) => format!("query:{name}"),
            RequestKey::Value(RequestValue::Claim(name)) => format!("claim:{name}"),
        }
    }
}

/// The longest name that is taken.
const MAX_NAME_BYTES: usize = 256;

/// Whether it can be a name at all.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control)
}

/// Whether it is a token (RFC 9110 section 5.6.2), as the names of headers and cookies are.
pub(crate) fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    is_name(text) && text.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::Report, node::Node};

    #[test]
    fn a_key_is_read_and_written_in_the_same_words() {
        for (text, is_key) in [
            ("client_address", true),
            ("header:x-user", true),
            ("cookie:sid", true),
            ("query:user id", true),
            ("", false),
            ("address", false),
            ("header:", false),
            ("header:a b", false),
            ("cookie:a;b", false),
            ("claim:sub", true),
            ("claim:", false),
        ] {
            let report = Report::new("test");
            let node = Node::parse_yaml(&format!("'{text}'"), &report).expect("YAML");
            let key = RequestKey::read(&Field::new(&node, "key", &report));
            assert_eq!(key.map(|key| key.text()).as_deref(), is_key.then_some(text));
            assert_ne!(report.has_errors(), is_key, "{text}");
        }
    }
}
