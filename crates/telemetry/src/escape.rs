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

/// Replaces the control characters of one finished log line, except its final newline and, where it has colours, the formatter's own.
pub(crate) fn clean_line(line: &[u8], colour: bool) -> Vec<u8> {
    let (body, end): (&[u8], &[u8]) = match line {
        [body @ .., b'\n'] => (body, b"\n"),
        body => (body, b""),
    };
    let mut clean = Vec::with_capacity(line.len());
    for (at, &byte) in body.iter().enumerate() {
        match byte {
            b'\n' => clean.extend_from_slice(b"\\n"),
            b'\r' => clean.extend_from_slice(b"\\r"),
            b'\t' | b' '..=0x7e | 0x80.. => clean.push(byte),
            0x1b if colour && is_plain_colour(&body[at + 1..]) => clean.push(byte),
            byte => clean.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    clean.extend_from_slice(end);
    clean
}

/// Whether what follows an ESC is one of the formatter's colours.
///
/// The formatter does not escape values that are logged by `Display`, so that any other sequence may be an attacker's: one that clears
/// the screen, or hides the text after it.
fn is_plain_colour(rest: &[u8]) -> bool {
    matches!(
        rest,
        [b'[', b'0'..=b'3', b'm', ..] | [b'[', b'3', b'1'..=b'6', b'm', ..]
    )
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
        assert_eq!(clean_line(b"a\nb\r\x00c\n", false), b"a\\nb\\r\\x00c\n");
        let evil = b"\x1b[32mINFO\x1b[0m \x1b[2J\x1b[8m\x1b]0;t\x1b";
        assert_eq!(
            clean_line(evil, true),
            b"\x1b[32mINFO\x1b[0m \\x1b[2J\\x1b[8m\\x1b]0;t\\x1b"
        );
        assert!(!clean_line(evil, false).contains(&0x1b));
        assert_eq!(
            clean_line("tab\tand 牌楼\n".as_bytes(), false),
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
