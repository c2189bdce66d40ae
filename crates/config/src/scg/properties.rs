//! Java's `.properties`: one key and value a line.

use crate::{fault::Position, node::Node};

/// One property.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) key: String,
    pub(crate) value: Node,
}

/// Whether a text is a properties file with Spring Cloud Gateway's keys: a line of it has such a key before a `=`.
pub(crate) fn is_properties(text: &str, prefix: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start_matches([' ', '\t', '\u{feff}']);
        let Some(rest) = line.strip_prefix(prefix) else {
            return false;
        };
        let is_end = |c: char| matches!(c, '=' | ':' | ' ' | '\t' | '"' | '\'');
        let key = rest.find(is_end).map(|end| rest[end..].trim_start());
        key.is_some_and(|rest| rest.starts_with('='))
    })
}

/// The properties of a text whose keys begin with one of `prefixes`, by the documents that it holds: lines of `#---` or `!---`
/// separate them.
///
/// Escapes and continued lines as in `java.util.Properties.load`; keys of others are not kept.
pub(crate) fn read(text: &str, prefixes: &[&str]) -> Vec<Vec<Property>> {
    let mut parts = vec![Vec::new()];
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().zip(1u32..);
    while let Some((line, number)) = lines.next() {
        if matches!(line.trim_end(), "#---" | "!---") {
            parts.push(Vec::new());
            continue;
        }
        let trimmed = line.trim_start_matches(is_blank);
        if trimmed.is_empty() || trimmed.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = trimmed.to_owned();
        while is_continued(&logical) {
            logical.pop();
            match lines.next() {
                Some((next, _)) => logical.push_str(next.trim_start_matches(is_blank)),
                None => break,
            }
        }
        if !prefixes.iter().any(|prefix| logical.starts_with(prefix)) {
            continue;
        }
        let column = line.chars().count() - trimmed.chars().count() + 1;
        let at = Position {
            line: number,
            column: u32::try_from(column).unwrap_or(u32::MAX),
        };
        let (key, value) = key_and_value(&logical);
        if let Some(part) = parts.last_mut() {
            part.push(Property {
                key: unescaped(key),
                value: Node::scalar(unescaped(value), at),
            });
        }
    }
    parts
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Whether a line ends in an odd number of backslashes.
fn is_continued(line: &str) -> bool {
    let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    backslashes % 2 == 1
}

/// Cuts at the first `=`, `:` or blank that no backslash stands before.
fn key_and_value(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|c: char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        is_escaped = c == '\\';
        matches!(c, '=' | ':') || is_blank(c)
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(is_blank))
}

fn unescaped(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0; 2];
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        match chars.next() {
            Some('t') => units.push(b'\t'.into()),
            Some('n') => units.push(b'\n'.into()),
            Some('r') => units.push(b'\r'.into()),
            Some('f') => units.push(0xc),
            Some('u') => {
                let rest = chars.as_str();
                let digits = rest
                    .get(..4)
                    .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
                match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
                    Some(unit) => {
                        units.push(unit);
                        chars = rest[4..].chars();
                    }
                    None => units.push(b'u'.into()),
                }
            }
            Some(other) => units.extend_from_slice(other.encode_utf16(&mut buffer)),
            None => {}
        }
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<Vec<(String, String, u32)>> {
        let show = |property: Property| {
            let text = serde_json::to_value(&property.value).expect("plain data");
            let text = text.as_str().expect("a text").to_owned();
            (property.key, text, property.value.at.line)
        };
        let parts = read(text, &["a"]).into_iter();
        parts
            .map(|part| part.into_iter().map(show).collect())
            .collect()
    }

    #[test]
    fn a_line_is_a_key_and_its_value() {
        for (line, key, value) in [
            ("a=1", "a", "1"),
            ("a = 1 ", "a", "1 "),
            ("a:1", "a", "1"),
            ("a 1", "a", "1"),
            ("  a\t=\t1", "a", "1"),
            ("a=b=c", "a", "b=c"),
            ("a[0].b=Path=/x/**,/y", "a[0].b", "Path=/x/**,/y"),
            ("a\\=b=1", "a=b", "1"),
            ("a=", "a", ""),
            ("a", "a", ""),
            ("a=x\\ty\\\\z\\q", "a", "x\ty\\zq"),
            ("a=\\u4e2d\\ud83d\\ude00\\u12", "a", "中😀u12"),
            ("a=/${seg}", "a", "/${seg}"),
            ("a=/$\\\\{seg}", "a", "/$\\{seg}"),
            ("a=1\\\n   2\\\n3", "a", "123"),
            ("a=1\\\\\nb=2", "a", "1\\"),
            ("a=1\\", "a", "1"),
        ] {
            let expected = (key.to_owned(), value.to_owned(), 1);
            assert_eq!(shown(line), [[expected]], "{line}");
        }
    }

    #[test]
    fn comments_and_foreign_keys_are_passed_over_and_parts_are_separate() {
        let text = "# a=0\n!a=0\n\nother=1\\\na=2\na=3\n#---\na=4\n";
        let one = |value: &str, line| vec![("a".to_owned(), value.to_owned(), line)];
        assert_eq!(shown(text), [one("3", 6), one("4", 8)]);
    }

    #[test]
    fn a_text_is_properties_when_a_key_of_the_gateway_has_an_equals_sign() {
        const PREFIX: &str = "spring.cloud.gateway";
        for (text, expected) in [
            ("x=1\nspring.cloud.gateway.routes[0].id=a\n", true),
            ("spring.cloud.gateway.routes[0].id = a\n", true),
            ("spring.cloud.gateway.routes[0].id: a=b\n", false),
            ("spring:\n  cloud: 1\n", false),
            ("# spring.cloud.gateway.x=1\n", false),
        ] {
            assert_eq!(is_properties(text, PREFIX), expected, "{text}");
        }
    }
}
