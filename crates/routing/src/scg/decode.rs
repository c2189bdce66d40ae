//! Percent-escapes, and the bytes of header fields, as text.

use std::borrow::Cow;

use pailou_filters::{form_bytes, path_bytes};

/// The text that a piece of a path means, `+` being itself.
pub(crate) fn decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(text_of(path_bytes(raw.as_bytes()).collect()))
}

/// Whether a piece of a path means this text. Does not allocate.
pub(crate) fn is_text(raw: &str, text: &str) -> bool {
    if !raw.contains('%') {
        return raw == text;
    }
    path_bytes(raw.as_bytes()).eq(text.bytes())
}

/// The text that a name or value of a query means: `+` is a space.
pub(crate) fn form_decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains(['%', '+']) {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(text_of(form_bytes(raw.as_bytes()).collect()))
}

/// The text of a header field, a character for each byte, as Java's servers read it.
pub(crate) fn latin1(raw: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(raw) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(raw.iter().copied().map(char::from).collect()),
    }
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_the_bytes_that_they_mean() {
        for (raw, text) in [
            ("", ""),
            ("a+b", "a+b"),
            ("a%20b", "a b"),
            ("%E4%B8%AD", "中"),
            ("%e4%b8%ad", "中"),
            ("a%2Fb", "a/b"),
            ("%25%32%35", "%25"),
            ("%zz", "%zz"),
            ("%4", "%4"),
            ("%", "%"),
            ("%FF", "\u{FFFD}"),
        ] {
            assert_eq!(decoded(raw), text, "{raw}");
            assert_eq!(is_text(raw, text), raw != "%FF", "{raw}");
        }
        assert!(!is_text("%41b", "A") && !is_text("%41", "Ab"));
        assert_eq!(form_decoded("a+b%2B"), "a b+");
        assert_eq!(latin1("é".as_bytes()), "Ã©");
        assert_eq!(latin1(b"a"), "a");
    }
}
