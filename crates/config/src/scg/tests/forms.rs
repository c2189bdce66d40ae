//! The forms that a document may have.

use super::*;
use crate::{Form, Reading};

/// One route, in every form.
const YAML: &str = "\
# an application's own settings around it
server: { port: 8080 }
spring:
  redis: { host: x }
  cloud:
    nacos: { discovery: { group: G } }
    gateway:
      routes:
        - id: user
          uri: lb://user-service
          predicates:
            - Path=/user/**, /member/**
            - name: Method
              args: { methods: GET }
          filters: [ StripPrefix=1 ]
          order: -1
management: {}
";

const PROPERTIES: &str = "\
server.port=8080
spring.cloud.gateway.routes[0].id=user
spring.cloud.gateway.routes[0].uri = lb://user-service
spring.cloud.gateway.routes[0].predicates[0]=Path=/user/**,\\
    /member/**
spring.cloud.gateway.routes[0].predicates[1].name=Method
spring.cloud.gateway.routes[0].predicates[1].args.methods=GET
spring.cloud.gateway.routes[0].filters[0]=StripPrefix=1
spring.cloud.gateway.routes[0].order: -1
";

const DOTTED: &str = "\
spring.cloud.gateway:
  routes[0]:
    id: user
    uri: lb://user-service
    predicates[0]: Path=/user/**,/member/**
    predicates[1]: { name: Method, args.methods: GET }
    filters: [ StripPrefix=1 ]
    order: -1
";

const NEW_PREFIX: &str = "\
spring:
  cloud.gateway.server.webflux.routes:
    - { id: user, uri: 'lb://user-service', order: '-1', predicates: [ 'Path=/user/**,/member/**', { Name: Method, Args: { methods: GET } } ], filters: [ StripPrefix=1 ] }
";

const JSON: &str = r#"[
  {"id": "user", "order": -1, "uri": "lb://user-service",
   "predicates": ["Path=/user/**,/member/**", {"args": {"methods": "GET"}, "name": "Method"}],
   "filters": [{"name": "StripPrefix", "args": {"_genkey_0": 1}}]}
]"#;

const WRAPPED: &str = r#"{"refreshGatewayRoute": true, "routeList": [
  {"id": "user", "order": -1, "uri": "lb://user-service",
   "predicates": [{"name": "Path", "args": ["/user/**", "/member/**"]}, {"name": "Method", "args": {"methods": "GET"}}],
   "filters": [{"name": "StripPrefix", "args": "1"}]}
]}"#;

const BARE: &str = "\
routes:
  - id: user
    uri: lb://user-service
    predicates: [ 'Path=/user/**,/member/**', { name: Method, args: { methods: GET } } ]
    filters: [ StripPrefix=1 ]
    order: -1
";

#[test]
fn one_route_is_the_same_in_every_form() {
    for text in [YAML, PROPERTIES, DOTTED, NEW_PREFIX, JSON, WRAPPED, BARE] {
        let route = only(text);
        assert_eq!(
            (&*route.id, route.order, route.form),
            ("user", -1, Form::Scg),
            "{text}"
        );
        assert_eq!(route.service().expect("a service").name, "user-service");
        assert_eq!(
            parts(&route.predicates),
            [
                r#"Path {"_genkey_0":"/user/**","_genkey_1":"/member/**"}"#,
                r#"Method {"methods":"GET"}"#
            ],
            "{text}"
        );
        assert_eq!(
            parts(&route.filters),
            [r#"StripPrefix {"_genkey_0":"1"}"#],
            "{text}"
        );
        assert!(route.enabled && !route.preserve_host);
    }
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_do_not_matter() {
    for text in [YAML, PROPERTIES, DOTTED, JSON] {
        let text = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        assert_eq!(&*only(&text).id, "user");
    }
}

#[test]
fn positions_are_those_of_the_text() {
    let route = only(YAML);
    let at = |part: &crate::PartSpec| (part.at.line, part.path.clone());
    let path = |end: &str| format!("spring.cloud.gateway.routes[0].{end}");
    assert_eq!(route.at.line, 9);
    assert_eq!(at(&route.predicates[0]), (12, path("predicates[0]")));
    assert_eq!(at(&route.predicates[1]), (13, path("predicates[1].args")));
    assert_eq!(
        at(&only(PROPERTIES).predicates[0]),
        (4, path("predicates[0]"))
    );
    assert_eq!(
        at(&only(JSON).filters[0]),
        (4, "[0].filters[0].args".to_owned())
    );
    assert_eq!(
        at(&only(WRAPPED).filters[0]),
        (4, "routeList[0].filters[0].args".to_owned())
    );
}

#[test]
fn an_explicit_empty_list_empties_the_document() {
    for text in [
        "[]",
        "{\"routeList\": []}",
        "spring.cloud.gateway.routes: []",
        "spring: { cloud: { gateway: { server: { webflux: { routes: [] } } } } }",
    ] {
        assert!(read(text).routes.is_empty(), "{text}");
    }
}

#[test]
fn what_has_no_routes_is_refused_and_says_so() {
    for (text, expected) in [
        ("spring: { redis: {} }", "no settings of the gateway"),
        (
            "spring.cloud.gateway: { globalcors: {} }",
            "`routes` is missing; expected a list, `[]` for no routes",
        ),
        ("spring.cloud.gateway.routes:", "`routes` is missing"),
        ("spring.cloud.gateway.routes: x", "no list of routes"),
        ("spring.cloud.gateway.routes=\n", "no list of routes"),
        ("spring.cloud.gateway.routes: { a: 1 }", "no list of routes"),
        (
            "{\"refreshGatewayRoute\": false, \"routeList\": []}",
            "the document asks not to be applied",
        ),
        ("spring:\n  cloud:\n  gateway:\n - x", "not valid YAML"),
        ("spring: { cloud: 1, cloud: 2 }", "duplicate key"),
    ] {
        let faults = refused_with(text, &ScgSettings::default());
        assert!(faults[0].contains(expected), "{text}: {faults:?}");
    }
    for text in ["", "# only\n", "---\n---\n"] {
        let outcome = parse_route_document("d", text, &ScgSettings::default());
        assert_eq!(outcome, DocumentOutcome::Blank, "{text}");
    }
}

#[test]
fn the_form_can_be_said_instead_of_found() {
    let scg = ScgSettings::default();
    let parse = |form, text| {
        let form = Some(form);
        Reading {
            form,
            ..Reading::default()
        }
        .parse("d", text)
    };
    let native = "routes: { /a: a }";
    assert!(matches!(
        parse(Form::Scg, native),
        DocumentOutcome::Refused(_)
    ));
    assert!(matches!(
        parse(Form::Native, native),
        DocumentOutcome::Routes(_)
    ));
    assert!(matches!(
        parse(Form::Native, YAML),
        DocumentOutcome::Refused(_)
    ));
    assert!(matches!(
        parse(Form::Native, PROPERTIES),
        DocumentOutcome::Refused(_)
    ));
    assert!(matches!(parse(Form::Scg, JSON), DocumentOutcome::Routes(_)));
    assert!(matches!(
        parse(Form::Scg, "{\"routes\": []}"),
        DocumentOutcome::Routes(_)
    ));
    // Routes of ours make it ours, whatever else is in it.
    let mixed = "routes: { /a: a }\nspring: {}\n";
    let DocumentOutcome::Refused(document) = parse_route_document("d", mixed, &scg) else {
        panic!("a slip")
    };
    assert!(told(&document)[0].contains("spring: unknown key"));
}

const PARTS: &str = "\
spring.cloud.gateway:
  routes:
    - { id: base, uri: 'lb://a', predicates: [ Path=/a ] }
  default-filters: [ StripPrefix=1 ]
---
spring:
  config.activate.on-profile: dev
  cloud.gateway.routes:
    - { id: dev, uri: 'lb://b', predicates: [ Path=/b ] }
---
spring:
  profiles: prod
  cloud.gateway.httpclient.connect-timeout: 500
";

#[test]
fn parts_are_for_profiles_and_a_later_list_replaces_an_earlier_one() {
    let document = read(PARTS);
    assert_eq!((ids(&document), told(&document).len()), (vec!["base"], 0));
    let document = read_with(PARTS, &settings("{ profiles: [ dev ] }"));
    assert_eq!(ids(&document), ["dev"]);
    assert_eq!(
        parts(&document.routes[0].filters),
        [r#"StripPrefix {"_genkey_0":"1"}"#]
    );
    assert!(
        told(&document)[0].contains("a list replaces the whole one"),
        "{:?}",
        told(&document)
    );
    let document = read_with(PARTS, &settings("{ profiles: [ prod ] }"));
    assert_eq!(ids(&document), ["base"]);
    assert_eq!(
        document.routes[0]
            .connect_timeout
            .map(|limit| limit.as_millis()),
        Some(500)
    );
    let text = PROPERTIES.to_owned()
        + "#---\nspring.config.activate.on-profile=dev\nspring.cloud.gateway.routes[0].id=d\n";
    assert_eq!(ids(&read(&text)), ["user"]);
    let only_dev = "spring.config.activate.on-profile: dev\nspring.cloud.gateway.routes: []\n";
    assert!(refused_with(only_dev, &ScgSettings::default())[0].contains("for the active profiles"));
}

const BOTH: &str = "\
spring.cloud.gateway:
  routes: [ { id: old, uri: 'lb://a', predicates: [ Path=/a ] } ]
  server.webflux:
    routes: [ { id: new, uri: 'lb://a', predicates: [ Path=/a ] } ]
    default-filters: [ StripPrefix=1 ]
";

#[test]
fn of_both_prefixes_the_old_one_wins_until_5() {
    let document = read(BOTH);
    assert_eq!(
        (ids(&document), document.routes[0].filters.len()),
        (vec!["old"], 1)
    );
    assert!(told(&document)[0].contains("both prefixes are given"));
    let v5 = settings("{ compat: 5 }");
    let document = read_with(BOTH, &v5);
    assert_eq!((ids(&document), told(&document).len()), (vec!["new"], 0));
    assert!(refused_with(YAML, &v5)[0].contains("5.0 does not read this prefix"));
    assert_eq!(ids(&read_with(NEW_PREFIX, &v5)), ["user"]);
    assert_eq!(ids(&read_with(JSON, &v5)), ["user"]);
}

#[test]
fn properties_given_twice_are_said() {
    let text = PROPERTIES.to_owned() + "spring.cloud.gateway.routes[0].id=other\n";
    let document = read(&text);
    assert_eq!(ids(&document), ["other"]);
    assert!(
        told(&document)[0].contains("given twice"),
        "{:?}",
        told(&document)
    );
}

#[test]
fn json_may_have_keys_twice_and_fields_of_its_own() {
    let text = r#"[{"id":"a","id":"b","uri":"lb://a","status":1,"predicates":["Path=/a"]},
                   {"id":"c","uri":"lb://a","status":1,"predicates":["Path=/a"]}]"#;
    let document = read(text);
    assert_eq!(ids(&document), ["b", "c"]);
    let faults = told(&document);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults[0].contains("duplicate key, first given in line 1; the last one counts"),
        "{faults:?}"
    );
    assert!(
        faults[1].contains("`status` is no key of a route; ignored, as by Spring (2 places)"),
        "{faults:?}"
    );
}
