use super::*;
use crate::worked::worked;
use crate::{Limit, Protocol, Severity, Value, route_reference};

/// Of the thread's own time: generous, for a debug build. A bomb that goes off takes hours.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// A document, and the beginnings of all its faults.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "- a\n",
        &["r.yaml:1:1: not a route document; expected a mapping with the key `routes`"],
    ),
    ("text", &["r.yaml:1:1: not a route document"]),
    (
        "routes:\n",
        &[
            "r.yaml:1:7: routes: not a mapping of routes; expected ids with their routes, or `{}` for no routes",
        ],
    ),
    (
        "routes: []\n",
        &["r.yaml:1:9: routes: not a mapping of routes"],
    ),
    (
        "route: {}\n",
        &[
            "r.yaml:1:1: `routes` is missing",
            "r.yaml:1:1: route: unknown key; expected one of routes; did you mean `routes`?",
        ],
    ),
    (
        "routes: {}\nspring: {}\n",
        &["r.yaml:2:1: spring: unknown key; expected one of routes"],
    ),
    (
        "routes:\n  /a:\n    service: a\n    strip_prefx: 1\n",
        &[
            "r.yaml:4:5: routes[\"/a\"].strip_prefx: unknown key; expected one of path, host, match, forward, service, ",
        ],
    ),
    (
        "routes:\n  users: user-service\n",
        &["r.yaml:2:10: routes.users: only a service is given, and the id is no path; expected"],
    ),
    (
        "routes:\n  /a: [b]\n",
        &["r.yaml:2:7: routes[\"/a\"]: not a route; expected the name of a service, or a mapping"],
    ),
    (
        "routes:\n  /a:\n",
        &["r.yaml:2:5: routes[\"/a\"]: not a route"],
    ),
    (
        "routes:\n  /a: { path: /b, service: s }\n",
        &["r.yaml:2:15: routes[\"/a\"].path: the id is a path already"],
    ),
    (
        "routes:\n  a: { path: b, service: s }\n",
        &["r.yaml:2:14: routes.a.path: `b`; expected a path that begins with `/`"],
    ),
    (
        "routes:\n  a: { path: [/b], service: s }\n",
        &["r.yaml:2:14: routes.a.path: a list; expected a text"],
    ),
    (
        "routes:\n  a: { service: s }\n",
        &["r.yaml:2:6: routes.a: neither `path` nor `host` is given; expected for instance"],
    ),
    (
        "routes:\n  a: { path: /a }\n",
        &[
            "r.yaml:2:6: routes.a: neither `service` nor `to` is given; expected who answers: `service: NAME`, `to: http://HOST:PORT`, \
             or `forward: /PATH` for the route that takes this path",
        ],
    ),
    (
        "routes:\n  /a: { service: }\n",
        &["r.yaml:2:16: routes[\"/a\"].service: not a name; expected the name of a service"],
    ),
    (
        "routes:\n  /a: { service: \"\" }\n",
        &[
            "r.yaml:2:18: routes[\"/a\"].service: ``; expected the name of a service, without spaces",
        ],
    ),
    (
        "routes:\n  /a: a b\n",
        &["r.yaml:2:7: routes[\"/a\"]: `a b`; expected the name of a service, without spaces"],
    ),
    (
        "routes:\n  /a: G@@s\n",
        &["r.yaml:2:7: routes[\"/a\"]: `G@@s`; expected the group apart"],
    ),
    (
        "routes:\n  /a: { service: { nam: x, group: '' } }\n",
        &[
            "r.yaml:2:18: routes[\"/a\"].service: `name` is missing",
            "r.yaml:2:20: routes[\"/a\"].service.nam: unknown key; expected one of name, nacos, group, namespace, cluster, metadata, protocol, tls, proxy_protocol, canary, health_check, endpoint_limit; \
             did you mean `name`?",
            "r.yaml:2:35: routes[\"/a\"].service.group: ``; expected a Nacos group",
        ],
    ),
    (
        "routes:\n  /a: { service: s, match: { path: /b, host: c } }\n",
        &[
            "r.yaml:2:36: routes[\"/a\"].match.path: `path` is no part of `match`; expected it beside `match`",
            "r.yaml:2:46: routes[\"/a\"].match.host: `host` is no part of `match`",
        ],
    ),
    (
        "routes:\n  /a: { service: s, match: [[x]] }\n",
        &[
            "r.yaml:2:29: routes[\"/a\"].match[0]: a list; expected a name, or a mapping of one name to its arguments",
        ],
    ),
    (
        "routes:\n  /a: { service: s, filters: { x: 1 } }\n",
        &["r.yaml:2:30: routes[\"/a\"].filters: a mapping; expected a list"],
    ),
    (
        "routes:\n  /a: { service: s, filters: [ { x: 1, y: 2 } ] }\n",
        &["r.yaml:2:32: routes[\"/a\"].filters[0]: 2 names in one"],
    ),
    (
        "routes:\n  /a: { service: s, timeout: 5, retries: 11, enabled: 'true', order: 1.5, total_timeout: never }\n",
        &[
            "r.yaml:2:30: routes[\"/a\"].timeout: `5`; expected a duration",
            "r.yaml:2:42: routes[\"/a\"].retries: `11`; expected a whole number from 0 to 10",
            "r.yaml:2:55: routes[\"/a\"].enabled: the text `true`; expected true or false",
            "r.yaml:2:70: routes[\"/a\"].order: `1.5`; expected a whole number from -2147483648 to 2147483647",
            "r.yaml:2:90: routes[\"/a\"].total_timeout: `never`; expected a duration",
        ],
    ),
    (
        "routes:\n  /a: x\n  /b: { service: s, service: t }\n  /a: y\n",
        &[
            "r.yaml:3:21: routes[\"/b\"].service: duplicate key, first given in line 3",
            "r.yaml:4:3: routes[\"/a\"]: duplicate key, first given in line 2",
        ],
    ),
    (
        "routes:\n  \"\": { path: /a, service: s }\n",
        &["r.yaml:2:3: routes[\"\"]: the id is empty"],
    ),
    (
        "routes:\n  \"a\\nb\": { path: /a, service: s }\n",
        &["r.yaml:2:3: routes[\"a\\nb\"]: the id contains a control character"],
    ),
    (
        "routes: {}\n---\nroutes: {}\n",
        &["r.yaml:2:1: a second YAML document begins here; expected one document per text"],
    ),
    ("routes:\n\t/a: b\n", &["r.yaml:2:2: not valid YAML: tabs"]),
    (
        "routes: {\n",
        &["r.yaml:1:9: not valid YAML: unclosed bracket"],
    ),
    ("routes:\n  /a: \"x\n", &["r.yaml:3:1: not valid YAML: "]),
    (
        "routes:\n  /a: *base\n",
        &["r.yaml:2:7: the alias names no anchor; expected an `&name` earlier in the document"],
    ),
    (
        "routes:\n  /a: !secret b\n",
        &["r.yaml:2:15: YAML tags are not supported; expected a plain value"],
    ),
    (
        "routes:\n  [a]: b\n",
        &["r.yaml:2:3: this cannot be a key; expected a text as key"],
    ),
    (
        "routes:\n  <<: a\n",
        &["r.yaml:2:7: `<<` cannot merge this; expected an alias of a mapping"],
    ),
    ("routes: &r\n  /a: *r\n", &["r.yaml:2:7: "]),
];

