//! How long does it take to make a table of 10,000 routes, and how long when one of them has changed?
//!
//! Once for native routes, once for the same in the form of Spring Cloud Gateway. The steps of a publish one by one: parsing the document, compiling its routes, putting them in order with their index
//! and looking for those that no request reaches. Then both whole: every route new, and one of them new.
//!
//! ```text
//! cargo bench -p pailou-gateway --bench compile_table
//! ```

mod clock;
mod routes;
mod spring;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use pailou_config::{DocumentOutcome, Environment, Reading, RouteSpec, Settings, load_settings};
use pailou_filters::Shared;
use pailou_routing::{Compiler, Route, Table};
use pailou_telemetry::Metrics;
use pailou_upstream::{EjectionSettings, Services};

use clock::CpuTime;

const ROUTES: usize = 10_000;

type Group<'c> = BenchmarkGroup<'c, CpuTime>;

fn compile_table(criterion: &mut Criterion<CpuTime>) {
    let entries = routes::entries(ROUTES);
    let text = routes::document(&entries, |_| 0);
    let changed = routes::document(&entries, |number| u32::from(number == ROUTES / 2));
    println!("{ROUTES} routes, {} KiB of YAML", text.len() / 1024);
    let specs = parse(&text);
    let kept = Fresh::new();
    let before = kept.compile(specs.clone());
    check(&before, &changed);

    let mut group = criterion.benchmark_group("compile_table");
    group.sample_size(10);
    parse_and_compile(&mut group, &text, &specs);
    group.bench_function("assemble", |bencher| {
        bencher.iter_batched(|| before.clone(), assemble, BatchSize::PerIteration);
    });
    all_new(&mut group, &text);
    group.bench_function("all of it, one route new", |bencher| {
        bencher
            .iter_with_large_drop(|| assemble(kept.recompile(&before, parse(black_box(&changed)))));
    });
    group.finish();
}

/// The same routes in the form of Spring Cloud Gateway.
fn compile_spring_table(criterion: &mut Criterion<CpuTime>) {
    let text = spring::document(&routes::entries(ROUTES));
    println!("{ROUTES} routes, {} KiB of YAML", text.len() / 1024);
    let specs = parse(&text);
    assert_eq!(specs.len(), ROUTES);

    let mut group = criterion.benchmark_group("compile_spring_table");
    group.sample_size(10);
    parse_and_compile(&mut group, &text, &specs);
    all_new(&mut group, &text);
    group.finish();
}

fn parse_and_compile(group: &mut Group<'_>, text: &str, specs: &[Arc<RouteSpec>]) {
    group.bench_function("parse", |bencher| {
        bencher.iter_with_large_drop(|| parse(black_box(text)))
    });
    group.bench_function("compile", |bencher| {
        let setup = || (Fresh::new(), specs.to_vec());
        bencher.iter_batched(
            setup,
            |(fresh, specs)| (fresh.compile(specs), fresh),
            BatchSize::PerIteration,
        );
    });
}

fn all_new(group: &mut Group<'_>, text: &str) {
    group.bench_function("all of it, every route new", |bencher| {
        let all = |fresh: Fresh| (assemble(fresh.compile(parse(black_box(text)))), fresh);
        bencher.iter_batched(Fresh::new, all, BatchSize::PerIteration);
    });
}

fn parse(text: &str) -> Vec<Arc<RouteSpec>> {
    match Reading::default().parse("routes.yaml", text) {
        DocumentOutcome::Routes(parsed) => parsed.routes.into_iter().map(Arc::new).collect(),
        _ => panic!("the document is legal"),
    }
}

fn assemble(routes: Vec<Arc<Route>>) -> (Table, usize) {
    let table = Table::assemble(1, "", routes);
    let shadowed = table.shadowed().len();
    (table, shadowed)
}

/// Services, metrics and filters that know no route yet.
struct Fresh {
    services: Arc<Services>,
    metrics: Metrics,
    filters: Shared,
    settings: Settings,
}

impl Fresh {
    fn new() -> Fresh {
        let metrics = Metrics::new();
        let services = Services::new(EjectionSettings::default(), metrics.clone());
        let settings = load_settings(None, &Environment::default())
            .expect("defaults are legal")
            .settings;
        Fresh {
            services,
            filters: Shared::new(metrics.clone()),
            metrics,
            settings,
        }
    }

    fn compile(&self, specs: Vec<Arc<RouteSpec>>) -> Vec<Arc<Route>> {
        specs.into_iter().map(|spec| self.route(spec)).collect()
    }

    /// As the gateway does it: a route whose spec is the same is taken over.
    fn recompile(&self, before: &[Arc<Route>], specs: Vec<Arc<RouteSpec>>) -> Vec<Arc<Route>> {
        let known: HashMap<&str, &Arc<Route>> =
            before.iter().map(|route| (&*route.id, route)).collect();
        let route = |spec: Arc<RouteSpec>| match known.get(&*spec.id) {
            Some(&route) if route.spec == spec => route.clone(),
            _ => self.route(spec),
        };
        specs.into_iter().map(route).collect()
    }

    fn route(&self, spec: Arc<RouteSpec>) -> Arc<Route> {
        let compiler = Compiler::new(&self.services, &self.metrics, &self.filters, &self.settings);
        Route::compile(spec, &compiler).expect("a legal route")
    }
}

/// What is measured must be what it says: exactly one route is compiled anew.
fn check(before: &[Arc<Route>], changed: &str) {
    let specs = parse(changed);
    let same = before
        .iter()
        .zip(&specs)
        .filter(|(route, spec)| route.spec == **spec)
        .count();
    assert_eq!((before.len(), same), (ROUTES, ROUTES - 1));
}

criterion_group! {
    name = benches;
    config = clock::criterion();
    targets = compile_table, compile_spring_table
}
criterion_main!(benches);
