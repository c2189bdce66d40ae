//! The index against the linear scan.

use proptest::prelude::*;

use super::tests::{Sent, found, table};

fn host() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "",
        "",
        "a.test",
        "b.a.test",
        "*.test",
        "*.a.test",
        "*.b.a.test",
        "test",
    ])
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "%20"]);
    let end = prop::sample::select(vec!["", "/", "/**", "/**", "/**"]);
    (prop::collection::vec(segment, 0..4), end).prop_map(|(segments, end)| {
        let mut path: String = segments
            .iter()
            .map(|segment| format!("/{segment}"))
            .collect();
        path.push_str(end);
        if path.is_empty() {
            "/".to_owned()
        } else {
            path
        }
    })
}

fn route() -> impl Strategy<Value = String> {
    let order = prop::sample::select(vec![0, 0, 0, 0, -1, 1, 7]);
    let conditions = prop::sample::select(vec![
        "",
        "",
        "",
        "methods: GET",
        "headers: { x: '1' }",
        "headers: { x: { present: false }, y: '1' }",
        "methods: [GET, PUT], query: { q: '1' }",
        "cookies: { c: '1' }",
        "methods: PUT, headers: { x: '1' }",
    ]);
    (host(), path(), order, conditions).prop_map(|(host, path, order, conditions)| {
        let host = if host.is_empty() {
            String::new()
        } else {
            format!("host: '{host}', ")
        };
        format!("{{ {host}path: '{path}', order: {order}, match: {{ {conditions} }}, service: s }}")
    })
}

fn request() -> impl Strategy<Value = Sent> {
    let host = prop::sample::select(vec![
        "",
        "a.test",
        "b.a.test",
        "c.b.a.test",
        "test",
        "x.test",
        "other",
    ]);
    let segment = prop::sample::select(vec!["a", "b", "ab", "%20", "abc", "a;v=1"]);
    let rest = (
        prop::sample::select(vec!["GET", "PUT"]),
        prop::sample::select(vec!["", "?q=1", "?q=2"]),
        prop::sample::select(vec![
            &[][..],
            &["x: 1"],
            &["y: 1"],
            &["x: 1", "y: 1", "cookie: c=1"],
        ]),
        any::<bool>(),
    );
    (host, prop::collection::vec(segment, 0..5), rest).prop_map(
        |(host, segments, (method, query, lines, slash))| {
            let path: String = segments
                .iter()
                .map(|segment| format!("/{segment}"))
                .collect();
            let slash = if slash || path.is_empty() { "/" } else { "" };
            Sent::new(&format!("{method} {host}{path}{slash}{query}"), lines)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_index_finds_what_a_linear_scan_finds(
        routes in prop::collection::vec(route(), 0..24),
        requests in prop::collection::vec(request(), 1..24),
    ) {
        let text: String = routes.iter().enumerate().map(|(n, route)| format!("  r{n}: {route}\n")).collect();
        let text = if text.is_empty() { "  {}\n".to_owned() } else { text };
        let table = table(&text);
        let shadowed: Vec<String> = table.shadowed().into_iter().map(|fault| fault.path).collect();
        for sent in requests {
            let (found, scanned) = sent.ask(|request| {
                (table.find(request).map(|found| found.route.id.clone()), table.scan(request).map(|route| route.id.clone()))
            });
            prop_assert_eq!(&found, &scanned, "{} {}{}", sent.method, sent.host, sent.raw);
            if let Some(id) = found {
                prop_assert!(!shadowed.contains(&format!("routes[\"{id}\"]")), "{} is not shadowed", id);
            }
        }
    }
}

/// Ten thousand routes of several shapes: the index still finds what the scan
/// finds.
#[test]
fn large_tables_are_searched_like_small_ones() {
    type Line = fn(usize) -> String;
    let shapes: [(&str, Line, Line); 3] = [
        (
            "prefixes",
            |n| format!("  /api/v{}/s{n}/**: s\n", n % 7),
            |n| format!("GET any.test/api/v{}/s{n}/1", n % 7),
        ),
        (
            "hosts",
            |n| format!("  h{n}: {{ host: h{n}.test, service: s }}\n"),
            |n| format!("GET h{n}.test/x"),
        ),
        (
            "one host",
            |n| format!("  p{n}: {{ host: h.test, path: /p{n}, service: s }}\n"),
            |n| format!("GET h.test/p{n}"),
        ),
    ];
    for (shape, route, request) in shapes {
        let text: String = (0..10_000).map(route).collect();
        let table = table(&text);
        assert_eq!(table.routes().len(), 10_000, "{shape}");
        for n in (0..10_000).step_by(499) {
            assert!(found(&table, &request(n), &[]).is_some(), "{shape} {n}");
        }
        assert_eq!(found(&table, &request(10_001), &[]), None, "{shape}");
        assert!(table.shadowed().is_empty(), "{shape}");
    }
}
