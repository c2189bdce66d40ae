//! What is refused, what is a warning, and what predicates say of themselves.

use super::*;

#[test]
fn what_cannot_run_is_refused_with_the_reason() {
    for (text, problem) in [
        (
            "Foo=bar",
            "`Foo` is not a predicate of Spring Cloud Gateway",
        ),
        ("path=/x", "did you mean `Path`"),
        ("ReadBody{ inClass: '#{T(String)}' }", "a class in Java"),
        ("CloudFoundryRouteService", "Cloud Foundry"),
        ("Path=/a/**/c", "at the beginning or at the end"),
        ("Path=/{a}/{a}", "two variables are called `a`"),
        ("Path=/{id:[}", "not a Java regular expression"),
        ("Path=/ok,/a/{id", "a variable is not closed"),
        ("Host={x", "not closed"),
        ("Header=X, [", "not a Java regular expression"),
        ("Header=X-D, a{1,3}", "not closed"),
        ("Header=a b", "not a header name"),
        ("Header=Transfer-Encoding, chunked", "of one hop"),
        ("Header{}", "`header` is missing"),
        ("Query{ regexp: x }", "`param` is missing"),
        ("Query{ param: x, predicate: '#{@bean}' }", "in Java"),
        ("Cookie=id", "`regexp` is missing"),
        ("Cookie{ name: id, regexp: '' }", "`regexp` is empty"),
        ("RemoteAddr=notanip", "is not an address"),
        ("RemoteAddr=10.0.0.0/33", "is not a network"),
        ("RemoteAddr=", "no network is given"),
        (
            "XForwardedRemoteAddr{ sources: [1.2.3.4], maxTrustedIndex: 0 }",
            "1 to 32",
        ),
        ("Weight=g, -1", "from 0 to"),
        ("Weight=g, x", "whole number"),
        ("Weight{ group: g, weight: 1 }", "`weight.group` is missing"),
        ("After=2017-01-20", "not a point in time"),
        ("Before=2017-01-20 17:42:47", "not a point in time"),
        ("Between=2000, 1000", "is not after"),
        ("Between=1000", "`datetime2` is missing"),
        ("Version=1.1", "`scg: { compat: 5 }`"),
    ] {
        let error = compiled(text)
            .err()
            .unwrap_or_else(|| panic!("{text} is not refused"));
        assert!(error.contains(problem), "{text}: {error}");
    }
    for (text, problem) in [
        ("Version=1.1", "nothing says where"),
        (
            "Version{ version: x, apiversion.use.header: X-V }",
            "a version such as",
        ),
        (
            "Version{ version: '1', apiversion.use.header: X-V, apiversion.default: x }",
            "a version such as",
        ),
    ] {
        let error = compiled_as(text, Compat::V5)
            .err()
            .unwrap_or_else(|| panic!("{text} is not refused"));
        assert!(error.contains(problem), "{text}: {error}");
    }
}

#[test]
fn what_is_accepted_and_differs_or_never_matches_is_a_warning() {
    for (text, warning) in [
        ("Path=", "no pattern is given"),
        ("Path=nosl/**", "never matches: it does not begin with `/`"),
        ("Path=/a//b", "doubled slashes"),
        ("Path=/a/../b", "dot segments"),
        ("Path{ pattern: '/f6/**,/f6b/**' }", "is one pattern"),
        (r"Path=/{id:(\d+)}", "Spring answers 500"),
        ("Host{ pattern: 'a,b' }", "is one pattern"),
        ("Weight=g", "which is 0"),
    ] {
        let (_, warnings) = compiled(text).expect(text);
        assert!(warnings.contains(warning), "{text}: {warnings}");
    }
    assert!(
        holds(r"Path=/{id:(\d+)}", "GET /7", &[]),
        "as its author meant it"
    );
    assert!(!holds("Path=", "GET /", &[]) && !holds("Path=nosl/**", "GET /nosl/x", &[]));
}

#[test]
fn predicates_say_what_they_ask_for() {
    for (text, shown) in [
        ("Path=/a/{x},/b/**", "/a/{x}, /b/**"),
        ("Host=a,b", "a, b"),
        ("Method=GET,POST", "GET, POST"),
        (r"Header=X-Id, \d+", r"x-id matches \d+"),
        ("Query=k", "k present"),
        ("Cookie=c, x", "c matches x"),
        ("RemoteAddr=10.0.0.0/8,1.2.3.4", "10.0.0.0/8, 1.2.3.4/32"),
        ("Weight=g, 8", "g, 8"),
        ("After=1000", "1000"),
        ("Between=1000, 2000", "1000, 2000"),
    ] {
        assert_eq!(compiled(text).expect(text).0.to_string(), shown, "{text}");
    }
}

#[test]
fn the_readme_has_a_row_for_every_predicate() {
    let readme = include_str!("../../../README.md");
    for Entry {
        name,
        shortcut,
        summary,
        ..
    } in REGISTRY
    {
        let row = format!("| `{name}` | `{shortcut}` | {summary} |");
        assert!(readme.contains(&row), "README.md lacks the row\n{row}");
    }
}
