use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// What Spring 6.2.15 said. `path` lines list the paths that every pattern was held against; below a pattern stand those that it
/// matches always (`both`) or with a slash too many only (`slash`), with its variables, and those on which it `fails`.
const RECORDED: &str = include_str!("recorded.tsv");

fn captured(pattern: &SpringPath, path: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    pattern.capture(path, |name, value| {
        variables.insert(name.to_string(), value.into_owned());
    });
    variables
}

/// As Java prints a map.
fn shown(variables: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

#[test]
fn patterns_match_what_they_match_in_spring() {
    let lines = || {
        RECORDED
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
    };
    let paths: Vec<&str> = lines()
        .filter(|line| line[0] == "path")
        .map(|line| line[1])
        .collect();
    let mut patterns: Vec<(&str, BTreeMap<&str, Vec<&str>>)> = Vec::new();
    for line in lines() {
        match line[0] {
            "pattern" => patterns.push((line[1], BTreeMap::new())),
            "both" | "slash" | "fails" => {
                let (_, recorded) = patterns.last_mut().expect("a pattern stands before");
                recorded.insert(line[1], line);
            }
            _ => {}
        }
    }
    assert!(
        patterns.len() > 70 && paths.len() > 60,
        "{}",
        patterns.len()
    );
    let mut wrong = Vec::new();
    for (text, recorded) in patterns {
        let parse = |slash| {
            SpringPath::parse(text, slash).unwrap_or_else(|error| panic!("{text}: {error}"))
        };
        let (strict, tolerant) = (parse(false), parse(true));
        for path in &paths {
            let (expected, variables) = match recorded.get(path).map(Vec::as_slice) {
                Some(["both", _, variables]) => ((true, true), Some(*variables)),
                Some(["slash", _, variables]) => ((false, true), Some(*variables)),
                // It has a group that captures; what the author meant is plain.
                Some(["fails", ..]) => continue,
                _ => ((false, false), None),
            };
            let found = (strict.matches(path), tolerant.matches(path));
            if found != expected {
                wrong.push(format!(
                    "{text} on {path}: {found:?}, in Spring {expected:?}"
                ));
            } else if let Some(variables) = variables {
                let captured = shown(&captured(&tolerant, path));
                if captured != variables {
                    wrong.push(format!(
                        "{text} on {path}: {captured}, in Spring {variables}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_spring_refuses_is_refused() {
    let refused = RECORDED
        .lines()
        .filter_map(|line| line.strip_prefix("refused\t"));
    let mut reasons = BTreeSet::new();
    for text in refused {
        let error = SpringPath::parse(text, true).expect_err(text);
        reasons.insert(error.to_string());
    }
    assert!(reasons.len() > 9, "{reasons:?}");
    let long = "/a".repeat(200);
    assert_eq!(
        SpringPath::parse(&long, true).expect_err("long"),
        PatternError::TooLong
    );
}
