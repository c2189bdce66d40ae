//! The index against the linear scan.

use std::sync::Arc;

use pailou_config::{Fault, RouteSpec};
use proptest::prelude::*;

use super::Table;
use super::tests::{Sent, compile, found, specs, spring, table};

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

/// The lines of a head.
fn lines() -> impl Strategy<Value = &'static [&'static str]> {
    prop::sample::select(vec![
        &[][..],
        &["x: 1"],
        &["y: 1"],
        &["x: 1", "y: 1", "cookie: c=1"],
    ])
}

/// A path of segments, which ends in a slash if `is_open` or if it has none.
fn joined(segments: &[&str], is_open: bool) -> String {
    let mut path: String = segments
        .iter()
        .map(|segment| format!("/{segment}"))
        .collect();
    if is_open || path.is_empty() {
        path.push('/');
    }
    path
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
        lines(),
        any::<bool>(),
    );
    (host, prop::collection::vec(segment, 0..5), rest).prop_map(
        |(host, segments, (method, query, lines, slash))| {
            let path = joined(&segments, slash);
            Sent::new(&format!("{method} {host}{path}{query}"), lines)
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

/// An order, and predicates as names and arguments.
type SpringRoute = (i32, Vec<(&'static str, String)>);

fn spring_route() -> impl Strategy<Value = SpringRoute> {
    let segment = prop::sample::select(vec![
        "a",
        "b",
        "ab",
        "' '",
        "a",
        "b",
        "{x}",
        "*",
        "?b",
        "a*",
        "{y:[ab]+}",
    ]);
    let end = prop::sample::select(vec!["", "/", "/**", "/**", "/{*r}"]);
    let start = prop::sample::select(vec!["", "", "", "", "", "/**"]);
    let path =
        (start, prop::collection::vec(segment, 0..4), end).prop_map(|(start, segments, end)| {
            let mut path = String::new();
            let mut names = 0;
            for segment in segments {
                path.push('/');
                // A variable is given once, a segment of the name of a space is one.
                names += 1;
                path.push_str(
                    &segment
                        .replace("' '", " ")
                        .replace("{x", &format!("{{x{names}"))
                        .replace("{y", &format!("{{y{names}")),
                );
            }
            // Not at both ends.
            match (start, end, &*path) {
                (_, end, "") => {
                    if end.is_empty() {
                        "/".to_owned()
                    } else {
                        end.to_owned()
                    }
                }
                ("/**", "", path) => format!("/**{path}"),
                (_, end, path) => format!("{path}{end}"),
            }
        });
    let paths = prop::collection::vec(path, 1..3).prop_map(|paths| {
        let paths: Vec<_> = paths.iter().map(|path| format!("'{path}'")).collect();
        ("Path", format!("[{}]", paths.join(", ")))
    });
    let host = prop::sample::select(vec![
        "['a.test']",
        "['*.test']",
        "['**.test', 'other']",
        "['{s}.a.test']",
        "['**']",
        "['a.test:81']",
        "['*.a.test:*']",
        "['A.Test']",
        "['**.a.*']",
    ]);
    let host = host.prop_map(|host| ("Host", host.to_owned()));
    let other = prop::sample::select(vec![
        ("Method", "GET"),
        ("Method", "[GET, PUT]"),
        ("Header", "[x, '1']"),
        ("Header", "y"),
        ("Query", "[q, '1']"),
        ("Cookie", "[c, '1']"),
        ("Weight", "[g, 3]"),
        ("Weight", "[g, 1]"),
        ("Weight", "[h, 2]"),
        ("RemoteAddr", "0.0.0.0/0"),
        ("Before", "0"),
    ]);
    let other = other.prop_map(|(name, args)| (name, args.to_owned()));
    let order = prop::sample::select(vec![0, 0, 0, 0, -1, 1, 7]);
    let predicate = prop_oneof![4 => paths.clone(), 1 => host, 2 => other];
    (
        order,
        paths,
        prop::collection::vec(predicate, 0..3),
        any::<bool>(),
    )
        .prop_map(|(order, path, mut predicates, has_path)| {
            if has_path || predicates.is_empty() {
                predicates.insert(0, path);
            }
            (order, predicates)
        })
}

fn spring_request() -> impl Strategy<Value = Sent> {
    let host = prop::sample::select(vec![
        "",
        "a.test",
        "A.test:80",
        "a.test:81",
        "b.a.test",
        "b.a.test:8080",
        "c.b.a.test",
        "test",
        "other",
    ]);
    let segment = prop::sample::select(vec![
        "a", "b", "ab", "%20", "a%2Fb", "cb", "%61", "abc", "a;v=1",
    ]);
    let rest = (
        prop::sample::select(vec!["GET", "PUT", "POST"]),
        prop::sample::select(vec!["", "?q=1", "?q=%31&q"]),
        lines(),
        any::<bool>(),
        any::<u32>(),
    );
    (host, prop::collection::vec(segment, 0..5), rest).prop_map(
        |(host, segments, (method, query, lines, slash, draw))| {
            let path = joined(&segments, slash);
            let mut sent = Sent::new(&format!("{method} {host}{path}{query}"), lines);
            sent.draw = draw;
            sent
        },
    )
}

/// A company's route: it has one of 100 prefixes, or it comes last.
fn with_own_prefix(n: usize, (order, predicates): SpringRoute) -> SpringRoute {
    let is_own = |(name, args): &(&str, String)| *name == "Path" && !args.contains("'/**/");
    let order = match predicates.iter().any(is_own) {
        true => order,
        false => order + 100,
    };
    let own = |predicate: (&'static str, String)| {
        let is_own = is_own(&predicate);
        let (name, args) = predicate;
        // Without expressions, which take long to compile where nothing is optimised.
        let args = args.replace(":[ab]+", "").replace("a*", "*");
        match is_own {
            true => (name, args.replace("'/", &format!("'/p{}/", n % 100))),
            false => (name, args),
        }
    };
    (order, predicates.into_iter().map(own).collect())
}

/// A table of both forms.
fn mixed(native: &[String], spring_routes: &[SpringRoute]) -> Table {
    let text: String = native
        .iter()
        .enumerate()
        .map(|(n, route)| format!("  r{n}: {route}\n"))
        .collect();
    let mut all: Vec<Arc<RouteSpec>> = match text.is_empty() {
        true => Vec::new(),
        false => specs("routes.yaml", &format!("routes:\n{text}")),
    };
    for (n, (order, predicates)) in spring_routes.iter().enumerate() {
        let predicates: Vec<(&str, &str)> = predicates
            .iter()
            .map(|(name, args)| (*name, &**args))
            .collect();
        all.push(spring(&format!("s{n}"), *order, &predicates));
    }
    Table::assemble(1, "", compile(all))
}

/// What the index finds, if it is what a scan finds and not among `shadowed`.
fn agree(table: &Table, shadowed: &[Fault], sent: &Sent) -> Result<Option<String>, TestCaseError> {
    let (found, scanned) = sent.ask(|request| {
        let found = table.find(request).map(|found| found.route.id.clone());
        (found, table.scan(request).map(|route| route.id.clone()))
    });
    prop_assert_eq!(
        &found,
        &scanned,
        "{} {}{}",
        sent.method,
        sent.host,
        sent.raw
    );
    if let Some(id) = &found {
        let path = format!("routes[\"{id}\"]");
        let is_shadowed = shadowed.iter().any(|fault| fault.path == path);
        prop_assert!(
            !is_shadowed,
            "{} is not shadowed: {}{}",
            id,
            sent.host,
            sent.raw
        );
    }
    Ok(found.map(|id| id.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_index_finds_what_a_linear_scan_finds_among_both_forms(
        native in prop::collection::vec(route(), 0..8),
        spring_routes in prop::collection::vec(spring_route(), 1..24),
        requests in prop::collection::vec(spring_request(), 1..24),
    ) {
        let table = mixed(&native, &spring_routes);
        let shadowed = table.shadowed();
        for sent in requests {
            agree(&table, &shadowed, &sent)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    #[test]
    fn thousands_of_routes_of_both_forms_are_searched_as_a_few_are(
        native in prop::collection::vec(route(), 200..400),
        spring_routes in prop::collection::vec(spring_route(), 1_500..2_000),
        requests in prop::collection::vec(spring_request(), 400),
    ) {
        let own_routes = spring_routes.into_iter().enumerate();
        let own_routes: Vec<_> = own_routes.map(|(n, route)| with_own_prefix(n, route)).collect();
        let native = native.iter().enumerate();
        let native: Vec<String> = native
            .map(|(n, route)| route.replace("path: '/", &format!("path: '/p{}/", n % 100)))
            .collect();
        let table = mixed(&native, &own_routes);
        let shadowed = table.shadowed();
        let mut taken = 0;
        for mut sent in requests {
            sent.raw = format!("/p{}{}", sent.draw % 100, sent.raw);
            taken += usize::from(agree(&table, &shadowed, &sent)?.is_some());
        }
        prop_assert!(taken > 150, "{} of 400 requests are taken", taken);
    }
}
