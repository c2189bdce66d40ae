//! Documents that somebody made to hurt.

use std::time::Duration;

use super::*;
use crate::MAX_DOCUMENT_BYTES;
use crate::worked::worked;

/// Of the thread's own time: generous, for a debug build. A bomb that goes off takes hours.
const PATIENCE: Duration = Duration::from_secs(120);

fn outcome(text: &str) -> DocumentOutcome {
    let start = worked();
    let outcome = parse_route_document("d", text, &ScgSettings::default());
    let took = worked() - start;
    assert!(took < PATIENCE, "{took:?}");
    outcome
}

fn is_refused(text: &str, expected: &str) {
    let DocumentOutcome::Refused(document) = outcome(text) else {
        panic!("it is not refused: {expected}")
    };
    let faults = told(&document);
    assert!(faults[0].contains(expected), "{expected}: {faults:?}");
}

#[test]
fn what_is_too_much_is_refused() {
    is_refused(&" ".repeat(MAX_DOCUMENT_BYTES + 1), "more than the");
    is_refused(
        &format!("spring: {}", "[".repeat(100_000)),
        "recursion limit exceeded",
    );
    is_refused(
        &"---\nspring: {}\n".repeat(200),
        "more than 100 YAML documents",
    );
    let mut bomb = "a: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        bomb += &format!("b{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(","));
    }
    bomb += "spring: { cloud: { gateway: { routes: *a11 } } }\n";
    is_refused(&bomb, "the aliases expand to too much");
    let filters = format!("  default-filters: [ A=\"{}\" ]\n", "x".repeat(1 << 20));
    let routes = "    - {}\n".repeat(1_000);
    is_refused(
        &format!("spring.cloud.gateway:\n{filters}  routes:\n{routes}"),
        "too long for so many",
    );
}

#[test]
fn a_hundred_thousand_bad_routes_are_bounded_work() {
    for text in [
        format!("[{}0]", "{},".repeat(100_000)),
        format!("[{}{{\"uri\":\"\"}}]", "0,".repeat(100_000)),
        format!(
            "spring.cloud.gateway.routes:\n{}",
            "- id: a\n".repeat(100_000)
        ),
        (0..50_000)
            .map(|index| format!("spring.cloud.gateway.routes[{index}].id=a\n"))
            .collect(),
        (0..50_000)
            .map(|index| format!("spring.cloud.gateway.k{index}=a\n"))
            .chain(["spring.cloud.gateway.routes[4294967295]=\n".to_owned()])
            .collect(),
    ] {
        let DocumentOutcome::Routes(document) = outcome(&text) else {
            // The first of them has nothing that shows its form.
            continue;
        };
        assert!(document.routes.is_empty());
        assert!(document.faults.len() <= 101, "{}", document.faults.len());
    }
}

#[test]
fn many_routes_with_one_id_are_told_apart_in_little_time() {
    let route = "- { id: a, uri: 'lb://a', predicates: [ Path=/a ] }\n";
    let DocumentOutcome::Routes(document) = outcome(&format!(
        "spring.cloud.gateway.routes:\n{}",
        route.repeat(3_000)
    )) else {
        panic!("it is read")
    };
    assert_eq!(&*document.routes[2_999].id, "a~3000");
    assert_eq!(document.faults.len(), 101);
}

#[test]
fn strange_values_are_values() {
    let long = "x".repeat(1 << 20);
    for value in [
        "\\u0000",
        "\\r\\nX: y",
        "\u{202e}中",
        long.as_str(),
        "${${${",
        "#{",
        "{{{{",
        "-9223372036854775809",
        "1e999",
    ] {
        let route = |key: &str| {
            format!("[{{\"id\":\"a\",\"uri\":\"lb://a\",\"predicates\":[\"Path=/a\"],{key}}}]")
        };
        for key in [
            format!("\"filters\":[\"A={value}\"]"),
            format!("\"order\":\"{value}\""),
            format!("\"uri\":\"{value}\""),
            format!("\"metadata\":{{\"response-timeout\":\"{value}\"}}"),
            format!("\"{value}\":1"),
            format!("\"filters\":[{{\"name\":\"A\",\"args\":{{\"{value}\":\"{value}\"}}}}]"),
        ] {
            let DocumentOutcome::Routes(document) = outcome(&route(&key)) else {
                panic!("one route cannot refuse the document: {key:.60}")
            };
            assert_eq!(document.routes.len() + document.refused.len(), 1);
            for fault in document
                .refused
                .iter()
                .flat_map(|route| &route.faults)
                .chain(&document.faults)
            {
                let line = fault.to_string();
                assert!(
                    line.len() < 1_000 && !line.contains(['\r', '\n', '\0']),
                    "{line:.200}"
                );
            }
        }
    }
}
