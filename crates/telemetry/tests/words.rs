//! The words that label series are those that the other crates count by: a word that no list has would hide under `other`, and one
//! that nobody says would be a series that stays at zero for ever.

use std::{collections::BTreeSet, fs, path::Path};

use pailou_telemetry::words::{
    CAUSES, CHECK_FAILURES, CODINGS, CONNECTION_REFUSALS, EJECTIONS, ENDPOINT_REFUSALS, HOLDS,
    PRIORITIES, REDIS_OUTCOMES,
};

#[test]
fn every_cause_of_a_request_is_listed() {
    let mut said = said(
        "proxy/src/cause.rs",
        "fn answer(self)",
        "fn keeps_connection",
    );
    said.extend(refusals());
    // Beside the words there are explanations.
    let said = said.into_iter().filter(|text| !text.contains(' '));
    assert_eq!(
        said.collect::<BTreeSet<_>>(),
        set(CAUSES.iter().map(|(word, _)| *word))
    );
}

/// Why a filter refuses a request.
fn refusals() -> BTreeSet<String> {
    said("filters/src/refusal.rs", "fn told(self)", "\n    }\n")
}

#[test]
fn every_refusal_of_a_connection_is_listed() {
    let mut all = said("proxy/src/opening.rs", "fn reason(self)", "\n}\n");
    all.extend(said(
        "proxy/src/server.rs",
        "metrics.connection_refused(",
        ")",
    ));
    assert_eq!(all, set(CONNECTION_REFUSALS.iter().copied()));
}

#[test]
fn every_cause_of_an_ejection_is_listed() {
    let said = said("upstream/src/standing.rs", "fn word(self)", "\n    }\n");
    assert_eq!(said, set(EJECTIONS.iter().copied()));
}

#[test]
fn every_failure_of_a_check_is_listed() {
    let said = said("upstream/src/check.rs", "fn word(self)", "\n    }\n");
    assert_eq!(said, set(CHECK_FAILURES.iter().copied()));
}

#[test]
fn every_reason_of_a_hold_is_listed() {
    let said = said("discovery/src/hold.rs", "fn as_str(self)", "\n    }\n");
    assert_eq!(said, set(HOLDS.iter().map(|(_, phrase)| *phrase)));
}

#[test]
fn every_refusal_of_an_endpoint_is_listed() {
    let mut all = said("discovery/src/admission.rs", "fn reason(self)", "\n    }\n");
    all.extend(said("upstream/src/verdict.rs", "fn weight_fault(", "\n}\n"));
    let instances = source("discovery/src/feed/instances.rs");
    let refusals = instances.split("refuse(instance, \"").skip(1);
    all.extend(refusals.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()));
    assert_eq!(
        all,
        set(ENDPOINT_REFUSALS.iter().map(|(_, phrase)| *phrase))
    );
}

#[test]
fn every_priority_is_listed() {
    let said = said("filters/src/priority.rs", "fn word(self)", "\n    }\n");
    assert_eq!(said, set(PRIORITIES.iter().copied()));
}

#[test]
fn every_content_coding_is_listed() {
    let said = said(
        "filters/src/compress/coding.rs",
        "fn word(self)",
        "\n    }\n",
    );
    assert_eq!(said, set(CODINGS.iter().copied()));
}

#[test]
fn every_outcome_of_a_question_to_redis_is_listed() {
    let mut all = said("redis/src/redis.rs", "fn word(self)", "\n    }\n");
    all.extend(said("redis/src/redis.rs", "let word = answered", ";"));
    assert_eq!(all, set(REDIS_OUTCOMES.iter().copied()));
}

fn set(words: impl IntoIterator<Item = &'static str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn source(file: &str) -> String {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(crates.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The texts in a file from `begin` to the next `end`.
fn said(file: &str, begin: &str, end: &str) -> BTreeSet<String> {
    let source = source(file);
    let (_, rest) = source
        .split_once(begin)
        .unwrap_or_else(|| panic!("{file} has {begin}"));
    let (part, _) = rest
        .split_once(end)
        .unwrap_or_else(|| panic!("{file} has {end}"));
    part.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}
