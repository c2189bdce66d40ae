use http::{HeaderMap, HeaderName, HeaderValue, Method, header::HOST};
use pailou_config::{
    DocumentOutcome, Environment, Form, Node, PartSpec, Reading, Report, RouteSpec, load_settings,
};
use pailou_telemetry::Metrics;
use pailou_upstream::{EjectionSettings, Services};

use super::*;
use crate::{Compiler, Host, TableCell, Target};

pub(crate) fn specs(document: &str, text: &str) -> Vec<Arc<RouteSpec>> {
    match Reading::default().parse(document, text) {
        DocumentOutcome::Routes(parsed) => parsed.routes.into_iter().map(Arc::new).collect(),
        other => panic!("{text}\n{other:?}"),
    }
}

pub(crate) fn compile(specs: Vec<Arc<RouteSpec>>) -> Vec<Arc<Route>> {
    let metrics = Metrics::new();
    let services = Services::new(EjectionSettings::default(), metrics.clone());
    let settings = load_settings(None, &Environment::default())
        .expect("defaults are legal")
        .settings;
    let filters = pailou_filters::Shared::new(metrics.clone());
    let compiler = Compiler::new(&services, &metrics, &filters, &settings);
    specs
        .into_iter()
        .map(|spec| Route::compile(spec, &compiler).expect("a legal route"))
        .collect()
}

pub(super) fn table(text: &str) -> Table {
    Table::assemble(
        1,
        "",
        compile(specs("routes.yaml", &format!("routes:\n{text}"))),
    )
}

/// A route in Spring's form: its predicates as names and arguments in YAML.
pub(super) fn spring(id: &str, order: i32, predicates: &[(&str, &str)]) -> Arc<RouteSpec> {
    let report = Report::new("spring.yaml");
    let part = |(name, yaml): &(&str, &str)| {
        let args = Node::parse_yaml(yaml, &report).expect("YAML");
        let (name, path) = ((*name).to_owned(), format!("routes[\"{id}\"]"));
        let at = args.at;
        PartSpec {
            name,
            args,
            at,
            path,
        }
    };
    let native = specs("spring.yaml", "routes: { /: s }");
    Arc::new(RouteSpec {
        id: id.into(),
        form: Form::Scg,
        order,
        predicates: predicates.iter().map(part).collect(),
        ..RouteSpec::clone(&native[0])
    })
}

/// A request in one line: `GET host/path?query`, then header lines.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) host: String,
    pub(super) raw: String,
    pub(super) draw: u32,
    headers: HeaderMap,
}

impl Sent {
    pub(super) fn new(line: &str, lines: &[&str]) -> Sent {
        let (method, rest) = line.split_once(' ').expect("a method");
        let (host, raw) = rest.split_at(rest.find('/').expect("a path"));
        let mut headers = HeaderMap::new();
        if !host.is_empty() {
            headers.insert(HOST, HeaderValue::from_str(host).expect("a value"));
        }
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header line");
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        Sent {
            method: method.parse().expect("a method"),
            host: host.to_owned(),
            raw: raw.to_owned(),
            draw: 0,
            headers,
        }
    }

    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Request<'_>) -> T) -> T {
        let host =
            (!self.host.is_empty()).then(|| Host::parse(self.host.as_bytes()).expect("a host"));
        let target = Target::parse(self.raw.as_bytes()).expect("a target");
        let host = host.as_ref().map(Host::name);
        ask(&Request {
            draw: self.draw,
            ..Request::new(&self.method, host, &target, &self.headers)
        })
    }
}

pub(super) fn found(table: &Table, line: &str, lines: &[&str]) -> Option<String> {
    Sent::new(line, lines).ask(|request| {
        let found = table.find(request).map(|found| found.route.id.to_string());
        assert_eq!(
            found,
            table.scan(request).map(|route| route.id.to_string()),
            "{line}"
        );
        found
    })
}