#[test]
fn a_bad_document_is_refused_with_all_its_faults() {
    for (text, expected) in REFUSED {
        let faults = faults(text);
        assert_eq!(faults.len(), expected.len(), "{text}\n{faults:#?}");
        for (fault, expected) in faults.iter().zip(*expected) {
            assert!(fault.starts_with(expected), "{text}\n{fault}\n{expected}");
        }
    }
}

#[test]
fn the_nearest_name_is_proposed() {
    let cases = [
        ("strip_prefx", "strip_prefix"),
        ("stripPrefix", "strip_prefix"),
        ("retrys", "retries"),
        ("time_out", "timeout"),
    ];
    for (written, meant) in cases {
        let faults = faults(&format!("routes:\n  /a: {{ service: s, {written}: 1 }}\n"));
        assert!(
            faults[0].ends_with(&format!("did you mean `{meant}`?")),
            "{faults:?}"
        );
    }
}

#[test]
fn an_id_has_a_longest_length() {
    let document = |length: usize| format!("routes:\n  /{}: s\n", "a".repeat(length - 1));
    assert_eq!(routes(&document(256)).len(), 1);
    assert!(faults(&document(257))[0].ends_with("the id is longer than 256 bytes"));
}

#[test]
fn no_fault_shows_a_neighbouring_value() {
    let secrets = [
        "routes:\n  /a:\n    service: s\n    metadata: { password: hunter2 }\n    x: 1\n    strip_prefx: [\n",
        "routes:\n  /a: { service: s, metadata: { password: hunter2, password: hunter2 } }\n",
        "routes:\n  /a: { service: s, pasword: hunter2 }\n",
        "routes:\n  /a: { service: s, metadata: { password: \"hunter2 } }\n",
        "routes:\n  /a: { service: s, metadata: { password: !x hunter2 } }\n",
        "password: hunter2\n\troutes: {}\n",
        "routes: {}\npassword: hunter2\npassword: hunter2\n",
    ];
    for text in secrets {
        assert!(
            !faults(text).iter().any(|fault| fault.contains("hunter2")),
            "{text}"
        );
    }
}

