//! Routes in Spring's form.

use std::collections::BTreeMap;

use super::Table;
use super::tests::{Sent, compile, found, specs, spring};

/// A table of routes in Spring's form: an id, and predicates as `Name: arguments`.
fn spring_table(routes: &[(&str, &[(&str, &str)])]) -> Table {
    let specs = routes.iter();
    let specs = specs.map(|(id, predicates)| spring(id, 0, predicates));
    Table::assemble(1, "", compile(specs.collect()))
}

#[test]
fn routes_in_springs_form_come_after_native_ones_and_stand_as_they_are_given() {
    let mut all = specs("routes.yaml", "routes:\n  z: { path: /x/**, service: s }\n");
    all.insert(0, spring("general", 0, &[("Path", "/**")]));
    all.insert(1, spring("special", 0, &[("Path", "/x/y")]));
    all.push(spring("late", 1, &[("Path", "/x/y")]));
    all.push(spring("early", -1, &[("Path", "/early")]));
    let table = Table::assemble(1, "", compile(all));
    let ids: Vec<&str> = table.routes().iter().map(|route| &*route.id).collect();
    assert_eq!(ids, ["early", "z", "general", "special", "late"]);
    for (line, route) in [
        ("GET /x/y", "z"),
        ("GET /other", "general"),
        ("GET /early", "early"),
    ] {
        assert_eq!(found(&table, line, &[]).as_deref(), Some(route), "{line}");
    }
}

#[test]
fn spring_patterns_are_found_by_what_is_literal_of_them() {
    let table = spring_table(&[
        (
            "canary",
            &[("Path", "/api/users/**"), ("Header", "[X-Canary, 'true']")],
        ),
        (
            "users",
            &[("Path", "[/api/users/**, '/members/{id:[0-9]+}']")],
        ),
        ("spaced", &[("Path", "'/sp ace/中'")]),
        ("strict", &[("Path", "[/strict, 'false']")]),
        ("slash", &[("Path", "/slash/")]),
        ("suffix", &[("Path", "/**/health")]),
        (
            "tenant",
            &[("Host", "'{tenant}.example.org'"), ("Path", "'/{*rest}'")],
        ),
        ("bare", &[("Host", "'**.bare.org'")]),
        (
            "both",
            &[("Path", "'/both/{a}/**'"), ("Path", "'/both/*/{b}'")],
        ),
        ("post", &[("Method", "POST")]),
        ("never", &[("Path", "nosl/**")]),
    ]);
    for (line, lines, route) in [
        ("GET /api/users", &[][..], Some("users")),
        ("GET /api/users/7", &["x-canary: true"], Some("canary")),
        ("GET /members/7", &[], Some("users")),
        ("GET /members/7/", &[], Some("users")),
        ("GET /members/x", &[], None),
        ("GET /sp%20ace/%E4%B8%AD", &[], Some("spaced")),
        ("GET /sp%20ace/%E4%B8%AD/", &[], Some("spaced")),
        ("GET /strict", &[], Some("strict")),
        ("GET /strict/", &[], None),
        ("GET /slash/", &[], Some("slash")),
        ("GET /slash", &[], None),
        ("GET /a/b/health", &[], Some("suffix")),
        ("GET a.example.org/x", &[], Some("tenant")),
        ("GET A.Example.org:80/x", &[], Some("tenant")),
        ("GET a.example.org:81/x", &[], None),
        ("GET example.org/x", &[], None),
        ("GET bare.org/x", &[], Some("bare")),
        ("GET x.y.bare.org/x", &[], Some("bare")),
        ("GET /both/1/2", &[], Some("both")),
        ("GET /both/1", &[], None),
        ("POST /nosl/x", &[], Some("post")),
        ("GET /nosl/x", &[], None),
    ] {
        assert_eq!(found(&table, line, lines).as_deref(), route, "{line}");
    }
    let tried: Vec<&str> = table.always_tried().map(|route| &*route.id).collect();
    assert_eq!(tried, ["suffix", "post"]);
    let bindings = Sent::new("GET a.example.org/x/y", &[])
        .ask(|request| table.find(request).map(|found| found.bindings));
    let bindings = bindings.expect("tenant takes it");
    let pairs: Vec<_> = bindings.iter().collect();
    assert_eq!(pairs, [("tenant", "a"), ("rest", "/x/y")]);
}

