//! A set of header names, for sets of which most heads have none.

use http::{HeaderMap, HeaderName};

/// Names to remove from heads.
///
/// Looking a name up in a map costs a hash. So the lengths of a head's own names,
/// which are few, are checked first. Only a head that may have a name of the set pays
/// for more.
#[derive(Debug)]
pub(crate) struct FieldSet<const N: usize> {
    names: [HeaderName; N],
    /// A bit for each length that a name of the set has; names are shorter than 64.
    lengths: u64,
}

impl<const N: usize> FieldSet<N> {
    pub(crate) fn new(names: [HeaderName; N]) -> FieldSet<N> {
        let lengths = names.iter().map(|name| bit(name.as_str().len()));
        FieldSet {
            lengths: lengths.fold(0, |all, length| all | length),
            names,
        }
    }

    /// Takes every field of these names out.
    pub(crate) fn remove_from(&self, headers: &mut HeaderMap) {
        let may_be_one = |name: &HeaderName| {
            self.lengths & bit(name.as_str().len()) != 0 && self.names.contains(name)
        };
        if headers.keys().any(may_be_one) {
            for name in &self.names {
                headers.remove(name);
            }
        }
    }
}

fn bit(length: usize) -> u64 {
    1 << length.min(63)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_line_of_a_listed_name_goes_and_no_other() {
        let long = HeaderName::from_bytes(&[b'a'; 80]).expect("a name");
        let set = FieldSet::new([
            HeaderName::from_static("te"),
            HeaderName::from_static("keep-alive"),
            long.clone(),
        ]);
        let mut headers = HeaderMap::new();
        for name in ["te", "host", "te", "user-agent", "keep-alive"] {
            headers.append(name, HeaderValue::from_static("1"));
        }
        headers.append(long, HeaderValue::from_static("1"));
        set.remove_from(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["host", "user-agent"]);
        let before = headers.clone();
        set.remove_from(&mut headers);
        assert_eq!(headers, before, "none is left");
    }
}
