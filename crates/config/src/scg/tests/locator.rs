//! The discovery locator.

use super::*;

fn located(locator: &str, services: &str) -> (Vec<String>, Vec<String>) {
    let text = format!("spring.cloud.gateway.discovery.locator:\n  enabled: true\n{locator}");
    let scg = settings(&format!("{{ locator: [{services}] }}"));
    let document = read_with(&text, &scg);
    let route = |route: &RouteSpec| {
        let service = route.service().map_or("-", |service| &service.name);
        let parts = [parts(&route.predicates), parts(&route.filters)].concat();
        format!("{} {service} {}", route.id, parts.join(" "))
    };
    let routes = document.routes.iter().map(route).collect();
    (routes, told(&document))
}

#[test]
fn only_services_that_the_settings_list_get_a_route() {
    let (routes, faults) = located("", "users, Orders");
    assert_eq!(
        routes,
        [
            "ReactiveCompositeDiscoveryClient_users users Path {\"pattern\":\"/users/**\"} \
             RewritePath {\"regexp\":\"/users/?(?<remaining>.*)\",\"replacement\":\"/${remaining}\"}",
            "ReactiveCompositeDiscoveryClient_Orders Orders Path {\"pattern\":\"/Orders/**\"} \
             RewritePath {\"regexp\":\"/Orders/?(?<remaining>.*)\",\"replacement\":\"/${remaining}\"}",
        ]
    );
    assert_eq!(faults, [""; 0]);
    let (routes, faults) = located("", "");
    assert_eq!(routes, [""; 0]);
    assert!(
        faults[0].contains("name those that may be reached in scg.locator"),
        "{faults:?}"
    );
}

#[test]
fn its_settings_are_followed() {
    for (locator, services, expected) in [
        (
            "  lower-case-service-id: true\n",
            "ORDERS",
            &["{\"pattern\":\"/orders/**\"}"][..],
        ),
        ("  route-id-prefix: x-\n", "users", &["x-users users "]),
        (
            "  url-expression: \"'lb:ws://'+serviceId\"\n",
            "users",
            &["users users"],
        ),
        (
            "  include-expression: serviceId == 'users'\n",
            "users, orders",
            &["_users"],
        ),
        (
            "  include-expression: \"serviceId.startsWith('o')\"\n",
            "users, orders",
            &["_orders"],
        ),
        (
            "  predicates: [ { name: Path, args: { pattern: \"'/svc/'+serviceId+'/**'\" } } ]\n  filters: []\n",
            "users",
            &["Path {\"pattern\":\"/svc/users/**\"}"],
        ),
    ] {
        let (routes, faults) = located(locator, services);
        assert_eq!(routes.len(), expected.len(), "{locator}{routes:?}");
        for (route, expected) in routes.iter().zip(expected) {
            assert!(route.contains(expected), "{locator}{route}");
        }
        assert_eq!(faults, [""; 0], "{locator}");
    }
}

/// What is not understood opens nothing.
#[test]
fn an_expression_that_is_not_read_makes_no_route_and_says_so() {
    for locator in [
        "  include-expression: metadata['edge'] == 'true'\n",
        "  url-expression: \"T(java.lang.Runtime).getRuntime()\"\n",
        "  predicates: [ { name: Path, args: { pattern: \"'/'+serviceId.toUpperCase()\" } } ]\n",
    ] {
        let (routes, faults) = located(locator, "users");
        assert_eq!(routes, [""; 0], "{locator}");
        assert!(
            faults
                .iter()
                .any(|fault| fault.contains("no service gets a route")),
            "{faults:?}"
        );
    }
}

#[test]
fn its_routes_come_after_all_others() {
    let text = "spring.cloud.gateway:\n  discovery.locator.enabled: true\n  routes:\n  - { id: last, uri: 'lb://a', order: 7, predicates: ['Path=/users/**'] }\n";
    let scg = settings("{ locator: [users] }");
    let document = read_with(text, &scg);
    let orders: Vec<_> = document.routes.iter().map(|route| route.order).collect();
    assert_eq!(orders, [7, i32::MAX]);
}
