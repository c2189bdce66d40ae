//! Spring's patterns and paths that nobody thought of.

use pailou_fuzz::Fuzz;

use super::spring_host::SpringHost;
use super::spring_path::{SpringPath, Takes};
use crate::Target;

#[test]
fn fuzz_spring_path() {
    let seeds = [
        "/api/users/**\n/api/users/7",
        "/api/{id}/x\n/api/7/x",
        "/a/{id:[0-9]+}/{*rest}\n/a/7/b/c",
        "/a?c/*.html\n/abc/x.html",
        "/**/end\n/a/b/end",
        "/a/\n/a",
        "/{a}-{b:\\d{2}}\n/x-12",
        "/a/%2F/b;c=d\n/a/%2F/b",
    ];
    let words = [
        "/", "/**", "/*", "{x}", "{*y}", "{z:.*}", "?", "{", "}", "\n", "%20", "\\", ":",
    ];
    Fuzz::new("spring-path")
        .seeds(seeds)
        .words(words)
        .run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (pattern, path) = text.split_once('\n').unwrap_or((&text, "/a/b"));
            let mut outcomes = Vec::new();
            for takes_slash in [false, true] {
                let Ok(pattern) = SpringPath::parse(pattern, takes_slash) else {
                    outcomes.push((false, false, 0));
                    continue;
                };
                let Ok(target) = Target::parse(path.as_bytes()) else {
                    outcomes.push((true, false, 0));
                    continue;
                };
                let path = target.path();
                let matches = pattern.matches(path);
                let mut variables = 0;
                pattern.capture(path, |_, _| variables += 1);
                assert!(
                    matches || variables == 0,
                    "what does not match has no variables"
                );
                if !path.contains('%') {
                    assert_in_place(&pattern, path, matches);
                }
                outcomes.push((true, matches, variables));
            }
            // With a slash more allowed, whatever matched still does.
            if let [(true, true, _), (_, also, _)] = outcomes[..] {
                assert!(also);
            }
            outcomes
        });
}

/// What the index makes of a pattern leads to it.
fn assert_in_place(pattern: &SpringPath, path: &str, matches: bool) {
    let Some(place) = pattern.prefix() else {
        return assert!(!matches, "a pattern that never matches");
    };
    let prefix: String = place
        .segments
        .iter()
        .flat_map(|segment| ["/", segment])
        .collect();
    let rest = path.strip_prefix(&prefix);
    let expected = match place.takes {
        Takes::Exact => rest == Some(""),
        Takes::ExactOrSlash => matches!(rest, Some("" | "/")),
        Takes::All => rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        Takes::Some => rest.is_some() && matches,
    };
    assert_eq!(matches, expected, "{prefix:?} and {path:?}");
}

#[test]
fn fuzz_spring_host() {
    let seeds = [
        "**.example.com\nshop.example.com",
        "{sub}.example.com:8080\na.example.com:8080",
        "*.a?c.{x:[a-z]+}\nb.abc.d",
        "[2001:db8::7]\n[2001:db8::7]",
    ];
    let words = ["**", "*", ".", "{x}", "{y:.+}", "?", "\n", ":", "{", "}"];
    Fuzz::new("spring-host")
        .seeds(seeds)
        .words(words)
        .run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (pattern, host) = text.split_once('\n').unwrap_or((&text, "a.b"));
            let Ok(pattern) = SpringHost::parse(pattern) else {
                return (false, false, 0);
            };
            let matches = pattern.matches(host);
            let mut variables = 0;
            pattern.capture(host, |_, _| variables += 1);
            (true, matches, variables)
        });
}
