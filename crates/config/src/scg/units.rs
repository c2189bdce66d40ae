//! Durations and sizes as Spring writes them.

use std::time::Duration;

const SIZE_UNITS: [(&str, u64); 5] = [
    ("B", 1),
    ("KB", 1 << 10),
    ("MB", 1 << 20),
    ("GB", 1 << 30),
    ("TB", 1 << 40),
];

const NANOSECONDS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A duration that may be below zero, which Spring uses to say `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignedDuration {
    /// Below zero.
    Negative,
    /// Zero or more.
    Positive(Duration),
}

/// `50ms`, `5s`, `PT5S`; a bare number is milliseconds (Spring Boot, `DurationStyle`).
pub(crate) fn parse_duration(text: &str) -> Option<SignedDuration> {
    let (is_negative, rest) = signed(text);
    let duration = match rest.starts_with(['p', 'P']) {
        true => iso(rest)?,
        false => simple(rest)?,
    };
    Some(match is_negative && !duration.is_zero() {
        true => SignedDuration::Negative,
        false => SignedDuration::Positive(duration),
    })
}

/// `10B`, `5MB` (of 1,024 × 1,024 bytes); a bare number is bytes (Spring, `DataSize`). `None` for less than nothing.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (number, unit) = number_and_unit(text.strip_prefix('+').unwrap_or(&text))?;
    let unit = if unit.is_empty() { "B" } else { unit };
    let bytes = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?.1;
    // Spring keeps it in a signed number.
    let size = number.checked_mul(bytes)?;
    i64::try_from(size).is_ok().then_some(size)
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn simple(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let unit = if unit.is_empty() { "ms" } else { unit };
    let (_, factor) = NANOSECONDS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    nanoseconds(number, *factor)
}

fn nanoseconds(number: u64, factor: u64) -> Option<Duration> {
    let total = u128::from(number) * u128::from(factor);
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    let rest = u32::try_from(total % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

/// `P1DT2H3M4.5S`, each part optional; signs of single parts are not read.
fn iso(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix('P')?;
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None if text.is_empty() => return None,
        None => (text, ""),
    };
    let mut total = Duration::ZERO;
    if !days.is_empty() {
        let days = days.strip_suffix('D')?.parse().ok()?;
        total = nanoseconds(days, 86_400_000_000_000)?;
    }
    let mut rest = time;
    for (unit, factor) in [('H', 3_600_000_000_000), ('M', 60_000_000_000)] {
        if let Some((number, after)) = rest.split_once(unit) {
            total = total.checked_add(nanoseconds(number.parse().ok()?, factor)?)?;
            rest = after;
        }
    }
    if rest.is_empty() {
        return Some(total);
    }
    total.checked_add(seconds(rest.strip_suffix('S')?)?)
}

fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let is_fraction =
        (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = is_fraction.then(|| format!("{fraction:0<9}"))?;
    Some(Duration::new(whole.parse().ok()?, fraction.parse().ok()?))
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_simple_or_iso() {
        let ms = |number| Some(SignedDuration::Positive(Duration::from_millis(number)));
        for (text, expected) in [
            ("50ms", ms(50)),
            ("5s", ms(5_000)),
            ("5S", ms(5_000)),
            ("2000000ns", ms(2)),
            ("3000us", ms(3)),
            ("1m", ms(60_000)),
            ("1h", ms(3_600_000)),
            ("2d", ms(172_800_000)),
            ("300", ms(300)),
            ("+300", ms(300)),
            ("0", ms(0)),
            ("-0", ms(0)),
            ("PT5S", ms(5_000)),
            ("pt0.5s", ms(500)),
            ("PT1M30S", ms(90_000)),
            ("PT1H", ms(3_600_000)),
            ("P1DT1S", ms(86_401_000)),
            ("P2D", ms(172_800_000)),
            ("-1", Some(SignedDuration::Negative)),
            ("-PT5S", Some(SignedDuration::Negative)),
            ("-1ms", Some(SignedDuration::Negative)),
            ("", None),
            ("ms", None),
            ("5 s", None),
            ("1.5s", None),
            ("abc", None),
            ("5sec", None),
            ("P", None),
            ("PT", None),
            ("PTS", None),
            ("PT5", None),
            ("P5S", None),
            ("PT5M3H", None),
            ("PT.5S", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        assert!(parse_duration("18446744073709551615d").is_none());
    }

    #[test]
    fn a_size_is_binary_whatever_it_is_called() {
        for (text, expected) in [
            ("10B", Some(10)),
            ("10", Some(10)),
            ("1KB", Some(1_024)),
            ("5MB", Some(5 * 1_024 * 1_024)),
            ("5 MB", Some(5 * 1_024 * 1_024)),
            ("1GB", Some(1 << 30)),
            ("1TB", Some(1 << 40)),
            ("1kb", None),
            ("1KiB", None),
            ("-1", None),
            ("abc", None),
            ("", None),
            ("9223372036854775808", None),
            ("18446744073709551615TB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
