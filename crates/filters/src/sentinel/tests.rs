use super::*;

/// Asks `times` times and says how many requests pass. A line is `route path?query`, then header lines.
fn passed(rules: &FlowRules, line: &str, lines: &[(&'static str, &str)], times: u32) -> u32 {
    let (route, target) = line.split_once(' ').expect("a route");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    let host = HeaderValue::from_static("shop.example");
    let request = FlowRequest {
        route,
        path,
        query: Some(query),
        host: &host,
        client: [10, 0, 0, 7].into(),
        headers: &headers,
    };
    (0..times).filter(|_| rules.pass(&request).is_ok()).count() as u32
}

fn compile(rules: &str, groups: Option<&str>) -> (FlowRules, Vec<String>) {
    FlowRules::compile(rules, groups, &FlowRules::default()).expect("lists")
}

#[test]
fn a_rule_counts_the_requests_of_its_route() {
    let (rules, notes) = compile(
        r#"[ { "resource": "users", "count": 2, "intervalSec": 3600, "burst": 3, "app": "gateway", "gmtCreate": null },
             { "resource": "shut", "count": 0 }, { "resource": "less", "count": 0.9, "burst": 5 } ]"#,
        None,
    );
    assert_eq!(notes, [""; 0]);
    assert_eq!(rules.len(), 3);
    assert_eq!(passed(&rules, "users /a", &[], 10), 5);
    assert_eq!(passed(&rules, "shut /a", &[], 3), 0);
    assert_eq!(
        passed(&rules, "less /a", &[], 3),
        0,
        "Sentinel drops what is behind the point"
    );
    assert_eq!(passed(&rules, "others /a", &[], 10), 10);
}

#[test]
fn a_part_of_the_request_has_a_bucket_for_each_value() {
    for (param, one, other) in [
        (
            r#"{ "parseStrategy": 2, "fieldName": "X-Key" }"#,
            ("r /", "x-key", "1"),
            ("r /", "x-key", "2"),
        ),
        (
            r#"{ "parseStrategy": 3, "fieldName": "k" }"#,
            ("r /?k=a%20b", "x", "1"),
            ("r /?k=c", "x", "1"),
        ),
        (
            r#"{ "parseStrategy": 4, "fieldName": "sid" }"#,
            ("r /", "cookie", "a=b; sid=1"),
            ("r /", "cookie", "sid=2"),
        ),
    ] {
        let rules = format!(
            r#"[ {{ "resource": "r", "count": 1, "intervalSec": 3600, "paramItem": {param} }} ]"#
        );
        let (rules, notes) = compile(&rules, None);
        assert_eq!(notes, [""; 0]);
        assert_eq!(passed(&rules, one.0, &[(one.1, one.2)], 3), 1, "{param}");
        assert_eq!(
            passed(&rules, other.0, &[(other.1, other.2)], 3),
            1,
            "{param}"
        );
        assert_eq!(
            passed(&rules, "r /", &[], 3),
            3,
            "{param}: what has none is not counted"
        );
    }
    for strategy in [0, 1] {
        let rules = format!(
            r#"[ {{ "resource": "r", "count": 1, "intervalSec": 3600, "paramItem": {{ "parseStrategy": {strategy} }} }} ]"#
        );
        assert_eq!(
            passed(&compile(&rules, None).0, "r /", &[], 3),
            1,
            "{strategy}"
        );
    }
}

#[test]
fn a_pattern_says_which_values_count() {
    for (strategy, pattern, counted, free) in [
        (0, "abc", "abc", "abcd"),
        (2, "a\\\\d+", "a12", "a12b"),
        (3, "bc", "abcd", "acbd"),
    ] {
        let rules = format!(
            r#"[ {{ "resource": "r", "count": 1, "intervalSec": 3600, "paramItem":
                 {{ "parseStrategy": 2, "fieldName": "x-key", "pattern": "{pattern}", "matchStrategy": {strategy} }} }} ]"#
        );
        let (rules, notes) = compile(&rules, None);
        assert_eq!(notes, [""; 0]);
        assert_eq!(
            passed(&rules, "r /", &[("x-key", counted)], 3),
            1,
            "{pattern}"
        );
        assert_eq!(passed(&rules, "r /", &[("x-key", free)], 3), 3, "{pattern}");
    }
}

#[test]
fn a_group_is_its_paths_whatever_their_route() {
    let groups = r#"[ { "apiName": "orders", "predicateItems": [ { "pattern": "/orders" }, { "pattern": "/orders/**", "matchStrategy": 1 },
        { "pattern": "/v\\d/orders", "matchStrategy": 2 } ] } ]"#;
    let rules = r#"[ { "resource": "orders", "resourceMode": 1, "count": 4, "intervalSec": 3600 },
                     { "resource": "a", "count": 1, "intervalSec": 3600 } ]"#;
    let (rules, notes) = compile(rules, Some(groups));
    assert_eq!(notes, [""; 0]);
    for (line, expected) in [
        ("b /orders", 1),
        ("b /orders/7/items", 1),
        ("c /v2/orders", 1),
        ("a /orders/8", 1),
    ] {
        assert_eq!(passed(&rules, line, &[], 1), expected, "{line}");
    }
    assert_eq!(
        passed(&rules, "b /orders", &[], 1),
        0,
        "the group's are used up"
    );
    assert_eq!(
        passed(&rules, "a /elsewhere", &[], 1),
        0,
        "as are the route's"
    );
    assert_eq!(passed(&rules, "b /elsewhere", &[], 3), 3);
}

