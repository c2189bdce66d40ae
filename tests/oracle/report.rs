//! What is printed of each document, the counts, and the verdict.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;

use crate::corpus::{Document, Line};
use crate::lists::{Announced, Pending};
use crate::run::Judged;

/// What has been found so far.
pub(crate) struct Report {
    announced: Announced,
    pending: Pending,
    /// Whether single documents were asked for: then each difference is shown.
    verbose: bool,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    documents: usize,
    agree: usize,
    announced: usize,
    disagree: usize,
    /// `NAME LINE` of documents with a difference that is not announced.
    differing: BTreeSet<String>,
    /// What makes the suite fail.
    failures: Vec<String>,
}

impl Report {
    pub(crate) fn new(documents: Vec<Document>) -> Report {
        Report {
            announced: Announced::load(&documents),
            pending: Pending::load(),
            verbose: std::env::var("ORACLE").is_ok(),
            found: Mutex::default(),
        }
    }

    /// Adds what came of a document.
    pub(crate) fn add(&self, document: &Document, line: Line, judged: Vec<Judged>) {
        let name = &document.name;
        let pending = self.pending.has(name, line);
        let (mut agree, mut announced, mut disagree) = (0, 0, 0);
        let (mut text, mut failures) = (String::new(), Vec::new());
        for Judged { key, differences } in judged {
            let decision = self.announced.decision(name, line, key);
            let what = match (differences.is_empty(), decision) {
                (true, None) => {
                    agree += 1;
                    continue;
                }
                (true, Some(decision)) => {
                    failures.push(format!(
                        "{name} {line} {key}: agrees, though it is announced ({decision})"
                    ));
                    continue;
                }
                (false, Some(decision)) => {
                    announced += 1;
                    decision
                }
                (false, None) => {
                    disagree += 1;
                    "NOT ANNOUNCED"
                }
            };
            text += &format!("  {key} ({what}): {}\n", asked(document, key));
            for difference in differences {
                text += &format!("      {difference}\n");
            }
        }
        let mark = match (disagree, pending) {
            (0, false) => "",
            (0, true) => ": pending, and yet it agrees",
            (_, true) => " (pending)",
            (_, false) => ": DIFFERS",
        };
        let line_of_it = format!(
            "{name} {line}: {agree} agree, {announced} announced, {disagree} disagree{mark}\n"
        );
        let shown = self.verbose || (disagree > 0 && !pending);
        say(&format!("{line_of_it}{}", if shown { &text } else { "" }));
        let mut found = self.found.lock().expect("what was found");
        found.documents += 1;
        found.agree += agree;
        found.announced += announced;
        found.disagree += disagree;
        if disagree > 0 {
            found.differing.insert(format!("{name} {line}"));
        }
        // While a document is pending, its announced differences may not be there yet.
        if !pending {
            found.failures.append(&mut failures);
        }
        if (disagree > 0) != pending {
            found.failures.push(line_of_it.trim_end().to_owned());
        }
    }

    /// Prints the counts.
    ///
    /// # Panics
    /// At differences that are not announced, and at entries of the lists that are no differences.
    pub(crate) fn verdict(&self) {
        let found = self.found.lock().expect("what was found");
        say(&format!(
            "oracle: {} documents; {} cases agree, {} differ as announced, {} disagree in {} documents\n",
            found.documents,
            found.agree,
            found.announced,
            found.disagree,
            found.differing.len(),
        ));
        if std::env::var("UPDATE").is_ok() {
            assert!(
                !self.verbose,
                "UPDATE needs all documents, and ORACLE chooses some"
            );
            Pending::save(&found.differing);
            return;
        }
        let failures = found.failures.join("\n");
        assert!(
            found.failures.is_empty(),
            "not as the lists say:\n{failures}"
        );
    }
}

/// A case as a person would tell it.
fn asked(document: &Document, key: crate::lists::Key) -> String {
    let case = document
        .cases
        .iter()
        .find(|case| key == crate::lists::Key::Case(case.n));
    let Some(case) = case else {
        return "the document".to_owned();
    };
    let request = case
        .r
        .clone()
        .or_else(|| case.raw.clone())
        .unwrap_or_default();
    let request: String = request.escape_debug().take(120).collect();
    let host = case
        .host
        .as_ref()
        .map(|host| format!(" host {host}"))
        .unwrap_or_default();
    let headers = match case.h.is_empty() {
        true => String::new(),
        false => format!(" {:?}", case.h).chars().take(200).collect(),
    };
    let note = case
        .note
        .as_ref()
        .map(|note| format!(" [{note}]"))
        .unwrap_or_default();
    format!("{request}{host}{headers}{note}")
}

/// Whether a name fits a filter: several with commas, each with `*` for anything; none fits all.
pub(crate) fn fits(filter: &str, name: &str) -> bool {
    let fits_one = |pattern: &str| {
        let mut pieces = pattern.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let mut last = "";
        for piece in pieces {
            let Some(at) = rest.find(piece) else {
                return false;
            };
            rest = &rest[at + piece.len()..];
            last = piece;
        }
        rest.is_empty() || (pattern.contains('*') && last.is_empty())
    };
    filter.is_empty() || filter.split(',').any(fits_one)
}

/// Written past the test harness, which would keep it from a run that passes: the counts are always shown.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[test]
fn a_filter_is_names_with_stars() {
    for (filter, name, expected) in [
        ("", "anything", true),
        ("path-*", "path-matrix", true),
        ("path-*", "host-matrix", false),
        ("*-matrix", "host-matrix", true),
        ("retry", "retry", true),
        ("retry", "retry-none", false),
        ("retry,lb-*", "lb-rr", true),
    ] {
        assert_eq!(fits(filter, name), expected, "{filter} {name}");
    }
}
