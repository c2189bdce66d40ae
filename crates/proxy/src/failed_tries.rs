//! What is remembered of failed tries, for the access log, a metric, and the header
//! of `retry.tries_header`.

use http::{HeaderMap, HeaderValue};
use pailou_telemetry::events::TryEnd;

use crate::exchange::Exchange;

/// Notes that the try under way has failed.
pub(crate) fn note(exchange: &mut Exchange, reason: &'static str, status: Option<u16>) {
    exchange.failed_tries.extend(end(exchange, reason, status));
}

/// Lists all tries in the answer, if the settings want that: the failed ones, and the
/// one that brought this answer.
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
