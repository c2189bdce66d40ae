//! A text as the YAML documents that it holds, or as one JSON value.

use crate::{
    fault::{Fault, Position, Report, Severity},
    json::{self, Json},
    node::{Key, Node},
    yaml,
};

/// The most documents that are read of one text; an application has a handful of profiles.
const MAX_PARTS: usize = 100;

/// What a text holds.
#[derive(Debug)]
pub(crate) struct Text {
    /// The documents, at least one; a blank one is a null.
    pub(crate) parts: Vec<Node>,
    /// Where the second document begins.
    pub(crate) second: Option<Position>,
    /// In JSON: keys that stand a second time in their mapping, with the line of the first. The last one counts.
    pub(crate) duplicates: Vec<(Key, u32)>,
    /// Whether it is JSON, which Spring's own loaders do not read.
    pub(crate) is_json: bool,
}

/// Reads a text. `None` if it is neither JSON nor YAML, which is in the report then.
pub(crate) fn read(text: &str, report: &Report) -> Option<Text> {
    if text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with(['{', '['])
        && let Some(Json { root, duplicates }) = json::parse(text)
    {
        return Some(Text {
            parts: vec![root],
            second: None,
            duplicates,
            is_json: true,
        });
    }
    let sections = sections(text);
    if sections.len() > MAX_PARTS {
        let problem = format!("more than {MAX_PARTS} YAML documents in one text");
        report.fault(None, "", problem);
        return None;
    }
    let second = sections.get(1).map(|(line, section)| Position {
        line: match section.starts_with("---") {
            true => *line,
            false => line - 1,
        },
        column: 1,
    });
    let mut parts = Vec::with_capacity(sections.len());
    for (line, section) in sections {
        parts.push(yaml::parse_from(section, line, report)?);
    }
    Some(Text {
        parts,
        second,
        duplicates: Vec::new(),
        is_json: false,
    })
}

impl Text {
    /// Reports keys that were given twice.
    pub(crate) fn report_duplicates(&self, severity: Severity, report: &Report) {
        let end = match severity {
            Severity::Error => "",
            Severity::Warning => "; the last one counts",
        };
        for (key, line) in &self.duplicates {
            report.push(Fault {
                document: report.document().clone(),
                position: Some(key.at),
                path: crate::path::child("", &key.text),
                problem: format!("duplicate key, first given in line {line}{end}"),
                expected: None,
                nearest: None,
                severity,
            });
        }
    }
}

/// The text between lines that begin with `---`, with the number of the first line of each. What has neither content nor a line
/// before it is left out, as the comments above the first `---` are.
///
/// Such a line ends a document even inside a block or in quotes (YAML 1.2.2, 9.1.2), so that nothing needs to be parsed for it. A
/// document whose content begins behind the dashes stays in one piece with them.
fn sections(text: &str) -> Vec<(u32, &str)> {
    let mut sections = Vec::new();
    let (mut start, mut first_line) = (0, 1u32);
    let (mut at, mut line) = (0, 1u32);
    for row in text.split_inclusive('\n') {
        let is_marker = row
            .strip_prefix("---")
            .is_some_and(|rest| rest.trim_start().is_empty() || rest.starts_with([' ', '\t']));
        if is_marker {
            sections.push((first_line, &text[start..at]));
            let rest = row[3..].trim();
            let has_content = !rest.is_empty() && !rest.starts_with('#');
            (start, first_line) = match has_content {
                true => (at, line),
                false => (at + row.len(), line.saturating_add(1)),
            };
        }
        at += row.len();
        line = line.saturating_add(1);
    }
    sections.push((first_line, &text[start..]));
    let is_blank = |section: &str| {
        let rows = section.trim_start_matches('\u{feff}').lines();
        rows.map(str::trim_start)
            .all(|row| row.is_empty() || row.starts_with(['#', '%']) || row.starts_with("..."))
    };
    if sections.iter().any(|(_, section)| !is_blank(section)) {
        sections.retain(|(_, section)| !is_blank(section));
    } else {
        sections.truncate(1);
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_markers_and_lines_keep_their_numbers() {
        for (text, expected) in [
            ("a: 1\n", &[(1, "a: 1\n")][..]),
            ("---\na: 1\n", &[(2, "a: 1\n")]),
            (
                "# first\n--- # x\na: 1\n---\r\nb: 2",
                &[(3, "a: 1\n"), (5, "b: 2")],
            ),
            ("a: 1\n---\n\n---\nb: 2\n", &[(1, "a: 1\n"), (5, "b: 2\n")]),
            (
                "--- {a: 1}\n---\nb: 2\n",
                &[(1, "--- {a: 1}\n"), (3, "b: 2\n")],
            ),
            ("%YAML 1.2\n---\na: 1\n...\n", &[(3, "a: 1\n...\n")]),
            ("a: --- x\n----\n ---\n", &[(1, "a: --- x\n----\n ---\n")]),
            (
                "a: |\n  x\n---\nb: 1\n",
                &[(1, "a: |\n  x\n"), (4, "b: 1\n")],
            ),
            ("", &[(1, "")]),
            ("# nothing\n", &[(1, "# nothing\n")]),
        ] {
            assert_eq!(sections(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_position_of_a_later_document_is_that_in_the_text() {
        let report = Report::new("d");
        let text = read("a: 1\n---\nb: 2\n---\n\nc: [1\n", &report);
        assert!(text.is_none());
        let fault = report.into_faults().remove(0).to_string();
        assert!(
            fault.starts_with("d:6:") || fault.starts_with("d:7:"),
            "{fault}"
        );
        let report = Report::new("d");
        let text = read("a: 1\n---\nb:\n  c: 2\n", &report).expect("YAML");
        assert_eq!(text.parts.len(), 2);
        let at = Position { line: 3, column: 1 };
        let crate::Value::Mapping(entries) = &text.parts[1].value else {
            panic!("a mapping")
        };
        assert_eq!(entries[0].0.at, at);
    }

    #[test]
    fn what_is_nearly_json_is_read_as_yaml() {
        for text in ["[{\"id\": \"a\",},]", "{id: a}", "[ # comment\n]"] {
            let report = Report::new("d");
            let text = read(text, &report).expect("YAML");
            assert!(!text.is_json);
        }
        let many = "---\na: 1\n".repeat(101);
        let report = Report::new("d");
        assert!(read(&many, &report).is_none());
    }
}
