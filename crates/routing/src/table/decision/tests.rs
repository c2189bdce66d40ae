use pailou_config::RouteSpec;

use super::*;
use crate::table::tests::{Sent, compile, specs, spring};

/// The route, or why there is none; and the path with its slashes decoded.
fn decided(table: &Table, line: &str, lines: &[&str]) -> (String, Option<String>) {
    Sent::new(line, lines).ask(|request| match table.decide(request) {
        Ok(decided) => (decided.matched.route.id.to_string(), decided.decoded),
        Err(refused) => (format!("{:?}", refused.why), None),
    })
}

const PREFLIGHT: [&str; 2] = [
    "origin: https://shop.example",
    "access-control-request-method: PUT",
];

#[test]
fn a_preflight_is_for_the_route_that_answers_it() {
    let table = Table::assemble(
        1,
        "",
        compile(specs(
            "routes.yaml",
            "
routes:
  put: { path: /a, match: { methods: PUT }, service: s, filters: [ Cors: { '/**': { allowedOrigins: '*' } } ] }
  all: { path: /b, service: s, filters: [ Cors: { '/**': { allowedOrigins: '*' } } ] }
  bare: { path: /c, match: { methods: PUT }, service: s }
  rest: { path: /**, service: s }
",
        )),
    );
    for (line, lines, route) in [
        ("OPTIONS /a", &PREFLIGHT[..], "put"),
        ("OPTIONS /b", &PREFLIGHT, "all"),
        ("OPTIONS /c", &PREFLIGHT, "rest"),
        ("OPTIONS /a", &PREFLIGHT[..1], "rest"),
        ("OPTIONS /a", &PREFLIGHT[1..], "rest"),
        ("GET /a", &PREFLIGHT, "rest"),
    ] {
        assert_eq!(decided(&table, line, lines).0, route, "{line} {lines:?}");
    }
}

#[test]
fn a_target_that_is_no_uri_is_refused_by_routes_in_springs_form() {
    let mut all = specs("routes.yaml", "routes: { /native/**: s }");
    all.push(spring("spring", 0, &[("Path", "/spring/**")]));
    let table = Table::assemble(1, "", compile(all));
    for (line, expected) in [
        ("GET /native/{x}", "/native/**"),
        ("GET /spring/{x}", "NotUri"),
        ("GET /spring/x?a=%", "NotUri"),
        ("GET /spring/x", "spring"),
        ("GET /none/{x}", "NoRoute"),
        ("GET /none/a%2Fb", "EncodedSlash"),
    ] {
        assert_eq!(decided(&table, line, &[]).0, expected, "{line}");
    }
}

/// Whichever of a group is drawn for the path as it came is also drawn for the decoded one.
#[test]
fn weights_fall_on_the_same_route_with_slashes_decoded() {
    let decoding = |id| {
        let spec = spring(id, 0, &[("Path", "/w/**"), ("Weight", "[g, 1]")]);
        Arc::new(RouteSpec {
            encoded_slashes: EncodedSlashes::Decode,
            ..RouteSpec::clone(&spec)
        })
    };
    let table = Table::assemble(1, "", compile(vec![decoding("one"), decoding("two")]));
    let mut drawn = [0, 0];
    for draw in 0..200 {
        let mut sent = Sent::new("GET /w/a%2Fb?c", &[]);
        sent.draw = draw;
        sent.ask(|request| {
            let decided = table.decide(request).expect("a route");
            assert_eq!(decided.decoded.as_deref(), Some("/w/a/b"));
            drawn[usize::from(&*decided.matched.route.id == "two")] += 1;
        });
    }
    assert!(drawn.iter().all(|times| *times > 50), "{drawn:?}");
}

#[test]
fn another_routes_path_is_not_reached_by_decoding() {
    let table = Table::assemble(
        1,
        "",
        compile(specs(
            "routes.yaml",
            "
routes:
  outer: { path: /a/**, service: s, encoded_slashes: decode }
  inner: { path: /a/own/**, service: s, encoded_slashes: decode }
  kept: { path: /k/**, service: s, encoded_slashes: keep }
  strict: { path: /r/**, service: s }
",
        )),
    );
    for (line, route, decoded) in [
        ("GET /a/x%2Fy", "outer", Some("/a/x/y")),
        ("GET /a/own%2Fy", "EncodedSlash", None),
        ("GET /k/x%2Fy", "kept", None),
        ("GET /r/x%2Fy", "EncodedSlash", None),
    ] {
        let decoded = decoded.map(str::to_owned);
        assert_eq!(decided(&table, line, &[]), (route.to_owned(), decoded));
    }
}
