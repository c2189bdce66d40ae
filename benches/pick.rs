//! Does picking an endpoint cost more when there are more endpoints, and what does a second thread cost?
//!
//! Weights are from 1 to 10. With two threads both pick from the same selection; the figure is the CPU time of one pick
//! on one thread.
//!
//! ```text
//! cargo bench -p pailou-gateway --bench pick
//! ```

mod clock;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pailou_telemetry::Metrics;
use pailou_upstream::balance::REGISTRY;
use pailou_upstream::{
    EjectionSettings, EndpointSet, EndpointSpec, Hint, Policy, Selection, ServiceId, Services,
    Subset,
};

use clock::{CpuTime, process_time};

fn pick(criterion: &mut Criterion<CpuTime>) {
    for entry in REGISTRY {
        let mut group = criterion.benchmark_group(format!("pick/{}", entry.name));
        for count in [3, 100, 1_000] {
            let selection = selection(entry.name, count);
            group.bench_function(BenchmarkId::new("1 thread", count), |bencher| {
                bencher.iter(|| pick_once(&selection));
            });
            group.bench_function(BenchmarkId::new("2 threads", count), |bencher| {
                bencher.iter_custom(|picks| on_two_threads(&selection, picks));
            });
        }
        group.finish();
    }
}

fn selection(policy: &str, count: usize) -> Arc<Selection> {
    let mut random = fastrand::Rng::with_seed(7);
    // The policies' own draws come from the generator of the thread.
    fastrand::seed(7);
    let services = Services::new(EjectionSettings::default(), Metrics::new());
    let service = services.service(&ServiceId::new("", "DEFAULT_GROUP", "bench-service"));
    let policy = Policy::named(policy).expect("a policy of the registry");
    let selection = services.selection(&service, &Subset::default(), &policy);
    let endpoint = |number: usize| EndpointSpec {
        weight: f64::from(random.u32(1..=10)),
        ..EndpointSpec::new(([10, 0, (number / 250) as u8, (number % 250) as u8], 8080).into())
    };
    service.update(EndpointSet::of((0..count).map(endpoint)));
    assert_eq!(selection.len(), count);
    selection
}

fn pick_once(selection: &Selection) {
    drop(black_box(
        selection
            .pick(black_box(&Hint::first()))
            .expect("an endpoint"),
    ));
}

/// Both threads pick so many times; half of what that takes both.
fn on_two_threads(selection: &Selection, picks: u64) -> Duration {
    let start = Barrier::new(2);
    let pick = || {
        start.wait();
        for _ in 0..picks {
            pick_once(selection);
        }
    };
    let began = process_time();
    std::thread::scope(|scope| {
        scope.spawn(pick);
        pick();
    });
    (process_time() - began) / 2
}

criterion_group! {
    name = benches;
    config = clock::criterion();
    targets = pick
}
criterion_main!(benches);
