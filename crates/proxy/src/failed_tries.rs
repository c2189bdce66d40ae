//! What is remembered of tries that came to nothing: for the access log, a metric,
//! and the header of `retry.tries_header`.

use http::{HeaderMap, HeaderValue};
use pailou_telemetry::events::TryEnd;

use crate::exchange::Exchange;

/// Writes down the try under way, which has failed.
pub(crate) fn note(exchange: &mut Exchange, reason: &'static str, status: Option<u16>) {
    exchange.failed_tries.extend(end(exchange, reason, status));
}

/// Tells the client of all tries, where the settings want that: the failed ones, and
/// the one whose answer this is.
pub(crate) fn tell(exchange: &Exchange, is_answered: bool, fields: &mut HeaderMap) {
    let Some(name) = &exchange.server.tries_header else {
        return;
    };
    let answered = end(exchange, "status", Some(exchange.status)).filter(|_| is_answered);
    let tries = exchange.failed_tries.iter().chain(&answered);
    let tries: Vec<String> = tries.map(ToString::to_string).collect();
    if tries.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(tries.join(", ")) {
        fields.insert(name, value);
    }
}

/// The end of the try under way, if there is one.
fn end(exchange: &Exchange, reason: &'static str, status: Option<u16>) -> Option<TryEnd> {
    Some(TryEnd {
        endpoint: exchange.upstream?,
        reason,
        status,
        took: exchange.try_began.elapsed(),
    })
}
