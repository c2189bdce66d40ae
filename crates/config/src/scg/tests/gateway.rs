//! What holds for all routes of a document.

use super::*;

fn gateway(settings: &str, routes: &str) -> String {
    format!("spring.cloud.gateway:\n{settings}  routes: [ {routes} ]\n")
}

const ROUTE: &str = "{ id: a, uri: 'lb://a', predicates: [ Path=/a ], filters: [ R1, R2, R3 ] }";

#[test]
fn filters_of_all_routes_take_turns_with_those_of_one() {
    for settings in [
        "  default-filters: [ D1, D2 ]\n",
        "  defaultFilters:\n    - D1\n    - name: D2\n",
    ] {
        let route = only(&gateway(settings, ROUTE));
        let names: Vec<_> = route
            .filters
            .iter()
            .map(|part| part.name.as_str())
            .collect();
        assert_eq!(names, ["D1", "R1", "D2", "R2", "R3"], "{settings}");
    }
    let faults = refused_with(
        &gateway("  default-filters: [ 'A=#{x}' ]\n", ROUTE),
        &ScgSettings::default(),
    );
    assert!(
        faults[0].contains("default-filters[0]: `#{x}`: expressions"),
        "{faults:?}"
    );
}

#[test]
fn cors_is_the_first_step_of_every_route_and_a_routes_own_takes_its_place() {
    let settings = "  globalcors:\n    cors-configurations:\n      '[/**]': { allowedOrigins: 'https://a' }\n      '[/b/**]': { allowedMethods: [ GET ] }\n";
    let own = "{ id: b, uri: 'lb://a', predicates: [ Path=/b ], metadata: { cors: { allowedOrigins: '*' } } }";
    let document = read(&gateway(settings, &format!("{ROUTE}, {own}")));
    assert_eq!(told(&document), [""; 0]);
    assert_eq!(
        part(&document.routes[0].filters[0]),
        r#"Cors {"/**":{"allowedOrigins":"https://a"},"/b/**":{"allowedMethods":["GET"]}}"#
    );
    assert_eq!(document.routes[0].filters[1].name, "R1");
    assert_eq!(
        parts(&document.routes[1].filters),
        [r#"Cors {"/**":{"allowedOrigins":"*"}}"#]
    );
    let text = "spring.cloud.gateway.globalcors.cors-configurations.[/**].allowed-origins[0]=https://a\n\
                spring.cloud.gateway.routes[0].id=a\nspring.cloud.gateway.routes[0].uri=lb://a\n\
                spring.cloud.gateway.routes[0].predicates[0]=Path=/a\n";
    assert_eq!(
        part(&only(text).filters[0]),
        r#"Cors {"/**":{"allowed-origins":["https://a"]}}"#
    );
    let text = gateway(
        "  globalcors: { enabled: false, cors-configurations: { '[/**]': {} } }\n",
        ROUTE,
    );
    assert_eq!(only(&text).filters.len(), 3);
}

#[test]
fn limits_on_time_hold_for_routes_that_have_none() {
    let settings = "  httpclient: { connect-timeout: 1000, responseTimeout: 5s }\n";
    let own =
        "{ id: b, uri: 'lb://a', predicates: [ Path=/b ], metadata: { response-timeout: -1 } }";
    let document = read(&gateway(settings, &format!("{ROUTE}, {own}")));
    let limits = |index: usize| {
        let route: &RouteSpec = &document.routes[index];
        (
            route.connect_timeout.map(|limit| limit.as_millis()),
            route.timeout.map(|limit| limit.as_secs()),
        )
    };
    assert_eq!(limits(0), (Some(1_000), Some(5)));
    assert_eq!(limits(1), (Some(1_000), Some(86_400)));
    for bad in [
        "connect-timeout: -5",
        "connect-timeout: x",
        "response-timeout: 0",
        "response-timeout: x",
    ] {
        refused_with(
            &gateway(&format!("  httpclient: {{ {bad} }}\n"), ROUTE),
            &ScgSettings::default(),
        );
    }
}

#[test]
fn arguments_of_filters_have_defaults_that_a_routes_own_win_over() {
    let settings = "  filter.secure-headers: { referrer-policy: same-origin, disable: x, enabled: true }\n  set-status.original-status-header-name: X-O\n";
    let route = "{ id: a, uri: 'lb://a', predicates: [ Path=/a ], filters: [ SecureHeaders, { name: SecureHeaders, args: { disable: y } }, SetStatus=401, Retry ] }";
    assert_eq!(
        parts(&only(&gateway(settings, route)).filters),
        [
            r#"SecureHeaders {"referrer-policy":"same-origin","disable":"x"}"#,
            r#"SecureHeaders {"disable":"y","referrer-policy":"same-origin"}"#,
            r#"SetStatus {"_genkey_0":"401","original-status-header-name":"X-O"}"#,
            "Retry null",
        ]
    );
}

#[test]
fn what_is_not_read_is_said() {
    for (settings, expected) in [
        (
            "  discovery.locator.enabled: true\n",
            &["no service gets a route by itself"][..],
        ),
        (
            "  discovery: { locator: { enabled: false, lower-case-service-id: true } }\n",
            &[],
        ),
        (
            "  trusted-proxies: .*\n",
            &["`trusted-proxies` is not read: whose forwarding headers"],
        ),
        (
            "  x-forwarded.for-append: false\n",
            &["see `forwarded` in gateway.yaml"],
        ),
        ("  loadbalancer.use404: true\n", &["answered with 503"]),
        (
            "  nonsense: 1\n  more: 2\n",
            &["`nonsense` is not read", "`more` is not read"],
        ),
        (
            "  httpclient.pool.type: fixed\n",
            &["`pool` of the HTTP client is not read"],
        ),
        (
            "  enabled: false\n",
            &["a gateway is turned off by taking its document away"],
        ),
        (
            "  enabled: true\n  fail-on-route-definition-error: false\n",
            &[],
        ),
        ("  filter.retry.x: 1\n", &["`retry` is not read"]),
        (
            "  globalcors: { cors-configurations: { '/**': {} } }\n",
            &["a pattern without brackets"],
        ),
        (
            "  globalcors.add-to-simple-url-handler-mapping: true\n",
            &[],
        ),
    ] {
        let document = read(&gateway(settings, ROUTE));
        let faults = told(&document);
        assert_eq!(faults.len(), expected.len(), "{settings}{faults:?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(
                fault.contains(expected) && fault.contains("warning"),
                "{settings}{fault}"
            );
        }
    }
    let text = "spring.cloud.gateway.discovery.locator.enabled: true";
    assert_eq!(read(text).faults.len(), 1);
}

