//! Which parts of a text are for the profiles that are active.

use super::arg::tokens;

/// What Spring calls the profile that is active when none is named.
const DEFAULT: &str = "default";

/// Whether a part is for the active profiles. `on_profile` is a list, by commas, of names and of expressions with `&`, `|` and `!`; one
/// of them has to hold. `None` if one cannot be read: parentheses are not.
pub(super) fn is_active(on_profile: &str, active: &[String]) -> Option<bool> {
    if on_profile.contains(['(', ')']) {
        return None;
    }
    let is_named = |name: &str| match active {
        [] => name == DEFAULT,
        names => names.iter().any(|active| active == name),
    };
    let holds = |name: &str| match name.trim().strip_prefix('!') {
        Some(name) => !is_named(name.trim()),
        None => is_named(name.trim()),
    };
    let all = |terms: &str| terms.split('&').all(holds);
    Some(tokens(on_profile).any(|expression| expression.split('|').any(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_for_names_and_expressions() {
        let active: Vec<String> = ["dev", "eu"].map(str::to_owned).to_vec();
        for (on_profile, expected) in [
            ("dev", Some(true)),
            ("prod", Some(false)),
            ("prod, dev", Some(true)),
            ("!prod", Some(true)),
            ("! dev", Some(false)),
            ("dev & eu", Some(true)),
            ("dev & !eu", Some(false)),
            ("prod | eu", Some(true)),
            ("", Some(false)),
            ("(dev | prod) & eu", None),
        ] {
            assert_eq!(is_active(on_profile, &active), expected, "{on_profile}");
        }
        assert_eq!(is_active("default", &[]), Some(true));
        assert_eq!(is_active("default", &active), Some(false));
    }
}
