//! What is refused, and how a fault reads.

use super::{faults, routes};
use crate::route_document::*;
use crate::route_reference;

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
            "r.yaml:2:20: routes[\"/a\"].service.nam: unknown key; expected one of name, nacos, group, namespace, cluster, metadata, protocol, tls, proxy_protocol, canary; \
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
        described(|path| path.starts_with("service."))
    );
    assert_eq!(keys(&faults[1]), described(|path| !path.contains('.')));
}