#[test]
fn the_reference_names_every_key_and_no_other() {
    let text = "routes:\n  /a: { service: { name: s, zz: 1 }, zz: 1 }\n";
    let DocumentOutcome::Refused(ParsedDocument { faults, .. }) =
        parse_route_document("r", text, &ScgSettings::default())
    else {
        panic!("refused")
    };
    let keys = |fault: &Fault| {
        let list = fault.expected.clone().unwrap_or_default();
        let mut keys: Vec<String> = list
            .trim_start_matches("one of ")
            .split(", ")
            .map(str::to_owned)
            .collect();
        keys.sort();
        keys
    };
    let described = |is_wanted: fn(&&str) -> bool| {
        let mut keys: Vec<String> = route_reference()
            .map(|key| key.path)
            .filter(is_wanted)
            .map(|path| path.rsplit('.').next().unwrap_or(path).to_owned())
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(
        keys(&faults[0]),
        described(|path| path
            .strip_prefix("service.")
            .is_some_and(|key| !key.contains('.')))
    );
    assert_eq!(keys(&faults[1]), described(|path| !path.contains('.')));
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..9 {
        bomb += &format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{}", level - 1); 10].join(",")
        );
    }
    let deep_block: String = (0..1_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    let cases = [
        ("bomb", bomb, "the aliases expand to too much"),
        ("deep flow", "[".repeat(100_000), ""),
        (
            "closed flow",
            format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)),
            "",
        ),
        ("deep block", deep_block, "nested more than 64 levels deep"),
        (
            "too long",
            format!("routes: {{}}\n# {}", "x".repeat(MAX_DOCUMENT_BYTES)),
            "bytes are more than the 4194304",
        ),
        (
            "many anchors",
            "- &a x\n".repeat(500_000),
            "more anchors or aliases than a document may have",
        ),
        (
            "one long scalar",
            format!("routes: {}\n", "x".repeat(4_000_000)),
            "not a mapping of routes",
        ),
        (
            "open quotes",
            format!("routes: \"{}", "\\n".repeat(2_000_000)),
            "not valid YAML",
        ),
        ("many keys", "? a\n".repeat(100_000), ""),
        (
            "a long key",
            format!("{}: 1\n", "k".repeat(4_000_000)),
            "not valid YAML",
        ),
    ];
    for (name, text, expected) in cases {
        let began = worked();
        let faults = faults(&text);
        let took = worked() - began;
        assert!(took < PATIENCE, "{name}: {took:?}");
        assert!(
            faults.iter().any(|fault| fault.contains(expected)),
            "{name}: {:?}",
            &faults[..1]
        );
        assert!(
            faults.len() <= 1_001 && faults.iter().all(|fault| fault.len() < 1_000),
            "{name}: {}",
            faults.len()
        );
    }
}

