//! Durations and sizes with units: `500ms`, `64KiB`.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZE_UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// The duration that `text` names: a whole number and `ms`, `s`, `m` or `h`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// The number of bytes that `text` names: a whole number, alone or with `B`, `KiB`, `MiB` or `GiB`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return Some(number);
    }
    let bytes = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.checked_mul(bytes)
}

/// Writes a duration as `gateway.yaml` would: in the largest unit that divides it.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(pailou_config::format_duration(Duration::from_millis(90_000)), "90s");
/// assert_eq!(pailou_config::format_duration(Duration::from_millis(1_500)), "1500ms");
/// ```
pub fn format_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    largest(milliseconds, &DURATION_UNITS)
}

/// Writes a number of bytes as `gateway.yaml` would: in the largest unit that divides it.
///
/// ```
/// assert_eq!(pailou_config::format_size(64 << 10), "64KiB");
/// assert_eq!(pailou_config::format_size(1_000), "1000B");
/// ```
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    largest(bytes, &SIZE_UNITS)
}

fn largest(value: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .rev()
        .find(|(_, factor)| value.is_multiple_of(*factor))
        .map_or_else(
            || value.to_string(),
            |(name, factor)| format!("{}{name}", value / factor),
        )
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit() {
        let cases = [
            ("500ms", Some(500)),
            ("5s", Some(5_000)),
            ("5 s", Some(5_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("5", None),
            ("s", None),
            ("", None),
            ("-5s", None),
            ("1.5s", None),
            ("5sec", None),
            ("5S", None),
            ("1m30s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                parse_duration(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn a_size_is_binary_or_plain_bytes() {
        let cases = [
            ("64KiB", Some(65_536)),
            ("10MiB", Some(10 << 20)),
            ("1GiB", Some(1 << 30)),
            ("512B", Some(512)),
            ("1048576", Some(1_048_576)),
            ("10MB", None),
            ("64k", None),
            ("64kib", None),
            ("-1", None),
            ("1.5MiB", None),
            ("", None),
            ("18446744073709551615GiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for milliseconds in [
            0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000,
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
        for bytes in [0, 1, 1_000, 1_024, 65_536, 10 << 20, 3 << 30] {
            assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }
    }
}