#[test]
fn a_route_in_springs_form_that_no_request_reaches_is_warned_of() {
    let table = spring_table(&[
        ("api", &[("Path", "/api/**")]),
        ("exact", &[("Path", "/x")]),
        ("get", &[("Path", "/y/**"), ("Method", "GET")]),
        ("special", &[("Path", "'/api/{id}'"), ("Header", "[X, y]")]),
        ("hosted", &[("Host", "h.test"), ("Path", "/api/z")]),
        ("same", &[("Path", "/x")]),
        ("strict", &[("Path", "[/x, 'false']")]),
        ("slash", &[("Path", "/x/")]),
        ("below", &[("Path", "/x/**")]),
        ("partly", &[("Path", "[/api/a, /other]")]),
        ("post", &[("Path", "/y/**"), ("Method", "POST")]),
        ("never", &[("Path", "nosl")]),
        ("all", &[("Path", "/**")]),
        ("any", &[("Method", "GET")]),
    ]);
    let shadowed = table.shadowed();
    let pairs: Vec<(&str, &str)> = shadowed
        .iter()
        .map(|fault| {
            let by = fault.problem.split('`').nth(1).expect("a name in quotes");
            (fault.path.split('"').nth(1).expect("an id"), by)
        })
        .collect();
    assert_eq!(
        pairs,
        [
            ("special", "api"),
            ("hosted", "api"),
            ("same", "exact"),
            ("strict", "exact"),
            ("slash", "exact"),
            ("any", "all"),
        ]
    );
}

/// How often each route takes one of 20,000 requests that differ in their draw.
fn shares(table: &Table, line: &str) -> BTreeMap<Option<String>, i32> {
    let mut sent = Sent::new(line, &[]);
    let mut shares = BTreeMap::new();
    for draw in 0..20_000_u32 {
        sent.draw = draw.wrapping_mul(0x9E37_79B9);
        let id = sent.ask(|request| {
            let found = table.find(request).map(|found| found.route.id.to_string());
            let scanned = table.scan(request).map(|route| route.id.to_string());
            assert_eq!(found, scanned);
            found
        });
        *shares.entry(id).or_default() += 1;
    }
    shares
}

#[test]
fn of_a_group_one_route_is_drawn_by_weight_among_those_that_take_the_request() {
    let table = spring_table(&[
        ("w8", &[("Path", "/w"), ("Weight", "[g, 8]")]),
        ("z0", &[("Path", "/z"), ("Weight", "[z, 0]")]),
        ("w2", &[("Path", "/w"), ("Weight", "[g, 2]")]),
        ("z1", &[("Path", "/z"), ("Weight", "[z, 1]")]),
        ("get", &[("Path", "/p"), ("Weight", "[p, 5]")]),
        (
            "post",
            &[("Path", "/p"), ("Method", "POST"), ("Weight", "[p, 5]")],
        ),
        ("only", &[("Path", "/only"), ("Weight", "[g, 1]")]),
        ("none", &[("Path", "/none"), ("Weight", "[none, 0]")]),
        (
            "a1",
            &[("Path", "/two"), ("Weight", "[a, 1]"), ("Weight", "[b, 1]")],
        ),
        ("a2", &[("Path", "/two"), ("Weight", "[a, 1]")]),
        ("b2", &[("Path", "/two"), ("Weight", "[b, 1]")]),
        ("rest", &[("Path", "/two")]),
    ]);
    let share = |line: &str, id: &str| {
        let shares = shares(&table, line);
        f64::from(shares.get(&Some(id.to_owned())).copied().unwrap_or(0)) / 20_000.0
    };
    let is_near = |share: f64, expected: f64| (share - expected).abs() < 0.015;
    assert!(
        is_near(share("GET /w", "w8"), 0.8),
        "{}",
        share("GET /w", "w8")
    );
    assert!(
        is_near(share("GET /w", "w2"), 0.2),
        "{}",
        share("GET /w", "w2")
    );
    assert_eq!(share("GET /z", "z1"), 1.0, "a weight of 0 is never drawn");
    assert_eq!(share("GET /p", "get"), 1.0, "the other one takes no GET");
    assert!(
        is_near(share("POST /p", "post"), 0.5),
        "{}",
        share("POST /p", "post")
    );
    assert_eq!(
        share("GET /only", "only"),
        1.0,
        "the others have another path"
    );
    assert_eq!(shares(&table, "GET /none"), [(None, 20_000)].into());
    // In two groups both draws have to fall on it; the groups are independent.
    assert!(
        is_near(share("GET /two", "a1"), 0.25),
        "{}",
        share("GET /two", "a1")
    );
    assert!(
        is_near(share("GET /two", "a2"), 0.5),
        "{}",
        share("GET /two", "a2")
    );
    assert!(
        is_near(share("GET /two", "b2"), 0.25),
        "{}",
        share("GET /two", "b2")
    );
}

#[test]
fn an_explanation_says_that_another_route_of_the_group_is_drawn() {
    let table = spring_table(&[
        ("a", &[("Path", "/w"), ("Weight", "[g, 1]")]),
        ("b", &[("Path", "/w"), ("Weight", "[g, 1]")]),
    ]);
    let sent = Sent::new("GET /w", &[]);
    let found = found(&table, "GET /w", &[]).expect("one is drawn");
    sent.ask(|request| {
        for verdict in table.explain(request) {
            let mismatch = verdict
                .mismatch
                .map(|(name, reason)| format!("{name}: {reason}"));
            let expected = (*verdict.route.id != *found)
                .then(|| "Weight: another route of its group is drawn".to_owned());
            assert_eq!(mismatch, expected);
        }
    });
}