#[test]
fn twenty_thousand_routes_are_read() {
    let mut text = String::from("routes:\n");
    for index in 0..20_000 {
        text += &format!(
            "  /api/s{index}/v1/**:\n    service: service-{}\n    strip_prefix: 2\n    filters: [a, b]\n    metadata: {{ version: v2, zone: \
             z{} }}\n",
            index % 5_000,
            index % 7
        );
    }
    let began = worked();
    assert_eq!(routes(&text).len(), 20_000);
    let took = worked() - began;
    assert!(took < PATIENCE, "{took:?}");
}

#[test]
fn a_service_may_say_what_its_endpoints_speak() {
    let read = |service: &str| {
        let text = format!("routes:\n  /a: {{ service: {{ name: s, {service} }} }}\n");
        let mut routes = routes(&text);
        routes
            .pop()
            .expect("one route")
            .service()
            .expect("a service")
            .clone()
    };
    assert_eq!(read("protocol: http").protocol, Some(Protocol::Http));
    assert_eq!(read("protocol: https").protocol, Some(Protocol::Https));
    assert_eq!(read("protocol: grpc").protocol, Some(Protocol::H2c));
    assert_eq!(read("protocol: h2").protocol, Some(Protocol::H2));
    let both = read("protocol: https, tls: internal");
    assert_eq!(both.tls.as_ref().map(|tls| &*tls.id), Some("internal"));
    let named = TargetSpec::Service(read("tls: internal"));
    assert_eq!(named.protocol(), Some(Protocol::Https));
    assert_ne!(read("tls: internal"), read("tls: other"));
    for (service, expected) in [
        (
            "protocol: h3",
            "service.protocol: `h3`; expected http, https, h2c (or grpc), h2 (or grpcs)",
        ),
        ("protocol: [ http ]", "service.protocol: "),
        (
            "tls: \"\"",
            "service.tls: ``; expected the id of one of `other_upstream_tls`",
        ),
        ("tls: { ca_file: /etc/x }", "service.tls: "),
        (
            "protocol: http, tls: internal",
            "service.tls: TLS settings where no TLS is spoken; expected https, or no `tls`",
        ),
    ] {
        let text = format!("routes:\n  /a: {{ service: {{ name: s, {service} }} }}\n");
        let faults = faults(&text);
        assert!(faults[0].contains(expected), "{text}: {faults:?}");
    }
}

#[test]
fn a_route_may_go_to_a_url() {
    let read = |to: &str| {
        let mut routes = routes(&format!("routes:\n  /a: {{ to: {to} }}\n"));
        routes.pop().expect("one route").target.expect("a target")
    };
    let TargetSpec::Url(plain) = read("http://a.internal:8080") else {
        panic!("a URL");
    };
    assert_eq!(plain.url.to_string(), "http://a.internal:8080");
    assert_eq!(plain.tls, None);
    let secured = read("{ url: 'https://a.internal', tls: internal }");
    assert_eq!(secured.protocol(), Some(Protocol::Https));
    assert_eq!(secured.tls().map(|tls| &*tls.id), Some("internal"));
    assert!(secured.service().is_none());
    assert_ne!(secured, read("https://a.internal"));
    for (route, expected) in [
        (
            "to: http://a, service: s",
            "to: `to` beside `service`; expected one of them",
        ),
        (
            "retries: 1",
            "neither `service` nor `to` is given; expected who answers",
        ),
        (
            "to: a:80",
            "to: `a:80`: no URL; expected http://host:port or https://host:port",
        ),
        ("to: 'http://a/v1'", "a path or a query has no place here"),
        ("to: [ http://a ]", "to: not a URL"),
        (
            "to: { url: 'http://a', tls: x }",
            "to.tls: TLS settings where no TLS is spoken",
        ),
        ("to: { tls: x }", "to: `url` is missing"),
        (
            "service: 'http://a'",
            "service: `http://a`; expected a name here, and a URL in `to`",
        ),
    ] {
        let faults = faults(&format!("routes:\n  /a: {{ {route} }}\n"));
        assert!(
            faults.iter().any(|it| it.contains(expected)),
            "{route}: {faults:?}"
        );
    }
}
