//! The valid name that a person most likely meant.

/// The candidate nearest to `name`, if one is near enough to be what was meant.
///
/// Near is an optimal-string-alignment distance (insertion, deletion, substitution, swap of neighbours) of at most a third
/// of the name's length, at least one and at most three. Case, `-` and `_` do not count: `stripPrefix` and `strip-prefix`
/// both find `strip_prefix`.
///
/// ```
/// assert_eq!(pailou_config::nearest("strip_prefx", ["path", "strip_prefix"]), Some("strip_prefix"));
/// assert_eq!(pailou_config::nearest("timeout", ["path", "strip_prefix"]), None);
/// ```
pub fn nearest<'x>(name: &str, candidates: impl IntoIterator<Item = &'x str>) -> Option<&'x str> {
    let wanted = folded(name);
    // A text of this length is no mistyped name, but a value in the wrong place.
    if wanted.is_empty() || wanted.len() > 64 {
        return None;
    }
    let limit = (wanted.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, &folded(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_proposed() {
        let names = [
            "path",
            "host",
            "match",
            "service",
            "strip_prefix",
            "timeout",
            "read_timeout",
        ];
        let cases = [
            ("strip_prefx", Some("strip_prefix")),
            ("stripPrefix", Some("strip_prefix")),
            ("strip-prefix", Some("strip_prefix")),
            ("pahts", None),
            ("paht", Some("path")),
            ("hots", Some("host")),
            ("sevrice", Some("service")),
            ("timeouts", Some("timeout")),
            ("uri", None),
            ("", None),
            ("_", None),
            ("x", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, names), expected, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), names), None);
    }
}
