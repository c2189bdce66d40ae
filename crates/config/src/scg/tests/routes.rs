//! Single routes: ids, what refuses one, what stands in for what.

use std::time::Duration;

use super::*;
use crate::TargetSpec;

/// A document in YAML with these route definitions.
fn yaml(routes: &[&str]) -> String {
    let mut text = "spring.cloud.gateway.routes:\n".to_owned();
    for route in routes {
        text += &format!("  - {{ {route} }}\n");
    }
    text
}

const GOOD: &str = "id: ok, uri: 'lb://a', predicates: [ Path=/ok ]";

#[test]
fn a_route_that_cannot_be_read_is_refused_alone() {
    for (route, expected) in [
        (
            "id: t, predicates: [ Path=/t ]",
            "routes[1]: `uri` is missing",
        ),
        (
            "id: t, uri: 'localhost:80', predicates: [ Path=/t ]",
            "no scheme",
        ),
        (
            "id: t, uri: 'lb://', predicates: [ Path=/t ]",
            "no name of a service",
        ),
        (
            "id: t, uri: 'foo://a', predicates: [ Path=/t ]",
            "an unknown scheme",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path ]",
            "routes[1].predicates[0]: `Path`; expected NAME=VALUES",
        ),
        (
            "id: t, uri: 'lb://a'",
            "routes[1]: no predicate; expected one at least",
        ),
        (
            "id: t, uri: 'lb://a', predicates: []",
            "routes[1].predicates: no predicate",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path: /t ]",
            "`name` is missing",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ { name: '' } ]",
            "without a name",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ [ Path=/t ] ]",
            "no definition",
        ),
        (
            "id: t, uri: 'lb://a', predicates: 'Path=/t,Method=GET'",
            "one text; expected a list",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], filters: [ '' ]",
            "filters[0]: a definition without a name",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], order: abc",
            "routes[1].order: `abc`; expected a whole number",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], order: 2147483648",
            "expected a whole number",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], enabled: maybe",
            "expected true or false",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], metadata: { connect-timeout: abc }",
            "metadata.connect-timeout: `abc`",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], metadata: { nacos: { grup: x } }",
            "unknown key",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], metadata: { nacos: { name: x } }",
            "the uri names the service",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], filters: [ 'AddRequestHeader=X, #{1+1}' ]",
            "expressions are not evaluated",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], filters: [ 'AddRequestHeader=X, a#{1+1}' ]",
            "expressions are not evaluated",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], filters: [ 'AddRequestHeader=X, #{@nobean}' ]",
            "gateway.yaml has no scg.beans.nobean",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], filters: [ { name: A, args: { k: { l: \"#{T(x)}\" } } } ]",
            "routes[1].filters[0].args.k.l: `#{T(x)}`: expressions",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], filters: [ \"A=X, a\\r\\nB: c\" ]",
            "contains a control character",
        ),
        (
            "id: t, uri: 'lb://a', predicates: [ Path=/t ], filters: [ \"A\\0\" ]",
            "contains a control character",
        ),
    ] {
        let document = read(&yaml(&[
            GOOD,
            route,
            "id: last, uri: 'lb://a', predicates: [ Path=/last ]",
        ]));
        assert_eq!(ids(&document), ["ok", "last"], "{route}");
        assert_eq!(told(&document), [""; 0], "{route}");
        let refused = refused(&document);
        assert_eq!(refused.len(), 1, "{route}");
        let (id, place, faults) = &refused[0];
        assert_eq!((id.as_str(), *place), ("t", 1), "{route}");
        assert!(
            faults.iter().any(|fault| fault.contains(expected)),
            "{route}\n{faults:?}"
        );
        assert!(faults[0].starts_with("d:3:"), "{faults:?}");
    }
}

#[test]
fn every_fault_of_a_route_comes_out_in_one_run() {
    let route =
        "id: t, uri: x, predicates: [ Path, Host ], filters: [ 'A=#{x}' ], order: z, enabled: z";
    let document = read(&yaml(&[route]));
    assert_eq!(
        document.refused[0].faults.len(),
        6,
        "{:?}",
        refused(&document)
    );
}

#[test]
fn an_item_that_is_no_definition_is_refused_too() {
    for item in ["x", "~", "[ a ]"] {
        let text = format!("spring.cloud.gateway.routes: [ {item}, {{ {GOOD} }} ]");
        let document = read(&text);
        assert_eq!(
            (ids(&document), document.refused.len()),
            (vec!["ok"], 1),
            "{item}"
        );
    }
}

#[test]
fn an_id_is_made_from_the_content_where_none_is_given() {
    let route = "uri: 'lb://a', predicates: [ Path=/a ]";
    let text = yaml(&[route]);
    let document = read(&text);
    let id = document.routes[0].id.clone();
    assert!(id.starts_with("route-") && id.len() == 22, "{id}");
    // It does not depend on the place, only on what is said.
    let document = read(&yaml(&[
        GOOD,
        route,
        "id: '', uri: 'lb://b', predicates: [ Path=/a ]",
    ]));
    assert_eq!(document.routes[1].id, id);
    assert_ne!(document.routes[2].id, id);
    for (bad, problem) in [
        ("\"a\\nb\"", "control character"),
        (&*"x".repeat(257), "longer than 256 bytes"),
    ] {
        let document = read(&yaml(&[&format!("id: {bad}, {route}")]));
        let refused = refused(&document);
        assert!(
            refused[0].0.starts_with("route-") && refused[0].2[0].contains(problem),
            "{refused:?}"
        );
    }
}

#[test]
fn two_routes_with_one_id_both_stay_in_yaml() {
    let a = |service: &str| format!("id: a, uri: 'lb://{service}', predicates: [ Path=/a ]");
    let other = "id: a~2, uri: 'lb://x', predicates: [ Path=/a ]";
    let document = read(&yaml(&[other, &a("x"), &a("y"), &a("z")]));
    assert_eq!(ids(&document), ["a~2", "a", "a~3", "a~4"]);
    let faults = told(&document);
    assert_eq!(faults.len(), 2);
    assert!(
        faults[0].contains(
            "routes[2]: an earlier route has the id `a`; both stay, and this one is called `a~3`"
        ),
        "{faults:?}"
    );
}

#[test]
fn in_a_list_of_definitions_the_last_of_one_id_stays_at_the_first_place() {
    let text = r#"[{"id":"a","uri":"lb://x","predicates":["Path=/a"]},{"id":"b","uri":"lb://b","predicates":["Path=/b"]},
                   {"id":"a","uri":"lb://y","predicates":["Path=/a"]}]"#;
    let document = read(text);
    assert_eq!(ids(&document), ["a", "b"]);
    assert_eq!(
        document.routes[0]
            .service()
            .map(|service| service.name.as_str()),
        Some("y")
    );
    assert!(told(&document)[0].contains("which gives way to this one"));
}

