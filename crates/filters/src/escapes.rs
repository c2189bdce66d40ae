//! Percent-escapes (RFC 3986 section 2.1): what they mean, and how they are written.

use std::borrow::Cow;

/// The bytes that a piece of a path stands for. `+` is a plus, and a malformed escape
/// stands for itself.
pub fn path_bytes(raw: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes(raw, b'+')
}

/// The same for a name or a value of a query, where `+` is a space (WHATWG URL,
/// section 5.1).
pub fn form_bytes(raw: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes(raw, b' ')
}

/// [`form_bytes`] in one piece, which is the text itself if nothing is escaped.
pub fn form_decoded(raw: &[u8]) -> Cow<'_, [u8]> {
    match raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        true => Cow::Owned(form_bytes(raw).collect()),
        false => Cow::Borrowed(raw),
    }
}

fn bytes(mut rest: &[u8], plus: u8) -> impl Iterator<Item = u8> + '_ {
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
        Some(if first == b'+' { plus } else { first })
    })
}

/// Writes a byte, escaped unless it `is_plain`.
pub(crate) fn push(to: &mut String, byte: u8, is_plain: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if is_plain {
        to.push(char::from(byte));
        return;
    }
    to.push('%');
    to.push(char::from(HEX[usize::from(byte >> 4)]));
    to.push(char::from(HEX[usize::from(byte & 15)]));
}
