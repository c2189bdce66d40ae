//! The data in `tests/scg-oracle`: documents, requests, and what Spring Cloud Gateway made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exchange::{Answer, Exchange, UpstreamRequest};

/// A line of Spring Cloud Gateway that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Line {
    /// 4.3.5, the default.
    Four,
    /// 5.0.3, `scg.compat: 5`.
    Five,
}

impl Line {
    /// As folders and the lists of differences write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Line::Four => "4.3",
            Line::Five => "5.0",
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One route document, its requests, and what was recorded of them.
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Spring's settings beside the document, as `--name=value`.
    pub(crate) args: Vec<String>,
    pub(crate) cases: Vec<Case>,
    recordings: BTreeMap<Line, Recording>,
}

/// What one line of Spring Cloud Gateway did with a document.
pub(crate) struct Recording {
    /// Whether it started with every route of the document.
    pub(crate) took_every_route: bool,
    pub(crate) cases: BTreeMap<u32, Recorded>,
}

/// What was recorded of one case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Recorded {
    /// One request.
    Once(Exchange),
    /// Many equal requests: how often each `status:backend` came.
    Often(BTreeMap<String, u32>),
}

/// One request, or many equal ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) n: u32,
    #[serde(default)]
    pub(crate) r: Option<String>,
    #[serde(default)]
    pub(crate) h: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) host: Option<String>,
    #[serde(default)]
    pub(crate) body: Option<String>,
    #[serde(default)]
    pub(crate) chunked: bool,
    #[serde(default)]
    pub(crate) raw: Option<String>,
    #[serde(default)]
    pub(crate) utf8: bool,
    #[serde(default)]
    pub(crate) src: Option<std::net::IpAddr>,
    #[serde(default)]
    pub(crate) be: Script,
    #[serde(default)]
    pub(crate) repeat: Option<u32>,
    /// Seconds before the request.
    #[serde(default)]
    pub(crate) pause: Option<f64>,
    /// Seconds that the client waited. Here it waits for longer: nothing depends on it.
    #[serde(default)]
    #[serde(rename = "timeout")]
    _timeout: Option<f64>,
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// What the backends do in a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Script {
    /// The same for each request.
    Always(Box<Step>),
    /// One after the other; the last one from then on.
    Each(Vec<Step>),
}

impl Default for Script {
    fn default() -> Self {
        Script::Always(Box::default())
    }
}

/// What a backend does with one request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    pub(crate) status: Option<u16>,
    pub(crate) reason: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
    /// The content type.
    pub(crate) ct: Option<String>,
    pub(crate) chunked: bool,
    /// The body ends with the connection.
    pub(crate) until_close: bool,
    /// Seconds before the answer.
    pub(crate) delay: Option<f64>,
    pub(crate) close: Option<Close>,
    /// The exact bytes, in place of all of the above.
    pub(crate) raw: Option<String>,
    pub(crate) then_close: bool,
}

/// How a backend breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Close {
    /// Without an answer.
    Before,
    /// By a reset, without an answer.
    Rst,
    /// In the middle of the body.
    Mid,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    args: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct RecordedLine {
    startup: Option<String>,
    n: Option<u32>,
    route: Option<String>,
    #[serde(default)]
    routes_all: Vec<String>,
    #[serde(default)]
    upstream: Vec<UpstreamRequest>,
    response: Option<Answer>,
    distribution: Option<BTreeMap<String, u32>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scg-oracle")
}

/// Every document, by name.
pub(crate) fn load() -> Vec<Document> {
    let entries = std::fs::read_dir(folder().join("documents")).expect("the documents");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a name"))
        .map(|name| name.trim_end_matches(".yml").to_owned())
        .collect();
    names.sort();
    names.into_iter().map(Document::load).collect()
}

impl Document {
    fn load(name: String) -> Document {
        let read = |path: String| std::fs::read_to_string(folder().join(path));
        let text = read(format!("documents/{name}.yml")).expect("a document");
        let cases = read(format!("cases/{name}.json")).expect("cases");
        let cases: CaseFile = serde_json::from_str(&cases)
            .unwrap_or_else(|error| panic!("cases/{name}.json: {error}"));
        let mut recordings = BTreeMap::new();
        for line in [Line::Four, Line::Five] {
            if let Ok(text) = read(format!("recorded-{line}/{name}.jsonl")) {
                recordings.insert(line, Recording::parse(&text));
            }
        }
        Document {
            name,
            text,
            args: cases.args,
            cases: cases.cases,
            recordings,
        }
    }

    /// What a line of Spring Cloud Gateway did with it, if that was recorded.
    pub(crate) fn recording(&self, line: Line) -> Option<&Recording> {
        self.recordings.get(&line)
    }
}

impl Recording {
    fn parse(text: &str) -> Recording {
        let mut recording = Recording {
            took_every_route: true,
            cases: BTreeMap::new(),
        };
        for line in text.lines() {
            let line: RecordedLine = serde_json::from_str(line).expect("a recorded line");
            if line.startup.as_deref() == Some("failed") {
                recording.took_every_route = false;
            }
            let Some(n) = line.n else { continue };
            let recorded = match line.distribution {
                Some(distribution) => Recorded::Often(distribution),
                None => Recorded::Once(Exchange {
                    further_routes: line.routes_all.into_iter().skip(1).collect(),
                    route: line.route,
                    upstream: line.upstream,
                    answer: line.response,
                }),
            };
            recording.cases.insert(n, recorded);
        }
        recording
    }
}

#[test]
fn the_data_is_what_its_page_says() {
    let documents = load();
    assert_eq!(documents.len(), 138);
    let cases = documents
        .iter()
        .map(|document| document.cases.len())
        .sum::<usize>();
    assert_eq!(cases, 1387);
    for document in &documents {
        let recorded = |line| document.recording(line).is_some();
        assert!(
            recorded(Line::Four) || recorded(Line::Five),
            "{}",
            document.name
        );
    }
}