#[test]
fn cors_settings_hold_for_requests_without_a_route_too() {
    let of = |more: &str| {
        let settings =
            format!("  globalcors: {{ {more}cors-configurations: {{ '[/**]': {{}} }} }}\n");
        read(&gateway(&settings, ROUTE)).unrouted
    };
    let served = of("addToSimpleUrlHandlerMapping: true, ").expect("settings");
    assert!(served.is_served && served.cors.name == "Cors");
    assert!(!of("").expect("settings").is_served);
    assert_eq!(of("enabled: false, "), None);
    assert_eq!(read(&gateway("", ROUTE)).unrouted, None);
}

#[test]
fn a_host_without_its_port_is_a_pattern_with_any() {
    let text = "spring.cloud.gateway:\n  predicate.host.include-port: false\n  routes:\n  - { id: a, uri: 'lb://a', predicates: ['Host=**.x.org,y.org', Path=/a] }\n";
    let route = only(text);
    assert_eq!(
        parts(&route.predicates),
        [
            "Host {\"_genkey_0\":\"**.x.org\",\"_genkey_1\":\"y.org\",\"_genkey_1000\":\"**.x.org:*\",\"_genkey_1001\":\"y.org:*\"}",
            "Path {\"_genkey_0\":\"/a\"}",
        ]
    );
}

#[test]
fn what_an_application_says_beside_the_gateway_goes_to_those_who_go_by_it() {
    let text = "spring:
  cloud.gateway.routes:
  - { id: a, uri: 'lb://a', predicates: [Path=/a, Version=1.2], filters: [CircuitBreaker=trip, CircuitBreaker, StripPrefix=1] }
  webflux.apiversion: { use: { header: X-V }, default: '1.0' }
resilience4j:
  circuitbreaker:
    configs: { default: { slidingWindowSize: 10, failureRateThreshold: 20 }, slow: { slidingWindowSize: 5 } }
    instances: { trip: { base-config: slow, minimumNumberOfCalls: 3 }, a: { sliding-window-size: 7 } }
---
resilience4j.timelimiter.instances.trip.timeoutDuration: 400ms
";
    let route = only(text);
    assert_eq!(
        parts(&route.predicates),
        [
            "Path {\"_genkey_0\":\"/a\"}",
            "Version {\"_genkey_0\":\"1.2\",\"apiversion\":{\"use\":{\"header\":\"X-V\"},\"default\":\"1.0\"}}",
        ]
    );
    assert_eq!(
        parts(&route.filters),
        [
            "CircuitBreaker {\"_genkey_0\":\"trip\",\"circuitbreaker\":{\"slidingWindowSize\":\"5\",\"minimumNumberOfCalls\":\"3\"},\
             \"timelimiter\":{\"timeoutDuration\":\"400ms\"}}",
            "CircuitBreaker {\"circuitbreaker\":{\"failureRateThreshold\":\"20\",\"sliding-window-size\":\"7\"}}",
            "StripPrefix {\"_genkey_0\":\"1\"}",
        ]
    );
    let text = "spring.cloud.gateway.routes[0].uri=lb://a\nspring.cloud.gateway.routes[0].predicates[0]=Version=1\n\
                spring.webflux.apiversion.use.header=X-V\n";
    assert_eq!(
        parts(&only(text).predicates),
        ["Version {\"_genkey_0\":\"1\",\"apiversion\":{\"use\":{\"header\":\"X-V\"}}}"]
    );
}

