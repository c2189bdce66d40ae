//! Time limits of Spring's HTTP client, for the gateway and for single routes.

use std::time::Duration;

use super::units::{SignedDuration, parse_duration};
use crate::field::Field;

/// What stands for no limit at all; a route's own limits end here too.
pub(super) const NONE: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that one connection to an endpoint may take.
const MAX_CONNECT: Duration = Duration::from_secs(60);

const EXPECTED: &str = "a number of milliseconds";

/// Limits, where they are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// For one connection.
    pub(super) connect: Option<Duration>,
    /// Until the response's headers.
    pub(super) response: Option<Duration>,
}

/// A limit on connecting, in milliseconds.
pub(super) fn connect(field: &Field<'_>) -> Option<Duration> {
    let limit = match read(field)? {
        SignedDuration::Positive(limit) if !limit.is_zero() => limit,
        SignedDuration::Positive(_) => NONE,
        SignedDuration::Negative => {
            field.fault_expected(field.quoted(), format!("{EXPECTED}, or 0 for no limit"));
            return None;
        }
    };
    if limit > MAX_CONNECT {
        field.warn("a connection is given up after a minute at the latest");
    }
    Some(limit.min(MAX_CONNECT))
}

/// A limit on waiting for the response's headers, in milliseconds; below zero for none.
pub(super) fn response(field: &Field<'_>) -> Option<Duration> {
    match read(field)? {
        SignedDuration::Positive(limit) if limit.is_zero() => {
            field.fault_expected(field.quoted(), format!("{EXPECTED}, or -1 for no limit"));
            None
        }
        SignedDuration::Positive(limit) => Some(limit.min(NONE)),
        SignedDuration::Negative => Some(NONE),
    }
}

fn read(field: &Field<'_>) -> Option<SignedDuration> {
    let text = field.string()?;
    let text = text.trim();
    let limit = parse_duration(text);
    if limit.is_none() {
        field.fault_expected(field.quoted(), EXPECTED);
    }
    limit
}

/// Says that a route's limit has a unit: Spring reads numbers alone there, and ignores it.
pub(super) fn warn_of_unit(field: &Field<'_>) {
    let is_bare = field.string().is_some_and(|text| {
        text.trim()
            .trim_start_matches('-')
            .bytes()
            .all(|byte| byte.is_ascii_digit())
    });
    if !is_bare {
        field.warn(
            "Spring reads only a number of milliseconds here and ignores this; it is honoured",
        );
    }
}
