//! What is remembered of tries that came to nothing: for the access log, a metric,
//! and the header of `retry.tries_header`.

use http::{HeaderMap, HeaderValue};
use pailou_telemetry::events::FailedTry;

use crate::exchange::Exchange;

/// Writes down the try under way, which has failed.
pub(crate) fn note(exchange: &mut Exchange, reason: &'static str, status: Option<u16>) {
    if let Some(endpoint) = exchange.upstream {
        exchange.failed_tries.push(FailedTry {
            endpoint,
            reason,
            status,
            took: exchange.try_began.elapsed(),
        });
    }
}

/// Tells the client of all tries, where the settings want that: the failed ones, and
/// the one whose answer this is.
pub(crate) fn tell(exchange: &Exchange, is_answered: bool, fields: &mut HeaderMap) {
    let Some(name) = &exchange.server.tries_header else {
        return;
    };
    let failed = exchange.failed_tries.iter().map(ToString::to_string);
    let answered = exchange.upstream.filter(|_| is_answered).map(|endpoint| {
        let took = exchange.try_began.elapsed().as_secs_f64() * 1_000.0;
        format!("{endpoint} {} {took:.1}ms", exchange.status)
    });
    let tries: Vec<String> = failed.chain(answered).collect();
    if tries.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(tries.join(", ")) {
        fields.insert(name, value);
    }
}
