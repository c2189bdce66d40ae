use std::collections::BTreeMap;

use super::*;

/// What `AntPathMatcher(".")` of Spring 6.2.15 said: below a pattern stand the hosts that it matches, with its variables, and those
/// on which it fails.
const RECORDED: &str = include_str!("recorded.tsv");

#[test]
fn patterns_match_what_they_match_in_spring() {
    let lines: Vec<Vec<&str>> = RECORDED
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let hosts: Vec<&str> = lines
        .iter()
        .filter(|line| line[0] == "host")
        .map(|line| line[1])
        .collect();
    let mut patterns: Vec<(&str, BTreeMap<&str, &Vec<&str>>)> = Vec::new();
    for line in &lines {
        match line[0] {
            "pattern" => patterns.push((line[1], BTreeMap::new())),
            "match" | "fails" => {
                let (_, recorded) = patterns.last_mut().expect("a pattern stands before");
                recorded.insert(line[1], line);
            }
            _ => {}
        }
    }
    assert!(patterns.len() > 30 && hosts.len() > 40);
    let mut wrong = Vec::new();
    for (text, recorded) in &patterns {
        let pattern = match SpringHost::parse(text) {
            Ok(pattern) => pattern,
            Err(error) => {
                assert!(recorded.is_empty(), "{text}: {error}");
                continue;
            }
        };
        for host in &hosts {
            let line = recorded.get(host);
            let mut variables = BTreeMap::new();
            pattern.capture(host, |name, value| {
                variables.insert(name.to_string(), value.to_owned());
            });
            let pairs: Vec<_> = variables
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let found = pattern
                .matches(host)
                .then(|| format!("{{{}}}", pairs.join(", ")));
            let expected = match line.map(|line| line.as_slice()) {
                Some(["match", _, variables]) => Some((*variables).to_owned()),
                // It has a group that captures; what the author meant is plain.
                Some(["fails", ..]) => continue,
                _ => None,
            };
            if found != expected {
                wrong.push(format!(
                    "{text} on {host}: {found:?}, in Spring {expected:?}"
                ));
            }
            if found.is_some() {
                let name = without_port(host);
                let is_keyed = match pattern.key() {
                    HostKey::Exact(key) => **key == *name,
                    HostKey::Below(key) => *name == **key || name.ends_with(&format!(".{key}")),
                    HostKey::Any => true,
                };
                assert!(is_keyed, "{text} on {host}: {:?}", pattern.key());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn case_does_not_matter_but_in_expressions() {
    let pattern = SpringHost::parse(r"{a:X\D+}.Example.ORG").expect("legal");
    assert!(pattern.matches("xyz.example.org"));
    assert!(!pattern.matches("x1.example.org"));
}

#[test]
fn the_index_gets_what_is_literal_at_the_end() {
    for (pattern, key) in [
        ("Plain.org", HostKey::Exact("plain.org".into())),
        ("plain.org:8443", HostKey::Exact("plain.org".into())),
        ("plain.org:*", HostKey::Exact("plain.org".into())),
        ("[::1]:*", HostKey::Exact("[::1]".into())),
        ("**.x.org", HostKey::Below("x.org".into())),
        ("{a}.{b}.re.org:*", HostKey::Below("re.org".into())),
        ("a.*.org", HostKey::Below("org".into())),
        ("10.0.0.*", HostKey::Any),
        ("*host:80", HostKey::Any),
        ("**", HostKey::Any),
    ] {
        let parsed = SpringHost::parse(pattern).expect(pattern);
        assert_eq!(*parsed.key(), key, "{pattern}");
    }
}

#[test]
fn what_matches_no_host_is_refused() {
    for (pattern, problem) in [
        (".x.org", "a dot"),
        ("x.org.", "a dot"),
        ("{x:a.b}.org", "Spring cuts"),
        ("{x", "not closed"),
        ("x}", "closes no variable"),
        ("{x}-{x}", "two variables"),
        ("{x:[}", "not a Java regular expression"),
    ] {
        let error = SpringHost::parse(pattern).expect_err(pattern);
        assert!(error.contains(problem), "{pattern}: {error}");
    }
}
