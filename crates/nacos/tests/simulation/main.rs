//! The client under random schedules of edits and faults, in simulated time, against a small model of a Nacos.
//!
//! Each seed makes one schedule ([`schedule`]), which is played to a client and to a Nacos in memory ([`nacos`])
//! that are joined by pipes ([`pipe`]). While it plays, [`judge`] sees every state that the client gives; after it,
//! [`app`] waits until all that the client retries is done, makes some more edits, and wants the client's view to be the
//! model's 1 s after the last push, and to stay so. Everything runs on one thread with a paused clock, so a minute
//! takes milliseconds.
//!
//! `PAILOU_SCHEDULES=20000 cargo test -p pailou-nacos --test simulation` plays the seeds from 0 up to there (1,000 by
//! default). A seed that fails prints itself, its schedule and the way to play it again: `PAILOU_SEED=…`, which also
//! prints what was said over the wire. Tokio breaks ties between things that are ready at the same instant by chance
//! and cannot be told otherwise, so a replay plays its seed up to [`REPLAYS`] times, until it fails.

mod app;
mod judge;
mod nacos;
mod pipe;
mod schedule;
mod serve;

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use self::{app::Outcome, schedule::Schedule};

/// How many schedules are played unless `PAILOU_SCHEDULES` says otherwise.
const SCHEDULES: u64 = 1000;

/// How often a seed is replayed until it fails.
const REPLAYS: usize = 50;

/// How many failures are printed; the others are counted.
const SHOWN: usize = 3;

#[test]
fn the_client_comes_back_to_what_nacos_says_after_every_schedule() {
    match number("PAILOU_SEED") {
        Some(seed) => replay(seed),
        None => play_all(number("PAILOU_SCHEDULES").unwrap_or(SCHEDULES)),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

fn play_all(count: u64) {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let slowest = Mutex::new((Duration::ZERO, 0));
    let settled_at_once = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= count {
                        return;
                    }
                    let outcome = play(seed, false);
                    if outcome.settled_after < Duration::from_secs(1) {
                        settled_at_once.fetch_add(1, Relaxed);
                    }
                    let settled = (outcome.settled_after, seed);
                    let mut slowest = slowest.lock().unwrap();
                    *slowest = settled.max(*slowest);
                    if !outcome.problems.is_empty() {
                        failures.lock().unwrap().push((seed, outcome));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort_by_key(|(seed, _)| *seed);
    for (seed, outcome) in failures.iter().take(SHOWN) {
        show(*seed, outcome);
    }
    let (settled_after, seed) = slowest.into_inner().unwrap();
    println!(
        "{count} schedules in {:?}; {} were right within 1 s of their last trouble, the slowest was seed {seed} with \
         {settled_after:?}",
        begun.elapsed(),
        settled_at_once.into_inner(),
    );
    let seeds: Vec<u64> = failures.iter().map(|(seed, _)| *seed).collect();
    assert!(seeds.is_empty(), "{} seeds fail: {seeds:?}", seeds.len());
}

fn replay(seed: u64) {
    for _ in 0..REPLAYS {
        let outcome = play(seed, true);
        if !outcome.problems.is_empty() {
            for line in &outcome.trace {
                println!("{line}");
            }
            show(seed, &outcome);
            panic!("seed {seed} fails");
        }
    }
    println!(
        "seed {seed} passed {REPLAYS} times:\n{}",
        Schedule::new(seed)
    );
}

fn show(seed: u64, outcome: &Outcome) {
    println!("{}", Schedule::new(seed));
    for problem in &outcome.problems {
        println!("  WRONG: {problem}");
    }
    println!(
        "again: PAILOU_SEED={seed} cargo test -p pailou-nacos --test simulation -- --nocapture\n"
    );
}

/// Plays one schedule on a runtime of its own.
fn play(seed: u64, with_trace: bool) -> Outcome {
    // The client's jitter comes from this thread's generator.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(app::play(Schedule::new(seed), with_trace))
}
