//! What the scenarios measured, as one Markdown table.

use std::time::Duration;

use crate::client::Tally;

/// One row.
pub(crate) struct Figure {
    what: String,
    sent: u64,
    failed: u64,
    wrong: u64,
    doubled: u64,
    p50: Duration,
    p99: Duration,
    beside: String,
}

impl Figure {
    /// What came of a load, and whatever else is worth a word.
    pub(crate) fn new(what: &str, tally: &Tally, beside: impl Into<String>) -> Figure {
        Figure {
            what: what.to_owned(),
            sent: tally.sent,
            failed: tally.failed(),
            wrong: tally.wrong(),
            doubled: 0,
            p50: tally.percentile(50.0),
            p99: tally.percentile(99.0),
            beside: beside.into(),
        }
    }

    /// The same with the requests that were carried out twice.
    pub(crate) fn with_doubled(mut self, doubled: u64) -> Figure {
        self.doubled = doubled;
        self
    }
}

/// All rows, with the head of the table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut table = String::from(
        "| scenario | requests | failed | wrong | doubled | p50 | p99 | beside |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in figures {
        table.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            row.what,
            row.sent,
            row.failed,
            row.wrong,
            row.doubled,
            milliseconds(row.p50),
            milliseconds(row.p99),
            row.beside
        ));
    }
    table
}

/// A time as the table has it.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
