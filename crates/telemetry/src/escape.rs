//! Keeps control characters out of every line: a client or an upstream must not be able to forge a log line or steer a terminal.

use std::fmt::Write;

/// Appends `text` to `out` with quotes, backslashes and every control character (C0, DEL and C1) escaped as JSON does.
pub(crate) fn escape_into(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Control characters are all below U+00A0: four digits always suffice. Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Replaces the control characters of one finished log line, its final newline and terminal colours excepted.
///
/// The formatter escapes ESC inside field values itself, so an ESC that is left is its own colour.
pub(crate) fn clean_line(line: &[u8]) -> Vec<u8> {
    let (body, end): (&[u8], &[u8]) = match line {
        [body @ .., b'\n'] => (body, b"\n"),
        body => (body, b""),
    };
    let mut clean = Vec::with_capacity(line.len());
    for &byte in body {
        match byte {
            b'\n' => clean.extend_from_slice(b"\\n"),
            b'\r' => clean.extend_from_slice(b"\\r"),
            0x1b | b'\t' | b' '..=0x7e | 0x80.. => clean.push(byte),
            byte => clean.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    clean.extend_from_slice(end);
    clean
}

/// The longest beginning of `text` that has at most `max_bytes` bytes and ends between two characters.
pub(crate) fn cut(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    let mut end = max_bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_the_rest_is_kept() {
        for (text, expected) in [
            ("/api/users/1", "/api/users/1"),
            ("a\"b\\c", "a\\\"b\\\\c"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            (
                "\u{1b}[31mred\u{7}\u{7f}\u{9b}",
                "\\u001b[31mred\\u0007\\u007f\\u009b",
            ),
            ("牌楼", "牌楼"),
        ] {
            let mut out = String::new();
            escape_into(&mut out, text);
            assert_eq!(out, expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(clean_line(b"a\nb\r\x00c\n"), b"a\\nb\\r\\x00c\n");
        assert_eq!(
            clean_line("tab\tand 牌楼\n".as_bytes()),
            "tab\tand 牌楼\n".as_bytes()
        );
    }

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc");
        assert_eq!(cut("a牌", 3), "a");
    }
}
