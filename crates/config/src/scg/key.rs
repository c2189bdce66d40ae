//! Spring's relaxed names.

/// The form in which two spellings of one name are equal: `keyResolver`, `key-resolver` and `KEY_RESOLVER` are one name, and so
/// are `statuses[0]` and `statuses.0`.
///
/// Elements are separated by `.`; of each, only letters and digits count, in lower case (Spring Boot, `ConfigurationPropertyName`).
pub(crate) fn folded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '.' | '[' if !out.is_empty() && !out.ends_with('.') => out.push('.'),
            c if c.is_alphanumeric() => out.extend(c.to_lowercase()),
            _ => {}
        }
    }
    out
}

/// The index in `key`, if it is an item of the list `list`; both are folded.
pub(crate) fn index_in(key: &str, list: &str) -> Option<usize> {
    let index = key.strip_prefix(list)?.strip_prefix('.')?;
    index.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_fold_to_one() {
        for (spellings, expected) in [
            (
                &["keyResolver", "key-resolver", "KEY_RESOLVER"][..],
                "keyresolver",
            ),
            (&["statuses[0]", "statuses.0", "[statuses].0"], "statuses.0"),
            (&["weight.group", "Weight.Group"], "weight.group"),
            (&["[/**]", ""], ""),
        ] {
            for spelling in spellings {
                assert_eq!(folded(spelling), expected, "{spelling}");
            }
        }
        assert_eq!(index_in("statuses.12", "statuses"), Some(12));
        for other in ["statuses", "statuses.x", "status.1", "statusess.1"] {
            assert_eq!(index_in(other, "statuses"), None, "{other}");
        }
    }
}
