//! What is done when there are more requests than can be served well.

use super::{
    kind::{Maybe, whole},
    schema::section,
    values::HEADER_NAME,
};

section! {
    /// What is done when there are more requests than can be served well: those of less priority are answered 503 (`overloaded`) at
    /// once, so that the others are served in time. A route has `normal` priority unless its filter `priority` says `high` or `low`.
    OverloadSettings in "overload" {
        /// The most requests that wait for their answers at once; requests of `high` priority have all of it. Left out, none is shed.
        /// Somewhat more than are under way at the highest load that is served well, as `pailou_requests_waiting` shows it.
        requests: Option<u32> = None, Maybe(whole(1..=10_000_000));
        /// The share of it that requests of `normal` priority may come up to, in percent.
        normal_percent: u32 = 90, whole(1..=100);
        /// The same for those of `low` priority.
        low_percent: u32 = 70, whole(1..=100);
        /// A header in which a request says its own priority: `high`, `normal` or `low`. It may say less than its route's, never
        /// more, since anybody can send it.
        priority_header: Option<String> = None, Maybe(HEADER_NAME);
    }
}
