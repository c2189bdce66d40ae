//! Does finding a request's route cost more when there are more routes?
//!
//! Once for native routes, once for the same in the form of Spring Cloud Gateway. One figure is the whole of it: the request target is parsed, then the table is asked. The requests are spread evenly
//! over all routes of the table, which is the worst case for the processor's caches.
//!
//! ```text
//! cargo bench -p pailou-gateway --bench match_route
//! ```

mod clock;
mod routes;
mod spring;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method};
use pailou_config::{DocumentOutcome, Environment, Reading, load_settings};
use pailou_routing::{Compiler, Request, Route, Table, Target};
use pailou_telemetry::Metrics;
use pailou_upstream::{EjectionSettings, Services};

use clock::CpuTime;
use routes::Entry;

/// The same number for each table, so that the requests themselves take the same room in the caches.
const REQUESTS: usize = 4096;

struct Asked {
    host: String,
    target: String,
}

fn match_route(criterion: &mut Criterion<CpuTime>) {
    let native = |entries: &[Entry]| routes::document(entries, |_| 0);
    measure(
        criterion,
        "match_route",
        &[1, 10, 100, 1_000, 10_000],
        native,
    );
}

/// The same routes in the form of Spring Cloud Gateway, and in its order.
fn match_spring_route(criterion: &mut Criterion<CpuTime>) {
    measure(
        criterion,
        "match_spring_route",
        &[100, 10_000],
        spring::document,
    );
}

fn measure(
    criterion: &mut Criterion<CpuTime>,
    name: &str,
    counts: &[usize],
    document: impl Fn(&[Entry]) -> String,
) {
    let mut group = criterion.benchmark_group(name);
    let headers = headers();
    for &count in counts {
        let entries = routes::entries(count);
        let table = table(&document(&entries));
        let hits = hits(&entries);
        let misses: Vec<Asked> = hits
            .iter()
            .map(|hit| Asked {
                host: hit.host.clone(),
                target: format!("/other{}", hit.target),
            })
            .collect();
        check(&table, &hits[..100], &headers);
        for (name, asked) in [("hit", &hits), ("miss", &misses)] {
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                let mut turn = 0;
                bencher.iter(|| {
                    let asked = &asked[turn % REQUESTS];
                    turn += 1;
                    black_box(ask(asked, &headers, |request| table.find(request)).is_some())
                });
            });
        }
    }
    group.finish();
}

fn ask<T>(asked: &Asked, headers: &HeaderMap, find: impl FnOnce(&Request<'_>) -> T) -> T {
    let target = Target::parse(black_box(asked.target.as_bytes())).expect("a legal target");
    find(&Request::new(
        &Method::GET,
        Some(&asked.host),
        &target,
        headers,
    ))
}

/// What a browser or a client library sends.
fn headers() -> HeaderMap {
    let fields = [
        ("host", "www.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        ),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("cookie", "session=0123456789abcdef"),
        ("authorization", "Bearer 0123456789abcdef"),
    ];
    fields
        .into_iter()
        .map(|(name, value)| {
            (
                name.parse().expect("a name"),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn table(document: &str) -> Table {
    let DocumentOutcome::Routes(parsed) = Reading::default().parse("routes.yaml", document) else {
        panic!("the document is legal");
    };
    let metrics = Metrics::new();
    let services = Services::new(EjectionSettings::default(), metrics.clone());
    let settings = load_settings(None, &Environment::default())
        .expect("defaults are legal")
        .settings;
    let filters = pailou_filters::Shared::new(metrics.clone());
    let compiler = Compiler::new(&services, &metrics, &filters, &settings);
    let compile = |spec| Route::compile(Arc::new(spec), &compiler).expect("a legal route");
    Table::assemble(1, "", parsed.routes.into_iter().map(compile).collect())
}

/// Requests for routes drawn evenly.
fn hits(entries: &[Entry]) -> Vec<Asked> {
    let mut random = fastrand::Rng::with_seed(11);
    let request = |_| {
        let entry = &entries[random.usize(..entries.len())];
        let host = entry.host.as_deref().unwrap_or("www.example.com");
        let rest = if entry.is_prefix {
            "/4711/items?page=2&sort=date"
        } else {
            ""
        };
        Asked {
            host: host.replace('*', "eu"),
            target: format!("{}{rest}", entry.literal),
        }
    };
    (0..REQUESTS).map(request).collect()
}

/// What is measured must be right: the index says what a plain scan says.
fn check(table: &Table, asked: &[Asked], headers: &HeaderMap) {
    for asked in asked {
        let found = ask(asked, headers, |request| {
            let (found, scanned) = (table.find(request), table.scan(request));
            found.as_ref().map(|found| &found.route.id) == scanned.map(|route| &route.id)
                && found.is_some()
        });
        assert!(found, "{}", asked.target);
    }
}

criterion_group! {
    name = benches;
    config = clock::criterion();
    targets = match_route, match_spring_route
}
criterion_main!(benches);