/// Each key of the order decides when the ones before it are equal, and none
/// after it can overrule it.
#[test]
fn routes_stand_in_the_documented_order() {
    let pairs = [
        (
            "order",
            "{ path: /**, order: -1, service: s }",
            "{ path: /a, host: h.test, service: s }",
        ),
        (
            "order over host",
            "{ path: /**, service: s }",
            "{ path: /a, host: h.test, order: 1, service: s }",
        ),
        (
            "exact host",
            "{ path: /**, host: h.test, service: s }",
            "{ path: /a, host: '*.test', service: s }",
        ),
        (
            "longer suffix",
            "{ path: /**, host: '*.b.test', service: s }",
            "{ path: /a, host: '*.test', service: s }",
        ),
        (
            "wildcard host",
            "{ path: /**, host: '*.test', service: s }",
            "{ path: /a, service: s }",
        ),
        (
            "exact path",
            "{ path: /a, service: s }",
            "{ path: /a/**, match: { methods: GET }, service: s }",
        ),
        (
            "exact over longer",
            "{ path: /a, service: s }",
            "{ path: /a/b/c/**, service: s }",
        ),
        (
            "longer prefix",
            "{ path: /a/b/**, service: s }",
            "{ path: /a/**, match: { methods: GET }, service: s }",
        ),
        (
            "any path is last",
            "{ path: /a/**, host: h.test, service: s }",
            "{ host: h.test, match: { methods: GET }, service: s }",
        ),
        (
            "two conditions",
            "{ path: /a/**, match: { headers: { a: b, c: d } }, service: s }",
            "{ path: /a/**, match: { methods: [GET, PUT] }, service: s }",
        ),
        (
            "one condition",
            "{ path: /a/**, match: { methods: GET }, service: s }",
            "{ path: /a/**, service: s }",
        ),
    ];
    for (rule, first, second) in pairs {
        // The ids would put them the other way round.
        let table = table(&format!("  z: {first}\n  a: {second}\n"));
        let ids: Vec<&str> = table.routes().iter().map(|route| &*route.id).collect();
        assert_eq!(ids, ["z", "a"], "{rule}");
    }
    let table = table("  b: { path: /x/**, service: s }\n  a: { path: /x/**, service: s }\n");
    assert_eq!(&*table.routes()[0].id, "a", "the id");
}

