//! How the path of a value is written: `routes["/a/**"].filters[0].prefix`.

use std::fmt::Write;

/// A key is written up to this many characters.
const MAX_KEY_CHARS: usize = 256;

/// The path of the value under `key` of the mapping at `path`.
pub(crate) fn child(path: &str, key: &str) -> String {
    let key = match key.char_indices().nth(MAX_KEY_CHARS) {
        Some((end, _)) => &format!("{}…", &key[..end]),
        None => key,
    };
    let mut out = String::with_capacity(path.len() + key.len() + 4);
    out.push_str(path);
    let is_plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if is_plain {
        if !path.is_empty() {
            out.push('.');
        }
        out.push_str(key);
    } else {
        // Debug escapes control characters, so that a key cannot forge a log line.
        let _ = write!(out, "[{key:?}]");
    }
    out
}

/// The path of one item of the sequence at `path`.
pub(crate) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_keys_take_a_dot_and_others_are_quoted() {
        assert_eq!(child("", "routes"), "routes");
        assert_eq!(child("routes", "users-canary"), "routes.users-canary");
        assert_eq!(child("routes", "/a/**"), "routes[\"/a/**\"]");
        assert_eq!(child("routes", "a\nb"), "routes[\"a\\nb\"]");
        assert_eq!(child("routes", ""), "routes[\"\"]");
        assert!(child("routes", &"é".repeat(1 << 20)).len() < 600);
        assert_eq!(item("filters", 2), "filters[2]");
    }
}
