//! Documents that are made to cost time or memory.

use std::time::{Duration, Instant};

use super::{faults, routes};
use crate::route_document::MAX_DOCUMENT_BYTES;

/// Generous, for a debug build on a busy machine. A bomb that goes off takes hours.
const PATIENCE: Duration = Duration::from_secs(60);

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
        let began = Instant::now();
        let faults = faults(&text);
        assert!(began.elapsed() < PATIENCE, "{name}: {:?}", began.elapsed());
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
    let began = Instant::now();
    assert_eq!(routes(&text).len(), 20_000);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}
