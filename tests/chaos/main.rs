//! Chaos: the real binary under an open loop of numbered requests, while what is around it fails.
//!
//! The scenarios run one after another, since a time that is measured beside another scenario says nothing.
//! `cargo test -p pailou-gateway --test chaos -- kill` runs those whose names contain a word; `CHAOS_LONG=1`, as `make chaos` sets it,
//! runs all for longer and prints the figures as a table. `README.md` beside this file says where each known scenario is proven.

#[allow(
    dead_code,
    reason = "shared with the end-to-end cases, which use all of it"
)]
#[path = "../e2e/support/mod.rs"]
mod support;

/// The load.
mod client;
/// The network's faults.
mod fault_proxy;
/// The table of what was measured.
mod figures;
/// Instances that die, hang, flap, or are deployed anew.
mod instances;
/// Networks between gateway and instances that drop, stall, reset and delay.
mod networks;
/// The endpoints.
mod origin;
/// The registry, gone or behind a broken network.
mod registry;
/// Route tables that change.
mod routes;
/// What scenarios begin with.
mod stage;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use figures::Figure;
use stage::Length;

/// What a scenario that holds has measured. One that does not hold panics.
type Running = Pin<Box<dyn Future<Output = Vec<Figure>>>>;

/// The body of a scenario.
type Scenario = fn(Length) -> Running;

/// Name and body of each. The names are those of the mapping in `README.md`.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("registry_down", |length| Box::pin(registry::down(length))),
    ("registry_partition", |length| {
        Box::pin(registry::partition(length))
    }),
    ("kill", |length| Box::pin(instances::kill(length))),
    ("rolling_deploy", |length| {
        Box::pin(instances::rolling_deploy(length))
    }),
    ("flapping", |length| Box::pin(instances::flapping(length))),
    ("broken_networks", |length| {
        Box::pin(networks::broken(length))
    }),
    ("partition_of_half", |length| {
        Box::pin(networks::partition_of_half(length))
    }),
    ("hung_instance", |length| Box::pin(networks::hung(length))),
    ("slow_instance", |length| Box::pin(networks::slow(length))),
    ("route_changes", |length| Box::pin(routes::changes(length))),
];

/// A scenario that takes longer hangs.
fn limit(length: Length) -> Duration {
    length.seconds(180, 900)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let chosen: Vec<_> = SCENARIOS
        .iter()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(*word)))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let length = match std::env::var_os("CHAOS_LONG").is_some_and(|value| !value.is_empty()) {
        true => Length::Long,
        false => Length::Short,
    };
    println!("\nrunning {} scenarios", chosen.len());
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for (name, run) in chosen {
        let began = Instant::now();
        match play(*run, length) {
            Ok(rows) => {
                println!(
                    "scenario {name} ... ok, {:.1} s",
                    began.elapsed().as_secs_f64()
                );
                figures.extend(rows);
            }
            Err(()) => {
                println!("scenario {name} ... FAILED");
                failed.push(*name);
            }
        }
    }
    println!("\n{}", figures::table(&figures));
    if failed.is_empty() {
        println!("\nchaos: every scenario held");
        return ExitCode::SUCCESS;
    }
    println!("\nchaos: {} did not hold", failed.join(", "));
    ExitCode::FAILURE
}

/// Runs one scenario on a runtime of its own, which takes whatever it leaves behind with it.
fn play(run: Scenario, length: Length) -> Result<Vec<Figure>, ()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { tokio::time::timeout(limit(length), run(length)).await })
    }));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match played {
        Ok(Ok(figures)) => Ok(figures),
        // Its panic is on standard error.
        Ok(Err(_)) => Err(()),
        Err(_) => {
            eprintln!("it did not end in {:?}", limit(length));
            Err(())
        }
    }
}
