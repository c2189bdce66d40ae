//! The time of a line, in the two forms that logs have.

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Appends the time as RFC 3339 has it: `2026-11-29T06:35:12.123456Z`.
pub(super) fn rfc3339(out: &mut String) {
    // It fails only when the sink does, and a String does not.
    let _ = SystemTime.format_time(&mut Writer::new(out));
}

/// The time as RFC 3339 has it, in UTC: `2026-11-29T06:35:12.123456Z`.
pub fn now_rfc3339() -> String {
    let mut now = String::with_capacity(32);
    rfc3339(&mut now);
    now
}

/// Appends the time in the Common Log Format: `29/Nov/2026:06:35:12 +0000`.
pub(super) fn clf(out: &mut String) {
    let now = now_rfc3339();
    out.push_str(&from_rfc3339(&now).unwrap_or(now));
}

fn from_rfc3339(time: &str) -> Option<String> {
    let (date, time) = time.split_once('T')?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let time = time.get(..8)?;
    Some(format!("{day}/{month}/{year}:{time} +0000"))
}

/// Whether a text begins with such a time.
pub(super) fn begins_with_date(text: &[u8]) -> bool {
    has_form(text, b"dddd-dd-ddT")
}

/// Whether a text begins with a time in the Common Log Format.
pub(super) fn begins_with_clf(text: &[u8]) -> bool {
    has_form(text, b"dd/aaa/dddd:dd:dd:dd ")
}

/// `d` is a digit, `a` is a letter.
fn has_form(text: &[u8], form: &[u8]) -> bool {
    text.len() >= form.len()
        && text.iter().zip(form).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            other => byte == other,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_both_forms() {
        assert_eq!(
            from_rfc3339("2026-11-29T06:35:12.123456Z").as_deref(),
            Some("29/Nov/2026:06:35:12 +0000")
        );
        for odd in [
            "",
            "2026-11-29",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
        ] {
            assert_eq!(from_rfc3339(odd), None, "{odd}");
        }
        let mut now = String::new();
        clf(&mut now);
        assert!(begins_with_clf(now.as_bytes()), "{now}");
        now.clear();
        rfc3339(&mut now);
        assert!(begins_with_date(now.as_bytes()), "{now}");
    }
}
