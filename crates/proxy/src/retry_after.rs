//! When an answer wants to be asked for again.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// The time that `Retry-After` asks for (RFC 9110 section 10.2.3): seconds, or a date. None if there is no such field, if it is neither,
/// or if that moment has passed.
pub(crate) fn time(headers: &HeaderMap, now: SystemTime) -> Duration {
    let value = headers.get(header::RETRY_AFTER);
    let Some(text) = value.and_then(|value| value.to_str().ok()) else {
        return Duration::ZERO;
    };
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Duration::from_secs(seconds.into());
    }
    let date = httpdate::parse_http_date(text).ok();
    let left = date.and_then(|date| date.duration_since(now).ok());
    left.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_times_and_nothing_else_is() {
        let now = httpdate::parse_http_date("Mon, 30 Nov 2026 08:00:00 GMT").expect("a date");
        for (value, seconds) in [
            ("0", 0),
            ("3", 3),
            (" 120 ", 120),
            ("Mon, 30 Nov 2026 08:00:07 GMT", 7),
            ("Mon, 30 Nov 2026 07:00:00 GMT", 0),
            ("-1", 0),
            ("soon", 0),
            ("99999999999", 0),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().expect("a value"));
            assert_eq!(time(&headers, now), Duration::from_secs(seconds), "{value}");
        }
        assert_eq!(time(&HeaderMap::new(), now), Duration::ZERO);
    }
}
