//! Queries that filters change: what is not theirs stays byte for byte.

use crate::escapes::{form_bytes, push};

/// Characters that Spring leaves as they are in a query that it builds.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte)
}

/// Encodes a text of the document: also its percent signs, unless `keeps_escapes`.
pub(super) fn encode_text(text: &str, keeps_escapes: bool, to: &mut String) {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_escape = keeps_escapes
            && *byte == b'%'
            && bytes
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        push(to, *byte, is_escape || is_plain(*byte));
    }
}

/// Encodes a text so that it stays one name or one value.
pub(crate) fn encode_value(value: &str, to: &mut String) {
    for byte in value.bytes() {
        push(
            to,
            byte,
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte),
        );
    }
}

/// The query without the parameters of a name; `None` if it has none of them.
pub(crate) fn without(query: &str, name: &str) -> Option<String> {
    let is_other = |pair: &&str| !is_named(pair, name);
    let kept: Vec<&str> = query.split('&').filter(is_other).collect();
    (kept.len() < query.split('&').count()).then(|| kept.join("&"))
}

fn is_named(pair: &str, name: &str) -> bool {
    let (found, _) = pair.split_once('=').unwrap_or((pair, ""));
    !pair.is_empty() && form_bytes(found.as_bytes()).eq(name.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_go_by_their_decoded_name() {
        for (query, name, left) in [
            ("k=1&a=2", "k", Some("a=2")),
            ("a=1&k=1&k=2&b=3", "k", Some("a=1&b=3")),
            ("a&k&b=", "k", Some("a&b=")),
            ("%6b=1&a=%20b+c", "k", Some("a=%20b+c")),
            ("a+b=1&c", "a b", Some("c")),
            ("k=1", "k", Some("")),
            ("K=1", "k", None),
            ("a=k", "k", None),
            ("&&", "k", None),
            ("a%zz=1", "a%zz", Some("")),
        ] {
            assert_eq!(
                without(query, name).as_deref(),
                left,
                "{query} without {name}"
            );
        }
    }
}
