//! How an endpoint's answer is framed, where the HTTP engine leaves it open.
//!
//! The engine reads what RFC 9112 section 6.3 lets it read: a body whose last
//! coding is `chunked` as chunks, whatever else it is coded in, and a body of
//! any other coding up to the end of the connection. A gateway hands on neither:
//! its client would be given coded bytes for plain ones. And an answer without a
//! body may say anything of its framing; what the client is told is one length.

use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};

/// The answer's framing cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Leaves one plain length in an answer's head, or none. Says whether its
/// connection may serve another request.
pub(crate) fn settle(head: &mut Parts, method: &Method) -> Result<bool, Malformed> {
    let length = length(&head.headers)?;
    if head.version == Version::HTTP_2 {
        set_length(&mut head.headers, length);
        return Ok(true);
    }
    let coded = head.headers.contains_key(header::TRANSFER_ENCODING);
    if head.status.is_informational() || head.status == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6 and RFC 9112 section 6.1: neither field may be
        // here. Whoever sends them may well send a body too.
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::TRANSFER_ENCODING);
        return Ok(!coded && length.is_none_or(|length| length == 0));
    }
    if *method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED {
        // They say what a GET would have.
        set_length(&mut head.headers, length.filter(|_| !coded));
        return Ok(true);
    }
    match (coding(&head.headers), length) {
        (None, _) => {
            set_length(&mut head.headers, length);
            Ok(true)
        }
        (Some(Coding::Chunked), None) => Ok(true),
        (Some(Coding::Chunked), Some(_)) => {
            // RFC 9112 section 6.3: the chunks count, and the connection is not
            // to be trusted.
            head.headers.remove(header::CONTENT_LENGTH);
            Ok(false)
        }
        // It ends with the connection, which the engine knows.
        (Some(Coding::Identity), None) => Ok(false),
        (Some(Coding::Identity | Coding::Other), _) => Err(Malformed),
    }
}

/// What the fields of the transfer codings say, all lines taken as one list.
enum Coding {
    Chunked,
    /// A word of RFC 2616 for none.
    Identity,
    Other,
}

fn coding(headers: &HeaderMap) -> Option<Coding> {
    let mut elements = elements(headers, &header::TRANSFER_ENCODING);
    let first = elements.next()?;
    Some(match elements.next() {
        Some(_) => Coding::Other,
        None if first.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
        None if first.eq_ignore_ascii_case(b"identity") => Coding::Identity,
        None => Coding::Other,
    })
}

/// The one length that all lines give, if there is one.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut found = None;
    for element in elements(headers, &header::CONTENT_LENGTH) {
        if element.is_empty() || !element.iter().all(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        let length = std::str::from_utf8(element)
            .ok()
            .and_then(|text| text.parse().ok());
        match (found, length) {
            (_, None) => return Err(Malformed),
            (Some(found), Some(length)) if found != length => return Err(Malformed),
            _ => found = length,
        }
    }
    Ok(found)
}

fn set_length(headers: &mut HeaderMap, length: Option<u64>) {
    match length {
        // Nearly always so.
        Some(_) if is_plain(headers) => {}
        Some(length) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {
            headers.remove(header::CONTENT_LENGTH);
        }
    }
}

/// Whether there is one length, in the one spelling that nobody reads in another way.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return false;
    };
    let digits = line.as_bytes();
    digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || digits[0] != b'0')
}

/// The elements of a list, empty ones included.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head by status and fields: whether the connection stays, and the length
    /// that is left.
    fn settled(
        status: u16,
        method: &Method,
        fields: &[(&'static str, &'static str)],
    ) -> Result<(bool, Vec<String>), Malformed> {
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.status = StatusCode::from_u16(status).expect("a status");
        for (name, value) in fields {
            head.headers.append(*name, HeaderValue::from_static(value));
        }
        let keeps = settle(&mut head, method)?;
        let lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
        let lengths = lengths.map(|length| length.to_str().expect("digits").to_owned());
        Ok((keeps, lengths.collect()))
    }

    #[test]
    fn one_length_is_left_and_what_has_two_meanings_is_none() {
        const LENGTH: &str = "content-length";
        const CODING: &str = "transfer-encoding";
        type Case<'a> = (
            u16,
            &'a [(&'static str, &'static str)],
            Result<(bool, &'a [&'a str]), Malformed>,
        );
        let cases: &[Case<'_>] = &[
            (200, &[], Ok((true, &[]))),
            (200, &[(LENGTH, "2"), (LENGTH, "2")], Ok((true, &["2"]))),
            (200, &[(LENGTH, "02, 2")], Ok((true, &["2"]))),
            (200, &[(LENGTH, "2"), (LENGTH, "3")], Err(Malformed)),
            (200, &[(LENGTH, "2,")], Err(Malformed)),
            (200, &[(LENGTH, "+2")], Err(Malformed)),
            (200, &[(LENGTH, "")], Err(Malformed)),
            (200, &[(CODING, "Chunked")], Ok((true, &[]))),
            (200, &[(CODING, "chunked"), (LENGTH, "5")], Ok((false, &[]))),
            (200, &[(CODING, "chunked, chunked")], Err(Malformed)),
            (
                200,
                &[(CODING, "chunked"), (CODING, "chunked")],
                Err(Malformed),
            ),
            (200, &[(CODING, "gzip, chunked")], Err(Malformed)),
            (
                200,
                &[(CODING, "gzip"), (CODING, "chunked")],
                Err(Malformed),
            ),
            (200, &[(CODING, "chunked,")], Err(Malformed)),
            (200, &[(CODING, "gzip")], Err(Malformed)),
            (200, &[(CODING, "")], Err(Malformed)),
            (200, &[(CODING, "identity")], Ok((false, &[]))),
            (200, &[(CODING, "identity"), (LENGTH, "5")], Err(Malformed)),
            (204, &[(LENGTH, "0")], Ok((true, &[]))),
            (204, &[(LENGTH, "5")], Ok((false, &[]))),
            (204, &[(CODING, "chunked")], Ok((false, &[]))),
            (304, &[(LENGTH, "5")], Ok((true, &["5"]))),
            (304, &[(LENGTH, "5, 6")], Err(Malformed)),
            (304, &[(CODING, "chunked"), (LENGTH, "5")], Ok((true, &[]))),
            (101, &[(LENGTH, "5")], Ok((false, &[]))),
        ];
        for (status, fields, expected) in cases {
            let expected = expected
                .map(|(keeps, lengths)| (keeps, lengths.iter().map(ToString::to_string).collect()));
            let found = settled(*status, &Method::GET, fields);
            assert_eq!(found, expected, "{status} {fields:?}");
        }
        let head = settled(200, &Method::HEAD, &[(LENGTH, "5"), (LENGTH, "5")]);
        assert_eq!(head, Ok((true, vec!["5".to_owned()])));
    }
}
