//! What the gateway writes into its own instance's metadata, within what the server accepts.
//!
//! Nacos refuses a registration whose metadata is longer than 1,024 bytes. The gateway would then vanish from
//! the console just when it has an error to show. So the keys are fixed, the error is cut, and the operator's
//! own entries get what is left of 800 bytes.

use std::collections::BTreeMap;

/// The most bytes that all metadata may take, written as JSON.
pub(crate) const MAX_BYTES: usize = 800;
/// The most bytes of the error.
pub(crate) const MAX_ERROR_BYTES: usize = 200;

/// What is said of the table that this gateway runs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Applied {
    /// 0 while there is no table.
    pub(crate) revision: u64,
    pub(crate) md5: String,
    /// The first fault of a refused document, or why one is missing.
    pub(crate) error: Option<String>,
    /// Whether endpoints are served that Nacos has not confirmed since the connection was lost.
    pub(crate) stale: bool,
}

/// The metadata to register, and the operator's own keys that found no room.
pub(crate) fn compose(
    version: &str,
    applied: &Applied,
    own: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, Vec<String>) {
    let mut metadata = BTreeMap::from([
        ("version".to_owned(), version.to_owned()),
        ("revision".to_owned(), applied.revision.to_string()),
        ("md5".to_owned(), applied.md5.clone()),
        ("stale".to_owned(), applied.stale.to_string()),
    ]);
    if let Some(error) = &applied.error {
        metadata.insert("error".to_owned(), cut(error, MAX_ERROR_BYTES));
    }
    // The room for an error is kept free while there is none: an operator's key must not come and go
    // with it.
    let reserved = entry_bytes("error", "") + MAX_ERROR_BYTES;
    let fixed: usize = metadata
        .iter()
        .filter(|(key, _)| *key != "error")
        .map(|(key, value)| entry_bytes(key, value))
        .sum();
    let mut room = MAX_BYTES.saturating_sub(fixed + reserved + "{}".len());
    let mut left_out = Vec::new();
    for (key, value) in own {
        let bytes = entry_bytes(key, value);
        if metadata.contains_key(key) || key == "error" || bytes > room {
            left_out.push(key.clone());
        } else {
            room -= bytes;
            metadata.insert(key.clone(), value.clone());
        }
    }
    (metadata, left_out)
}

/// The start of `text` that takes at most `max` bytes as a JSON string, on one line.
fn cut(text: &str, max: usize) -> String {
    let mut kept = String::new();
    let mut bytes = 0;
    for character in text.chars() {
        let character = if character.is_control() {
            ' '
        } else {
            character
        };
        bytes += match character {
            '"' | '\\' => 2,
            plain => plain.len_utf8(),
        };
        if bytes > max {
            break;
        }
        kept.push(character);
    }
    kept
}

/// The bytes that an entry takes in JSON, its comma included.
fn entry_bytes(key: &str, value: &str) -> usize {
    json_bytes(key) + json_bytes(value) + ":,".len()
}

fn json_bytes(text: &str) -> usize {
    serde_json::Value::from(text).to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(metadata: &BTreeMap<String, String>) -> usize {
        serde_json::to_string(metadata)
            .expect("a map of strings")
            .len()
    }

    fn applied(error: Option<&str>) -> Applied {
        Applied {
            revision: u64::MAX,
            md5: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            error: error.map(str::to_owned),
            stale: false,
        }
    }

    #[test]
    fn the_keys_are_fixed_and_an_error_appears_only_when_there_is_one() {
        let (metadata, left_out) = compose("1.2.3", &applied(None), &BTreeMap::new());
        let keys: Vec<_> = metadata.keys().map(String::as_str).collect();
        assert_eq!(keys, ["md5", "revision", "stale", "version"]);
        assert!(left_out.is_empty());
        let (metadata, _) = compose("1.2.3", &applied(Some("line 1\nline 2")), &BTreeMap::new());
        assert_eq!(metadata["error"], "line 1 line 2");
    }

    #[test]
    fn whatever_the_error_and_the_operators_keys_the_whole_fits() {
        let errors = [
            "x".repeat(5000),
            "\"".repeat(5000),
            "\\".repeat(5000),
            "é牌楼".repeat(5000),
            "\u{0}\n\t".repeat(5000),
        ];
        for error in errors {
            for size in [1, 50, 300, 700, 2000] {
                let own = (0..9)
                    .map(|n| (format!("key-{n}"), "\"v".repeat(size / 2)))
                    .collect();
                let (metadata, left_out) = compose("1.2.3", &applied(Some(&error)), &own);
                assert!(bytes(&metadata) <= MAX_BYTES, "{}", bytes(&metadata));
                assert!(metadata["error"].len() <= MAX_ERROR_BYTES);
                assert_eq!(metadata.len() + left_out.len(), 5 + own.len());
            }
        }
    }

    #[test]
    fn an_operators_key_is_there_or_not_whatever_the_error() {
        let own = (0..9)
            .map(|n| (format!("key-{n}"), "v".repeat(90)))
            .collect();
        let (_, without) = compose("1.2.3", &applied(None), &own);
        let (_, with) = compose("1.2.3", &applied(Some(&"e".repeat(900))), &own);
        assert_eq!(with, without);
        assert!(!with.is_empty());
    }

    #[test]
    fn an_operator_cannot_replace_a_fixed_key() {
        let own = BTreeMap::from([
            ("revision".to_owned(), "7".to_owned()),
            ("error".to_owned(), "none".to_owned()),
            ("team".to_owned(), "edge".to_owned()),
        ]);
        let (metadata, left_out) = compose("1.2.3", &applied(None), &own);
        assert_eq!(metadata["revision"], u64::MAX.to_string());
        assert_eq!(metadata["team"], "edge");
        assert_eq!(left_out, ["error", "revision"]);
    }
}