#[test]
fn the_first_route_that_matches_takes_the_request() {
    let table = table(
        "  /api/users/**: users
  /api/users: users-root
  canary: { path: /api/users/**, match: { headers: { x-canary: 'true' } }, service: users }
  posts: { path: /api/users/**, match: { methods: POST, query: { v: '2' } }, service: users }
  shop: { host: shop.test, service: shop }
  shop-admin: { host: shop.test, path: /admin/**, match: { cookies: { role: admin } }, service: shop }
  all-shops: { host: '*.shop.test', path: /**, service: shop }
  eu-shops: { host: '*.eu.shop.test', path: /**, service: shop }
  maintenance: { path: /api/users/old/**, order: -5, service: old }
  off: { path: /off, enabled: false, service: s }
",
    );
    for (line, lines, route) in [
        ("GET /api/users", &[][..], Some("/api/users")),
        ("GET /api/users/", &[], Some("/api/users/**")),
        ("GET /api/users/7", &[], Some("/api/users/**")),
        ("GET /api/usersx", &[], None),
        ("GET any.test/api/users/7", &[], Some("/api/users/**")),
        ("GET /api/users/7", &["x-canary: true"], Some("canary")),
        (
            "GET /api/users/7",
            &["x-canary: false"],
            Some("/api/users/**"),
        ),
        ("POST /api/users/7?v=2", &["x-canary: true"], Some("posts")),
        ("POST /api/users/7?v=1", &[], Some("/api/users/**")),
        ("GET /api/x/../users/%37", &[], Some("/api/users/**")),
        (
            "GET /api/users/old/1",
            &["x-canary: true"],
            Some("maintenance"),
        ),
        ("GET shop.test/api/users/old/1", &[], Some("maintenance")),
        (
            "GET shop.test/api/users/7",
            &["x-canary: true"],
            Some("shop"),
        ),
        (
            "GET SHOP.test.:8080/admin/x",
            &["cookie: role=admin"],
            Some("shop-admin"),
        ),
        (
            "GET shop.test/admin/x",
            &["cookie: role=user"],
            Some("shop"),
        ),
        ("GET de.shop.test/", &[], Some("all-shops")),
        ("GET a.eu.shop.test/", &[], Some("eu-shops")),
        ("GET eu.shop.test/", &[], Some("all-shops")),
        ("GET xshop.test/", &[], None),
        ("GET /off", &[], None),
        ("GET /", &[], None),
    ] {
        assert_eq!(
            found(&table, line, lines).as_deref(),
            route,
            "{line} {lines:?}"
        );
    }
}

/// The way through the index has a fixed length.
#[test]
fn the_deepest_route_is_found_below_longer_paths() {
    let deep = "/a".repeat(64);
    let table = table(&format!("  {deep}: s\n  {deep}/**: s\n  /**: s\n"));
    let below = format!("{deep}/**");
    for (path, route) in [
        ("/a".repeat(63), "/**"),
        (deep.clone(), &*deep),
        (format!("{deep}/"), &*below),
        ("/a".repeat(65), &*below),
        ("/a".repeat(5_000), &*below),
        ("/b".repeat(5_000), "/**"),
    ] {
        assert_eq!(
            found(&table, &format!("GET {path}"), &[]).as_deref(),
            Some(route)
        );
    }
}

#[test]
fn of_two_routes_with_one_id_the_first_given_stays() {
    let mut both = compile(specs(
        "one.yaml",
        "routes:\n  users: { path: /one, service: s }\n",
    ));
    both.extend(compile(specs(
        "two.yaml",
        "routes:\n  users: { path: /, service: s }\n  more: { path: /m, service: s }\n",
    )));
    let table = Table::assemble(7, "d41d", both);
    assert_eq!(
        (table.revision(), table.md5(), table.routes().len()),
        (7, "d41d", 2)
    );
    assert_eq!(
        &*table.route("users").expect("it is there").spec.document,
        "one.yaml"
    );
    assert!(table.route("nobody").is_none());
}

#[test]
fn an_explanation_names_the_first_predicate_that_does_not_hold() {
    let table = table(
        "  /a/**: s\n  b: { path: /b/**, service: s }\n  c: { path: /a/**, match: { methods: [PUT, POST], headers: { x: y } }, service: s }\n",
    );
    let sent = Sent::new("GET /a/1", &[]);
    let verdicts: Vec<String> = sent.ask(|request| {
        let text = |verdict: Verdict<'_>| match verdict.mismatch {
            None => format!("{}: matches", verdict.route.id),
            Some((predicate, asks)) => format!("{}: {predicate} {asks}", verdict.route.id),
        };
        table.explain(request).map(text).collect()
    });
    assert_eq!(
        verdicts,
        ["c: methods PUT or POST", "/a/**: matches", "b: path /b/**"]
    );
}

#[test]
fn a_route_that_no_request_reaches_is_warned_of() {
    for (text, shadowed) in [
        (
            "  a: { path: /x/**, service: s }\n  b: { path: /x/**, service: s }\n",
            &["b"][..],
        ),
        (
            "  a: { path: /x, service: s }\n  b: { path: /x/**, service: s }\n",
            &[],
        ),
        (
            "  a: { path: /x/**, order: -1, service: s }\n  b: { path: /x/y/**, service: s }\n",
            &["b"],
        ),
        (
            "  a: { path: /x/**, order: -1, service: s }\n  b: { path: /x, service: s }\n",
            &["b"],
        ),
        (
            "  a: { path: /x/**, order: -1, service: s }\n  b: { path: /xy, service: s }\n",
            &[],
        ),
        (
            "  a: { path: /x, order: -1, service: s }\n  b: { path: /x/**, service: s }\n",
            &[],
        ),
        (
            "  a: { path: /**, order: -1, service: s }\n  b: { path: /x, host: h.test, service: s }\n",
            &["b"],
        ),
        (
            "  a: { path: /**, host: h.test, service: s }\n  b: { path: /x, service: s }\n",
            &[],
        ),
        (
            "  a: { path: /**, order: -1, host: '*.test', service: s }\n  b: { host: h.test, service: s }\n",
            &["b"],
        ),
        (
            "  a: { path: /**, order: -1, host: '*.test', service: s }\n  b: { host: '*.h.test', service: s }\n",
            &["b"],
        ),
        (
            "  a: { path: /**, order: -1, host: '*.h.test', service: s }\n  b: { host: '*.test', service: s }\n",
            &[],
        ),
        (
            "  a: { path: /**, order: -1, host: '*.h.test', service: s }\n  b: { host: 'h.test', service: s }\n",
            &[],
        ),
        (
            "  a: { path: /x/**, order: -1, match: { methods: GET }, service: s }\n  b: { path: /x, service: s }\n",
            &[],
        ),
        (
            "  a: { path: /x/**, match: { methods: GET }, service: s }\n  b: { path: /x/**, match: { methods: GET }, service: s }\n",
            &["b"],
        ),
        (
            "  a: { path: /x/**, order: -1, match: { methods: GET }, service: s }\n  b: { path: /x, match: { query: { a: b }, methods: GET }, service: s }\n",
            &["b"],
        ),
        (
            "  a: { path: /x/**, match: { methods: GET }, service: s }\n  b: { path: /x/**, match: { methods: PUT }, service: s }\n",
            &[],
        ),
        (
            "  a: { path: /x/**, enabled: false, service: s }\n  b: { path: /x/**, service: s }\n",
            &[],
        ),
    ] {
        let warnings = table(text).shadowed();
        let paths: Vec<String> = warnings.iter().map(|fault| fault.path.clone()).collect();
        let expected: Vec<String> = shadowed
            .iter()
            .map(|id| format!("routes[\"{id}\"]"))
            .collect();
        assert_eq!(paths, expected, "{text}");
        assert!(
            warnings
                .iter()
                .all(|fault| fault.severity == Severity::Warning && fault.position.is_some())
        );
    }
}

#[test]
fn a_replaced_table_is_freed_by_the_writer() {
    let cell = TableCell::new(table("  /a: s\n"));
    let held = cell.load();
    let route = Arc::downgrade(&held.routes()[0]);
    cell.publish(Table::empty());
    assert_eq!(cell.sweep(), 1, "a request holds it");
    drop(held);
    assert!(route.upgrade().is_some(), "the request did not free it");
    assert_eq!(cell.sweep(), 0);
    assert!(route.upgrade().is_none());
}