/// Spring takes the id of a route for the group of its breakers, and groups may be set as instances are.
#[test]
fn a_breaker_without_settings_of_its_own_has_those_of_its_route() {
    let text = "spring.cloud.gateway.routes:
- { id: users, uri: 'lb://a', predicates: [Path=/a], filters: [CircuitBreaker=own, CircuitBreaker=other] }
resilience4j.circuitbreaker.instances: { users: { slidingWindowSize: 5 }, own: { slidingWindowSize: 6 } }
";
    assert_eq!(
        parts(&only(text).filters),
        [
            "CircuitBreaker {\"_genkey_0\":\"own\",\"circuitbreaker\":{\"slidingWindowSize\":\"6\"}}",
            "CircuitBreaker {\"_genkey_0\":\"other\",\"circuitbreaker\":{\"slidingWindowSize\":\"5\"}}",
        ]
    );
}

#[test]
fn a_time_limit_that_spring_turns_off_is_none() {
    for (off, is_limited) in [
        ("{ disable-time-limiter: true }", [false, false]),
        ("{ disableTimeLimiter: false }", [true, true]),
        (
            "{ disable-time-limiter: true, disable-time-limiter-map: { own: false } }",
            [true, false],
        ),
        ("{ disable-time-limiter-map: { a: true } }", [false, false]),
        ("{ disable-time-limiter-map: { other: on } }", [true, false]),
    ] {
        let text = format!(
            "spring.cloud.circuitbreaker.resilience4j: {off}
spring.cloud.gateway.routes:
- {{ id: a, uri: 'lb://a', predicates: [Path=/a], filters: [CircuitBreaker=own, CircuitBreaker=other] }}
resilience4j.timelimiter.configs.default.timeoutDuration: 2s
"
        );
        let has_limit = |part: String| part.contains("\"timeoutDuration\":\"2s\"");
        let limits: Vec<_> = parts(&only(&text).filters)
            .into_iter()
            .map(has_limit)
            .collect();
        assert_eq!(limits, is_limited, "{off}");
    }
    let text = "spring.cloud.gateway.routes[0].uri=lb://a\nspring.cloud.gateway.routes[0].predicates[0]=Path=/a\n\
                spring.cloud.gateway.routes[0].filters[0]=CircuitBreaker=b\n\
                spring.cloud.circuitbreaker.resilience4j.disable-time-limiter=true\n\
                resilience4j.timelimiter.instances.b.timeout-duration=2s\n";
    assert_eq!(
        parts(&only(text).filters),
        ["CircuitBreaker {\"_genkey_0\":\"b\"}"]
    );
}

/// How requests to a document's routes choose among instances: header, value of requests without one.
fn hints(text: &str) -> Vec<Option<(String, Option<String>)>> {
    let document = read(text);
    let canary =
        |route: &crate::RouteSpec| route.service().and_then(|service| service.canary.clone());
    let hint = |canary: crate::CanarySpec| {
        assert_eq!(canary.metadata, "hint");
        assert_eq!(canary.fallback, crate::CanaryFallback::Any);
        match canary.place {
            crate::RequestValue::Header(name) => (name, canary.usual),
            other => panic!("{other:?}"),
        }
    };
    document
        .routes
        .iter()
        .map(|route| canary(route).map(hint))
        .collect()
}

#[test]
fn springs_hint_chooses_among_instances() {
    let routes = "spring.cloud.gateway.routes:
- { id: a, uri: 'lb://a', predicates: [Path=/a] }
- { id: b, uri: 'lb://b', predicates: [Path=/b], metadata: { nacos: { group: G } } }
- { id: c, uri: 'http://c', predicates: [Path=/c] }
";
    let hint = |header: &str, value: &str| Some((header.to_owned(), Some(value.to_owned())));
    let usual = "X-SC-LB-Hint";
    for (balancer, a, b) in [
        ("{ retry.enabled: true }", None, None),
        (
            "{ hint: { a: blue } }",
            hint(usual, "blue"),
            hint(usual, "default"),
        ),
        (
            "{ hint: { default: green, b: red }, hint-header-name: X-Stage }",
            hint("X-Stage", "green"),
            hint("X-Stage", "red"),
        ),
        (
            "{ hintHeaderName: X-All, clients: { b: { hint-header-name: X-B } } }",
            hint("X-All", "default"),
            hint("X-B", "default"),
        ),
    ] {
        let text = format!("{routes}spring.cloud.loadbalancer: {balancer}\n");
        assert_eq!(hints(&text), [a, b, None], "{balancer}");
    }
}
