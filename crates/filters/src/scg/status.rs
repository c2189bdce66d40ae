//! Statuses as Spring writes them: `401` or `UNAUTHORIZED`.

use http::StatusCode;
use pailou_config::ScgArg;

/// Names of Spring's that are not made of the reason phrase.
const OTHER_NAMES: &[(&str, u16)] = &[
    ("movedtemporarily", 302),
    ("requestentitytoolarge", 413),
    ("contenttoolarge", 413),
    ("requesturitoolong", 414),
    ("iamateapot", 418),
    ("insufficientspaceonresource", 419),
    ("methodfailure", 420),
    ("destinationlocked", 421),
    ("unprocessablecontent", 422),
    ("tooearly", 425),
    ("bandwidthlimitexceeded", 509),
];

/// The status of an argument; a fault if there is no such.
pub(super) fn read(arg: &ScgArg<'_>) -> Option<StatusCode> {
    let status = parse(arg.text());
    if status.is_none() {
        arg.fault_expected(
            format!("{} is not a status", arg.quoted()),
            "a number such as 401, or a name such as UNAUTHORIZED",
        );
    }
    status
}

fn parse(text: &str) -> Option<StatusCode> {
    let text = text.trim();
    if let Ok(number) = text.parse::<u16>() {
        let status = StatusCode::from_u16(number).ok()?;
        return (number >= 200).then_some(status);
    }
    let wanted = folded(text);
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == wanted);
    if let Some((_, number)) = other {
        return StatusCode::from_u16(*number).ok();
    }
    let mut all = (200..600).filter_map(|number| StatusCode::from_u16(number).ok());
    all.find(|status| {
        status
            .canonical_reason()
            .is_some_and(|reason| folded(reason) == wanted)
    })
}

fn folded(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_statuses() {
        for (text, status) in [
            ("401", Some(401)),
            (" 599 ", Some(599)),
            ("BAD_REQUEST", Some(400)),
            ("not_found", Some(404)),
            ("bad-gateway", Some(502)),
            ("FOUND", Some(302)),
            ("I_AM_A_TEAPOT", Some(418)),
            ("URI_TOO_LONG", Some(414)),
            ("HTTP_VERSION_NOT_SUPPORTED", Some(505)),
            ("NON_AUTHORITATIVE_INFORMATION", Some(203)),
            ("UNPROCESSABLE_ENTITY", Some(422)),
            ("100", None),
            ("1000", None),
            ("", None),
            ("BOGUS", None),
            ("-1", None),
        ] {
            let found = parse(text).map(|status| status.as_u16());
            assert_eq!(found, status, "{text}");
        }
    }
}
