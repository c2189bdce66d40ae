//! Where a route goes: a service with what its endpoints speak, or a URL.

use super::{faults, routes};
use crate::{Protocol, TargetSpec};

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