#[test]
fn what_is_not_followed_is_said_and_takes_no_other_rule_with_it() {
    let rules = r#"[ { "resource": "ok", "count": 1 }, { "count": 1 }, { "resource": "t", "grade": 2, "count": 1 },
        { "resource": "n", "count": -1 }, { "resource": "i", "count": 1, "intervalSec": 0 }, { "resource": "b", "count": 1, "burst": -1 },
        { "resource": "m", "count": 1, "resourceMode": 2 }, { "resource": "q", "count": 1, "controlBehavior": 2, "maxQueueingTimeoutMs": -1 },
        { "resource": "p", "count": 1, "paramItem": { "parseStrategy": 2 } },
        { "resource": "r", "count": 1, "paramItem": { "parseStrategy": 0, "pattern": "(", "matchStrategy": 2 } },
        { "resource": "g", "count": 1, "resourceMode": 1 }, "nonsense" ]"#;
    let (compiled, notes) = compile(
        rules,
        Some(
            r#"[ { "apiName": "x", "predicateItems": [ { "pattern": "x", "matchStrategy": 1 } ] } ]"#,
        ),
    );
    // That of the group that is not there goes to a route of its name.
    assert_eq!(compiled.len(), 3);
    let said = notes.join("\n");
    for expected in [
        "it has no `resource`",
        "`t` is not followed: `grade`",
        "`n` is not followed: `count`",
        "`i` is not followed: `intervalSec`",
        "`b` is not followed",
        "`m` is not followed: `resourceMode`",
        "`q` is not followed: `maxQueueingTimeoutMs`",
        "`p` is not followed: `paramItem.fieldName`",
        "route `r` counts all values: its pattern",
        "API group `g` is not followed: no API group",
        "rule 12 is not followed",
        "API group `x` takes no path",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    for text in ["", "{}", "[", "null"] {
        let error = FlowRules::compile(text, None, &compiled).expect_err(text);
        assert!(
            error.contains("the flow rules: no list in JSON"),
            "{text}: {error}"
        );
        let error = FlowRules::compile("[]", Some(text), &compiled).expect_err(text);
        assert!(error.contains("the API groups"), "{text}: {error}");
    }
}

#[test]
fn a_rule_that_stays_goes_on_with_what_was_taken_of_it() {
    let rule =
        |count: u32| format!(r#"[ {{ "resource": "r", "count": {count}, "intervalSec": 3600 }} ]"#);
    let (first, _) = compile(&rule(2), None);
    assert_eq!(passed(&first, "r /", &[], 2), 2);
    let (same, _) = FlowRules::compile(&rule(2), None, &first).expect("rules");
    assert_eq!(passed(&same, "r /", &[], 2), 0);
    let (edited, _) = FlowRules::compile(&rule(3), None, &same).expect("rules");
    assert_eq!(passed(&edited, "r /", &[], 5), 3);
}

#[test]
fn the_answer_is_the_adapters() {
    for (accept, kind, body) in [
        (
            "*/*",
            "application/json;charset=UTF-8",
            r#"{"code":429,"message":"Blocked by Sentinel: ParamFlowException"}"#,
        ),
        (
            "text/html,application/xml;q=0.9",
            "text/plain",
            "Blocked by Sentinel: ParamFlowException",
        ),
    ] {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        let answer = Blocked.answer(&headers);
        assert_eq!(answer.status, 429);
        assert_eq!(answer.headers[CONTENT_TYPE], kind);
        assert_eq!(answer.body, body);
    }
}

#[test]
fn a_place_is_free_again_when_its_request_ends() {
    let (rules, notes) = compile(r#"[ { "resource": "r", "grade": 0, "count": 2 } ]"#, None);
    assert_eq!(notes, [""; 0]);
    let (host, headers) = (HeaderValue::from_static("a"), HeaderMap::new());
    let request = FlowRequest {
        route: "r",
        path: "/",
        query: None,
        host: &host,
        client: [10, 0, 0, 7].into(),
        headers: &headers,
    };
    let one = rules.pass(&request).expect("a place");
    let two = rules.pass(&request).expect("a place");
    assert_eq!(rules.pass(&request).err(), Some(Blocked));
    drop(one);
    let three = rules.pass(&request).expect("a place");
    assert_eq!(rules.pass(&request).err(), Some(Blocked));
    drop((two, three));
    assert_eq!(passed(&rules, "r /", &[], 5), 5);
}

#[test]
fn requests_that_take_turns_wait_no_longer_than_they_may() {
    let (rules, _) = compile(
        r#"[ { "resource": "r", "count": 1, "intervalSec": 100, "controlBehavior": 2, "maxQueueingTimeoutMs": 250000 } ]"#,
        None,
    );
    let (host, headers) = (HeaderValue::from_static("a"), HeaderMap::new());
    let request = FlowRequest {
        route: "r",
        path: "/",
        query: None,
        host: &host,
        client: [10, 0, 0, 7].into(),
        headers: &headers,
    };
    let waits = [0, 1, 2].map(|_| {
        let passage = rules.pass(&request).expect("a turn");
        passage.wait.as_secs_f64() / 100.0
    });
    for (wait, expected) in waits.into_iter().zip([0.0, 1.0, 2.0]) {
        assert!((wait - expected).abs() < 0.1, "{waits:?}");
    }
    assert_eq!(rules.pass(&request).err(), Some(Blocked));
}
