//! Points in time, as Java's `ZonedDateTime` reads them, or in milliseconds since 1970.
//!
//! The offset decides (`+08:00`, `Z`), which Java demands too; the zone behind it (`[Asia/Shanghai]`) changes nothing.

use std::time::{Duration, SystemTime};

use pailou_config::{Field, ScgArg, ScgArgs, Shortcut};

const DAY: i64 = 24 * 60 * 60;

/// A point in time, and how the document writes it.
#[derive(Debug)]
pub(super) struct Instant {
    pub(super) text: Box<str>,
    pub(super) time: SystemTime,
}

impl Instant {
    /// The only argument of a predicate.
    pub(super) fn only(field: &Field<'_>) -> Option<Instant> {
        let args = ScgArgs::read(field, Shortcut::Fields(&["datetime"]))?;
        let arg = args.required("datetime");
        args.finish();
        let arg = arg?;
        let (text, time) = (arg.text().into(), read(&arg)?);
        Some(Instant { text, time })
    }
}

/// Reads an argument; what is wrong is reported.
pub(super) fn read(arg: &ScgArg<'_>) -> Option<SystemTime> {
    let time = parse(arg.text().trim());
    if time.is_none() {
        arg.fault_expected(
            format!("{} is not a point in time", arg.quoted()),
            "such as `2026-01-20T17:42:47.789+08:00[Asia/Shanghai]`, `2026-01-20T17:42:47Z`, or milliseconds since 1970",
        );
    }
    time
}

fn parse(text: &str) -> Option<SystemTime> {
    if let Ok(milliseconds) = text.parse::<i64>() {
        let distance = Duration::from_millis(milliseconds.unsigned_abs());
        return shift(milliseconds < 0, distance);
    }
    if !text.is_ascii() {
        return None;
    }
    let text = match text.strip_suffix(']') {
        Some(text) => text.split_once('[').filter(|(_, zone)| is_zone(zone))?.0,
        None => text,
    };
    let (date, rest) = text.split_once(['T', 't'])?;
    let days = days(date)?;
    let at = rest.find(['Z', 'z', '+', '-'])?;
    let (seconds, nanoseconds) = time_of_day(&rest[..at])?;
    let seconds = days * DAY + seconds - offset(&rest[at..])?;
    // Nanoseconds count onwards, before 1970 too.
    let base = shift(seconds < 0, Duration::from_secs(seconds.unsigned_abs()))?;
    base.checked_add(Duration::from_nanos(nanoseconds))
}

fn shift(is_before: bool, distance: Duration) -> Option<SystemTime> {
    match is_before {
        true => SystemTime::UNIX_EPOCH.checked_sub(distance),
        false => SystemTime::UNIX_EPOCH.checked_add(distance),
    }
}

/// `Asia/Shanghai`, `UTC`, `+08:00`.
fn is_zone(zone: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-:~.".contains(&byte);
    !zone.is_empty() && zone.bytes().all(is_legal)
}

/// The days since 1970 of `2026-01-20`.
fn days(date: &str) -> Option<i64> {
    let mut fields = date.split('-');
    let year = number(fields.next()?, 4)?;
    let month = number(fields.next()?, 2)?;
    let day = number(fields.next()?, 2)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > longest || fields.next().is_some() {
        return None;
    }
    // Years that begin in March, in eras of 400, so that a leap day is a year's last. Howard Hinnant, "chrono-Compatible Low-Level
    // Date Algorithms", days_from_civil.
    let (year, month) = match month > 2 {
        true => (year, month - 3),
        false => (year - 1, month + 9),
    };
    let era = year.div_euclid(400);
    let year = year.rem_euclid(400);
    let day = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468)
}

/// The seconds and nanoseconds of `17:42`, `17:42:47` or `17:42:47.789`.
fn time_of_day(text: &str) -> Option<(i64, u64)> {
    let (text, nanoseconds) = match text.split_once('.') {
        Some((text, fraction)) => {
            let is_fraction =
                fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit());
            let digits = is_fraction.then(|| format!("{fraction:0<9}"))?;
            (text, digits.parse().ok()?)
        }
        None => (text, 0),
    };
    let mut fields = text.split(':');
    let hours = number(fields.next()?, 2)?;
    let minutes = number(fields.next()?, 2)?;
    let seconds = match fields.next() {
        Some(seconds) => number(seconds, 2)?,
        None if nanoseconds == 0 => 0,
        None => return None,
    };
    let is_legal = hours < 24 && minutes < 60 && seconds < 60 && fields.next().is_none();
    is_legal.then_some((hours * 3600 + minutes * 60 + seconds, nanoseconds))
}

/// The seconds of `Z`, `+08:00` or `-07:00:00`.
fn offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (seconds, nanoseconds) = time_of_day(&text[1..])?;
    // Java's bound.
    (nanoseconds == 0 && seconds <= 18 * 3600).then_some(sign * seconds)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(text: &str) -> Option<i128> {
        let time = parse(text)?;
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Some(match since {
            Ok(since) => since.as_millis() as i128,
            Err(before) => -(before.duration().as_millis() as i128),
        })
    }

    /// As `ZonedDateTime.parse(…).toInstant().toEpochMilli()` of Java gives them.
    #[test]
    fn the_offset_decides() {
        for (text, expected) in [
            (
                "2017-01-20T17:42:47.789-07:00[America/Denver]",
                1_484_959_367_789,
            ),
            ("2017-01-20T17:42:47Z", 1_484_934_167_000),
            ("2017-01-20t17:42:47z", 1_484_934_167_000),
            ("2017-01-20T17:42:47+08:00", 1_484_905_367_000),
            ("2017-01-20T17:42+08:00[Asia/Shanghai]", 1_484_905_320_000),
            ("2017-01-20T17:42:47.1+08:00:30", 1_484_905_337_100),
            ("2016-02-29T00:00:00Z", 1_456_704_000_000),
            ("2000-02-29T23:59:59.999999999Z", 951_868_799_999),
            ("1969-12-31T23:59:59.5Z", -500),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            ("2099-12-31T23:59:59-18:00", 4_102_509_599_000),
            ("1500000000000", 1_500_000_000_000),
            ("-5", -5),
            ("0", 0),
        ] {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_java_refuses_is_refused() {
        for text in [
            "",
            "2017-01-20",
            "2017-01-20T17:42:47",
            "2017-01-20 17:42:47",
            "2017-01-20T17:42:47[Europe/Berlin]",
            "2017-02-29T00:00:00Z",
            "2017-13-01T00:00:00Z",
            "2017-00-01T00:00:00Z",
            "2017-01-00T00:00:00Z",
            "2017-01-20T24:00:00Z",
            "2017-01-20T17:60:00Z",
            "2017-01-20T17:42.5Z",
            "2017-01-20T17:42:47+25:00",
            "2017-01-20T17:42:47+8",
            "2017-01-20T17:42:47Z[",
            "2017-01-20T17:42:47Z[]",
            "17-01-20T17:42:47Z",
            "2017-1-20T17:42:47Z",
            "2017-01-20T17:42:47Zx",
            "tomorrow",
            "2017-01-20T１7:42:47Z",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
