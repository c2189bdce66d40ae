//! `X-Request-Id`: one name for a request in every log on its way.

use http::{HeaderName, HeaderValue};

/// The header.
pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids than this are replaced: an id goes into every log line.
const MAX_BYTES: usize = 128;

/// The id of a request.
///
/// A client's own id is kept, from any peer, when it is one to 128 letters,
/// digits or `-_.:+/=@`: it helps whoever sent it and can do no harm in a
/// log. Anything else is replaced by a random UUID, which is made without a
/// system call; ids name requests and protect nothing.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn of(sent: Option<&HeaderValue>) -> RequestId {
        match sent {
            Some(value) if is_sane(value.as_bytes()) => RequestId(value.clone()),
            _ => RequestId::new(),
        }
    }

    pub(crate) fn new() -> RequestId {
        let random = fastrand::u128(..).to_ne_bytes();
        let id = uuid::Builder::from_random_bytes(random).into_uuid();
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = id.hyphenated().encode_lower(&mut text);
        RequestId(HeaderValue::from_str(text).expect("a UUID is hex digits and hyphens"))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_BYTES).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_is_replaced() {
        let long = "a".repeat(129);
        let cases: &[(Option<&str>, bool)] = &[
            (Some("abc-123"), true),
            (Some("1-67891233-abcdef012345678912345678"), true),
            (Some("a"), true),
            (None, false),
            (Some(""), false),
            (Some("a b"), false),
            (Some("a\"b"), false),
            (Some("a\tb"), false),
            (Some(&long), false),
        ];
        for (sent, kept) in cases {
            let value = sent.map(|text| HeaderValue::from_str(text).expect("a header value"));
            let id = RequestId::of(value.as_ref());
            assert_eq!(Some(id.as_str()) == *sent, *kept, "{sent:?}");
        }
    }

    #[test]
    fn a_made_id_is_a_random_uuid() {
        let (one, other) = (RequestId::new(), RequestId::new());
        assert_ne!(one.as_str(), other.as_str());
        let id = uuid::Uuid::try_parse(one.as_str()).expect("a UUID");
        assert_eq!(id.get_version_num(), 4);
    }
}
