//! The two lists of differences: those that are announced, for good, and those that are pending.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::compare::RULES;
use crate::corpus::{Document, Line};

/// What is compared: a request of a document, or whether the document was taken as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Whether Spring Cloud Gateway started with every route, and whether we take every route.
    Start,
    /// The case of this number.
    Case(u32),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Start => f.write_str("start"),
            Key::Case(n) => write!(f, "{n}"),
        }
    }
}

/// `announced.yaml`: where the gateway means to differ, and why.
pub(crate) struct Announced {
    /// By document, line and key: the decision.
    differences: BTreeMap<(String, Line, Key), String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnnouncedFile {
    /// The rules of the comparison, each with its reason.
    everywhere: BTreeMap<String, String>,
    /// What was decided, by a name of its own.
    decisions: BTreeMap<String, String>,
    /// By document and decision: the cases. `12` in both lines, `4.3/12` and `5.0/12` in one.
    documents: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle");
    folder.join(name)
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(file(name)).expect("a list");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

impl Announced {
    /// Reads the file.
    ///
    /// # Panics
    /// At an entry that names no case, no decision, or a case twice, and at a decision or a rule without its counterpart.
    pub(crate) fn load(documents: &[Document]) -> Announced {
        let list: AnnouncedFile = read("announced.yaml");
        let rules: Vec<_> = list.everywhere.keys().map(String::as_str).collect();
        let mut known = RULES.map(|(name, _)| name);
        known.sort_unstable();
        assert_eq!(rules, known, "announced.yaml: the rules of the comparison");
        let mut differences = BTreeMap::new();
        let mut used = BTreeSet::new();
        for (name, decisions) in &list.documents {
            let document = documents.iter().find(|document| document.name == *name);
            let document = document.unwrap_or_else(|| panic!("announced.yaml: no document {name}"));
            for (decision, cases) in decisions {
                let known = list.decisions.contains_key(decision);
                assert!(known, "announced.yaml: {name}: no decision {decision}");
                used.insert(decision);
                for case in cases {
                    for (line, key) in places(document, case) {
                        let entry = (name.clone(), line, key);
                        let twice = differences.insert(entry, decision.clone()).is_some();
                        assert!(!twice, "announced.yaml: {name}: {case} is listed twice");
                    }
                }
            }
        }
        let unused: Vec<_> = list
            .decisions
            .keys()
            .filter(|d| !used.contains(d))
            .collect();
        assert!(
            unused.is_empty(),
            "announced.yaml: decisions without a case: {unused:?}"
        );
        Announced { differences }
    }

    /// The decision behind a difference, if it is announced.
    pub(crate) fn decision(&self, document: &str, line: Line, key: Key) -> Option<&str> {
        let decision = self.differences.get(&(document.to_owned(), line, key));
        decision.map(String::as_str)
    }
}

/// Which lines and which key an entry means.
fn places(document: &Document, entry: &str) -> Vec<(Line, Key)> {
    let (lines, key) = match entry.split_once('/') {
        None => (vec![Line::Four, Line::Five], entry),
        Some(("4.3", key)) => (vec![Line::Four], key),
        Some(("5.0", key)) => (vec![Line::Five], key),
        Some(_) => panic!("announced.yaml: {}: {entry} names no line", document.name),
    };
    let key = match key.parse() {
        Ok(n) => Key::Case(n),
        Err(_) => {
            assert_eq!(key, "start", "announced.yaml: {}", document.name);
            Key::Start
        }
    };
    let exists = match key {
        Key::Start => true,
        Key::Case(n) => document.cases.iter().any(|case| case.n == n),
    };
    assert!(
        exists,
        "announced.yaml: {} has no case {key}",
        document.name
    );
    lines.into_iter().map(|line| (line, key)).collect()
}

/// `pending.yaml`: documents that are not supported yet, by `NAME LINE`. It shrinks to nothing.
pub(crate) struct Pending(BTreeSet<String>);

impl Pending {
    pub(crate) fn load() -> Pending {
        Pending(read("pending.yaml"))
    }

    pub(crate) fn has(&self, document: &str, line: Line) -> bool {
        self.0.contains(&format!("{document} {line}"))
    }

    /// Writes the list anew.
    pub(crate) fn save(documents: &BTreeSet<String>) {
        let mut text =
            "# Documents of which some case still differs. `UPDATE=1` writes this list.\n"
                .to_owned();
        if documents.is_empty() {
            text += "[]\n";
        }
        for document in documents {
            text += &format!("- {document}\n");
        }
        std::fs::write(file("pending.yaml"), text).expect("a written list");
    }
}