#[test]
fn a_definition_of_a_list_may_take_every_request() {
    let document = read(r#"[{"id":"a","uri":"lb://x","predicates":[]}]"#);
    assert_eq!(ids(&document), ["a"]);
    assert!(told(&document)[0].contains("the route takes every request"));
}

#[test]
fn a_shortcut_is_cut_at_its_first_equals_sign_and_at_commas() {
    let filters = r#"filters: [ PreserveHostHeader, 'AddRequestHeader=X-A, b:\d{1,3}, c', 'AddRequestParameter= a , b=c,, ', 'X=' ]"#;
    let document = read(&yaml(&[&format!(
        "id: a, uri: 'no://op', predicates: [ 'Header=X, a{{1,3}}' ], {filters}"
    )]));
    let route = &document.routes[0];
    assert_eq!(route.target, None);
    assert_eq!(
        part(&route.predicates[0]),
        r#"Header {"_genkey_0":"X","_genkey_1":"a{1","_genkey_2":"3}"}"#
    );
    assert_eq!(
        parts(&route.filters),
        [
            "PreserveHostHeader null",
            r#"AddRequestHeader {"_genkey_0":"X-A","_genkey_1":"b:\\d{1","_genkey_2":"3}","_genkey_3":"c"}"#,
            r#"AddRequestParameter {"_genkey_0":"a","_genkey_1":"b=c"}"#,
            "X {}",
        ]
    );
}

#[test]
fn metadata_selects_instances_and_limits_time() {
    let route = "id: a, uri: 'lb://Svc_A', predicates: [ Path=/a ], order: ' 7 ', enabled: 'off', metadata: { \
                 k: 1.10, response-timeout: '400', connect-timeout: 250, nacos: { group: G, cluster: C, metadata: { version: v2 } }, list: [ 1 ] }";
    let document = read(&yaml(&[route]));
    let spec = &document.routes[0];
    assert_eq!((spec.order, spec.enabled), (7, false));
    let service = spec.service().expect("a service");
    assert_eq!(
        (
            service.name.as_str(),
            service.group.as_deref(),
            service.cluster.as_deref()
        ),
        ("Svc_A", Some("G"), Some("C"))
    );
    assert_eq!(service.metadata["version"], "v2");
    let millis = |limit: Option<Duration>| limit.map(|limit| limit.as_millis());
    assert_eq!(
        (millis(spec.timeout), millis(spec.connect_timeout)),
        (Some(400), Some(250))
    );
    assert_eq!(
        (spec.metadata["k"].as_str(), spec.metadata["list"].as_str()),
        ("1.10", r#"["1"]"#)
    );
    for (value, expected, is_warned) in [
        ("-1", 86_400_000, false),
        ("300ms", 300, true),
        ("2s", 2_000, true),
    ] {
        let route = format!(
            "id: a, uri: 'lb://a', predicates: [ Path=/a ], metadata: {{ response-timeout: {value} }}"
        );
        let document = read(&yaml(&[&route]));
        assert_eq!(
            millis(document.routes[0].timeout),
            Some(expected),
            "{value}"
        );
        assert_eq!(told(&document).len(), usize::from(is_warned), "{value}");
    }
}

#[test]
fn a_uri_becomes_a_target_of_ours() {
    let target = |uri: &str| {
        let document = read(&yaml(&[&format!(
            "id: a, uri: '{uri}', predicates: [ Path=/a ]"
        )]));
        document.routes[0].target.clone()
    };
    assert!(matches!(target("http://a:81"), Some(TargetSpec::Url(url)) if url.url.port == 81));
    assert_eq!(
        target("forward:/x"),
        Some(TargetSpec::Forward("/x".to_owned()))
    );
    assert_eq!(target("no://op"), None);
}

#[test]
fn beans_filters_and_schemes_of_ones_own_are_looked_up() {
    let scg = settings(
        "{ beans: { ipKeyResolver: client_address, userKey: { header: X-User } }, schemes: { grayLb: lb }, \
         filters: { AuthFilter: ignore, CheckToken: { forward_auth: { service: auth } }, Sign: preserve_host } }",
    );
    let filters = "filters: [ AuthFilter, CheckToken=/x, Sign, { name: RequestRateLimiter, args: { key-resolver: '#{@ipKeyResolver}', \
                   other: ' #{ @userKey } ' } }, 'L=1, #{@ipKeyResolver}' ]";
    let route = format!("id: a, uri: 'grayLb://a', predicates: [ Path=/a ], {filters}");
    let document = read_with(&yaml(&[&route, &route.replace("id: a", "id: b")]), &scg);
    assert_eq!(
        parts(&document.routes[1].filters),
        [
            r#"forward_auth {"service":"auth"}"#,
            "preserve_host null",
            r#"RequestRateLimiter {"key-resolver":"client_address","other":{"header":"X-User"}}"#,
            r#"L {"_genkey_0":"1","_genkey_1":"client_address"}"#,
        ]
    );
    let faults = told(&document);
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(
        faults[0].contains("the filter `AuthFilter` is left out, as scg.filters says (2 places)"),
        "{faults:?}"
    );
    assert!(faults[1].contains("`forward_auth` stands in for the filter `CheckToken`, as scg.filters says; its arguments are not used"));
    // What is wrong with them is told at the filter's place in the document.
    assert_eq!(document.routes[0].filters[0].args.at.line, 2);
}

#[test]
fn placeholders_are_filled_in_where_they_are_allowed() {
    let mut scg = settings("{ placeholders: [ NAME, GONE ] }");
    scg.placeholders[0].value = Some("users".to_owned());
    let route = r"id: '${NAME}', uri: 'lb://${NAME}', order: '${GONE:3}', predicates: [ 'Path=${GONE:/p}/**' ],
        filters: [ 'RewritePath=/p/(?<seg>.*), /$\{seg}', 'A=${OTHER:x}', 'B=\${seg}' ]";
    let document = read_with(&yaml(&[route]), &scg);
    let spec = &document.routes[0];
    assert_eq!((&*spec.id, spec.order), ("users", 3));
    assert_eq!(part(&spec.predicates[0]), r#"Path {"_genkey_0":"/p/**"}"#);
    assert_eq!(
        parts(&spec.filters),
        [
            r#"RewritePath {"_genkey_0":"/p/(?<seg>.*)","_genkey_1":"/$\\{seg}"}"#,
            r#"A {"_genkey_0":"${OTHER:x}"}"#,
            r#"B {"_genkey_0":"${seg}"}"#,
        ]
    );
    let faults = told(&document);
    assert!(
        faults[0].contains("add OTHER to scg.placeholders"),
        "{faults:?}"
    );
    // A list of definitions is not what Spring loads: there, a backslash stays.
    let text =
        r#"[{"id":"a","uri":"lb://${NAME}","predicates":["Path=/a"],"filters":["B=\\${seg}"]}]"#;
    let document = read_with(text, &scg);
    assert_eq!(
        document.routes[0]
            .service()
            .map(|service| service.name.as_str()),
        Some("users")
    );
    assert_eq!(
        part(&document.routes[0].filters[0]),
        r#"B {"_genkey_0":"\\${seg}"}"#
    );
}
