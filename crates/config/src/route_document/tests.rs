mod faults;
mod hostile;
mod targets;

use super::*;
use crate::{Limit, Severity, Value};

fn routes(text: &str) -> Vec<RouteSpec> {
    match parse_route_document("r.yaml", text, &ScgSettings::default()) {
        DocumentOutcome::Routes(document) => {
            assert_eq!(document.faults, []);
            document.routes
        }
        other => panic!("{text}: {other:#?}"),
    }
}

fn faults(text: &str) -> Vec<String> {
    match parse_route_document("r.yaml", text, &ScgSettings::default()) {
        DocumentOutcome::Refused(ParsedDocument { faults, .. }) => {
            assert!(faults.iter().any(|fault| fault.severity == Severity::Error));
            faults.iter().map(Fault::to_string).collect()
        }
        other => panic!("{text}: {other:#?}"),
    }
}

fn service(route: &RouteSpec) -> &ServiceSpec {
    route.service().expect("a service")
}

fn names(parts: &[PartSpec]) -> Vec<&str> {
    parts.iter().map(|part| part.name.as_str()).collect()
}

#[test]
fn the_shortest_form_is_a_path_and_a_service() {
    let routes = routes("routes:\n  /api/users/**: user-service\n");
    let [route] = routes.as_slice() else {
        panic!("one route")
    };
    assert_eq!(&*route.id, "/api/users/**");
    assert_eq!(&*route.document, "r.yaml");
    assert_eq!((route.at.line, route.at.column), (2, 3));
    assert_eq!(service(route).name, "user-service");
    assert_eq!(names(&route.predicates), ["path"]);
    assert_eq!(route.predicates[0].path, "routes[\"/api/users/**\"]");
    assert_eq!(
        route.predicates[0].args,
        Node::scalar("/api/users/**", route.at)
    );
    assert!(route.enabled && route.order == 0 && route.filters.is_empty());
}

#[test]
fn the_full_form_keeps_every_key() {
    let routes = routes(
        "routes:
  users-canary:
    path: /api/users/**
    host: \"*.example.org\"
    match: { headers: { x-canary: \"true\" }, methods: [GET, POST] }
    order: -1
    service: { name: user-service, group: G, namespace: public, cluster: c1, metadata: { version: 1.10 } }
    balance: least_request
    strip_prefix: 1
    prefix: /v2
    filters: [ { set_request_header: { name: x-env, value: canary } }, compress ]
    timeout: 5s
    connect_timeout: 500ms
    read_timeout: 1m
    total_timeout: off
    retries: 3
    enabled: false
    metadata: { team: a }
",
    );
    let [route] = routes.as_slice() else {
        panic!("one route")
    };
    assert_eq!(
        names(&route.predicates),
        ["path", "host", "headers", "methods"]
    );
    assert_eq!(
        names(&route.filters),
        ["strip_prefix", "prefix", "set_request_header", "compress"]
    );
    assert_eq!(
        route.filters[2].path,
        "routes.users-canary.filters[0].set_request_header"
    );
    assert_eq!(
        (route.filters[2].at.line, route.filters[2].at.column),
        (11, 18)
    );
    assert_eq!(route.filters[3].args.value, Value::Null);
    assert_eq!(
        route.balance.as_ref().map(|part| part.name.as_str()),
        Some("least_request")
    );
    assert_eq!(service(route).group.as_deref(), Some("G"));
    assert_eq!(
        service(route).namespace.as_deref(),
        Some(""),
        "the public namespace has the empty id"
    );
    assert_eq!(service(route).metadata["version"], "1.10");
    assert_eq!(route.timeout, Some(Duration::from_secs(5)));
    assert_eq!(route.connect_timeout, Some(Duration::from_millis(500)));
    assert_eq!(route.read_timeout, Some(Duration::from_secs(60)));
    assert_eq!(route.total_timeout, Some(Limit::Off));
    assert_eq!(
        (route.retries.count, route.order, route.enabled),
        (Some(3), -1, false)
    );
    assert_eq!(route.metadata["team"], "a");
}

#[test]
fn a_route_that_only_moved_is_the_same() {
    let before = routes("routes:\n  a: { path: /a, service: s, filters: [ x: 1 ] }\n");
    let moved = routes(
        "# a comment\nroutes:\n    a:\n        path: '/a'\n        service: s\n        filters:\n          - x: 1\n",
    );
    // Quotes are part of a value: `1` and `'1'` may mean two things to a filter.
    assert_ne!(before, moved);
    let moved = routes(
        "# a comment\nroutes:\n    a:\n        path: /a\n        service: s\n        filters:\n          - x: 1\n",
    );
    assert_eq!(before, moved);
    let changed = routes("routes:\n  a: { path: /a, service: s, filters: [ x: 2 ] }\n");
    assert_ne!(before, changed);
}

#[test]
fn blank_is_not_empty() {
    for blank in [
        "",
        " \n\t\n",
        "# nothing\n",
        "---\n",
        "~",
        "null\n",
        "\u{feff}",
        "---\n# a\n...\n",
    ] {
        assert_eq!(
            parse_route_document("r", blank, &ScgSettings::default()),
            DocumentOutcome::Blank,
            "{blank:?}"
        );
    }
    for empty in ["routes: {}", "{\"routes\":{}}", "---\nroutes: {}\n"] {
        assert_eq!(
            parse_route_document("r", empty, &ScgSettings::default()),
            DocumentOutcome::Routes(ParsedDocument::default()),
            "{empty:?}"
        );
    }
}

#[test]
fn merge_keys_line_ends_and_marks_are_understood() {
    let text = "\u{feff}routes:\r\n  /a: &base\r\n    service: s\r\n    retries: 1\r\n  /b:\r\n    <<: *base\r\n    retries: 0\r\n";
    let routes = routes(text);
    assert_eq!(service(&routes[1]).name, "s");
    assert_eq!(
        (routes[0].retries.count, routes[1].retries.count),
        (Some(1), Some(0))
    );
    let text = "routes:\n  /a: &base\n    service: s\n    retrys: 1\n  /b:\n    <<: *base\n";
    let faults = faults(text);
    assert_eq!(faults.len(), 2, "once for each route: {faults:?}");
    assert!(
        faults.iter().all(|fault| fault.starts_with("r.yaml:4:5: ")),
        "where the text stands: {faults:?}"
    );
}
