//! Percent-escapes, and the bytes of header fields, as text.

use std::borrow::Cow;

/// The text that a piece of a path means, `+` being itself.
pub(crate) fn decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    let bytes: Vec<u8> = bytes(raw).collect();
    Cow::Owned(text_of(bytes))
}

/// Whether a piece of a path means this text. Does not allocate.
pub(crate) fn is_text(raw: &str, text: &str) -> bool {
    if !raw.contains('%') {
        return raw == text;
    }
    bytes(raw).eq(text.bytes())
}

/// The text that a name or value of a query means: `+` is a space.
pub(crate) fn form_decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains(['%', '+']) {
        return Cow::Borrowed(raw);
    }
    let plain = raw.replace('+', " ");
    Cow::Owned(decoded(&plain).into_owned())
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

/// The bytes that a text with percent-escapes means; what is no escape stands for itself.
fn bytes(raw: &str) -> impl Iterator<Item = u8> + '_ {
    let mut rest = raw.as_bytes();
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        rest = tail;
        if let (b'%', [high, low, after @ ..]) = (first, tail) {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            if let (Some(high), Some(low)) = (digit(*high), digit(*low)) {
                rest = after;
                return u8::try_from(high * 16 + low).ok();
            }
        }
        Some(first)
    })
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
