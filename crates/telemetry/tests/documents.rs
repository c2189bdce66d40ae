//! What the project's pages say of metrics and log lines is there: names do not outlive what they name.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const PAGES: [&str; 2] = ["docs/operations.md", "docs/nacos.md"];

/// What the exposition appends to the name of a counter or a histogram.
const SUFFIXES: [&str; 6] = ["", "_total", "_info", "_bucket", "_count", "_sum"];

#[test]
fn every_metric_that_a_page_names_exists() {
    let known = known_metrics();
    assert!(known.len() > 30, "the metrics are found: {known:?}");
    for page in PAGES.iter().chain(&["docs/observability.md"]) {
        let text = page_text(page);
        let named: BTreeSet<&str> = words(&text)
            .filter(|word| word.starts_with("pailou_"))
            .collect();
        assert!(named.len() > 10, "{page} names metrics");
        for name in named {
            let exists = SUFFIXES.iter().any(|suffix| {
                name.strip_suffix(suffix)
                    .is_some_and(|stem| known.contains(stem))
            });
            assert!(exists, "{page} names {name}");
        }
    }
}

#[test]
fn every_metric_has_its_place_on_a_page() {
    let pages = PAGES
        .iter()
        .chain(&["docs/observability.md", "docs/tls.md"]);
    let text: String = pages.map(|page| page_text(page)).collect();
    let named: BTreeSet<&str> = words(&text).collect();
    let is_named = |name: &String| {
        let mut names = SUFFIXES.iter().map(|suffix| format!("{name}{suffix}"));
        names.any(|name| named.contains(&*name))
    };
    let mut missing = known_metrics();
    missing.retain(|name| !is_named(name));
    assert!(missing.is_empty(), "no page names {missing:?}");
}

#[test]
fn every_log_line_in_a_table_of_modes_is_logged() {
    let source = sources();
    for page in PAGES {
        let text = page_text(page);
        let mut lines = 0;
        for row in text.lines().filter(|row| row.starts_with("| ")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            // The log line is the cell before the metric, which is the last.
            let [.., line, metric] = cells.as_slice() else {
                continue;
            };
            if !metric.contains("`pailou_") {
                continue;
            }
            for piece in quoted(line).flat_map(|sentence| sentence.split('…')) {
                let piece = piece.trim().trim_end_matches(',');
                assert!(source.contains(piece), "{page} quotes {piece:?}");
                lines += 1;
            }
        }
        assert!(lines > 10, "{page} quotes log lines");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page_text(page: &str) -> String {
    fs::read_to_string(root().join(page)).expect("the page is there")
}

/// The source of all crates: most is logged and counted in this one, and some elsewhere.
fn sources() -> String {
    let crates = fs::read_dir(root().join("crates")).expect("the folder is there");
    text_in(
        crates
            .map(|entry| entry.expect("the entry can be read").path().join("src"))
            .collect(),
    )
}

fn text_in(mut folders: Vec<PathBuf>) -> String {
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                text += &fs::read_to_string(path).expect("the source is text");
            }
        }
    }
    text
}

/// The names that are string literals of their own, as metrics are registered.
fn known_metrics() -> BTreeSet<String> {
    let is_name = |text: &&str| {
        text.starts_with("pailou_") && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let source = text_in(vec![root().join("crates/telemetry/src/metrics/export")]);
    source
        .split('"')
        .filter(is_name)
        .map(str::to_owned)
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
