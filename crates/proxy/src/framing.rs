//! How long a request's body is, by rules that no two servers can read
//! differently.

use http::StatusCode;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::cause::Cause;
use crate::connection::Body;

/// The framing of a request, and one plain `Content-Length` in its head if it
/// had several equal ones or one with leading zeros.
///
/// Stricter than RFC 9112: a request with both `Content-Length` and
/// `Transfer-Encoding` is refused, since no honest client sends both. pingora
/// drops the length before anybody sees it, hence the look at the raw head.
pub(crate) fn framing(head: &mut RequestHeader, raw: &[u8]) -> Result<Body, Cause> {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if names_content_length(raw) {
            return Err(Cause::AmbiguousFraming);
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Cause::UnknownTransferEncoding);
        }
        return Ok(Body::Chunked);
    }
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(Body::Length(0));
    };
    // pingora has refused lists of different lengths and what is no number.
    let alone = lengths.next().is_none() && !first.as_bytes().contains(&b',');
    let length: u64 = first
        .to_str()
        .ok()
        .and_then(|list| list.split(',').next())
        .and_then(|length| length.trim().parse().ok())
        .ok_or(Cause::MalformedHead)?;
    // One spelling: `010` is ten by the RFC, and eight to whoever reads it as octal.
    let text = length.to_string();
    if !alone || first.as_bytes() != text.as_bytes() {
        head.insert_header(CONTENT_LENGTH, text)
            .map_err(|_| Cause::MalformedHead)?;
    }
    Ok(Body::Length(length))
}

/// Whether a response ends with its head. One to HEAD may say otherwise, and
/// is no answer to a request with a body.
pub(crate) fn is_empty(head: &ResponseHeader) -> bool {
    matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) || head
        .headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length == "0")
}

fn names_content_length(raw: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    raw.split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b':').next())
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(NAME))
}

/// The method, target and version of a raw head.
pub(crate) fn request_line(raw: &[u8]) -> &[u8] {
    let start = raw
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(raw.len());
    let line = &raw[start..];
    let end = line
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(line.len());
    &line[..end]
}

/// The target in a request line.
pub(crate) fn target(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (&'static [(&'static str, &'static str)], Result<Body, Cause>);

    #[test]
    fn a_body_has_one_length_or_chunks() {
        let cases: &[Case] = &[
            (&[], Ok(Body::Length(0))),
            (&[("Content-Length", "0")], Ok(Body::Length(0))),
            (&[("Content-Length", "12")], Ok(Body::Length(12))),
            (&[("Content-Length", "010")], Ok(Body::Length(10))),
            (
                &[("Content-Length", "12"), ("Content-Length", "12")],
                Ok(Body::Length(12)),
            ),
            (&[("Content-Length", "12, 12")], Ok(Body::Length(12))),
            (&[("Transfer-Encoding", "chunked")], Ok(Body::Chunked)),
            (&[("Transfer-Encoding", "Chunked")], Ok(Body::Chunked)),
            (
                &[("Transfer-Encoding", "gzip, chunked")],
                Err(Cause::UnknownTransferEncoding),
            ),
            (
                &[
                    ("Transfer-Encoding", "chunked"),
                    ("Transfer-Encoding", "chunked"),
                ],
                Err(Cause::UnknownTransferEncoding),
            ),
            (
                &[("Content-Length", "99999999999999999999")],
                Err(Cause::MalformedHead),
            ),
        ];
        for (fields, expected) in cases {
            let mut head = RequestHeader::build("POST", b"/", None).expect("head");
            for (name, value) in *fields {
                head.append_header((*name).to_owned(), *value)
                    .expect("header");
            }
            assert_eq!(framing(&mut head, b""), *expected, "{fields:?}");
            let Ok(Body::Length(length)) = expected else {
                continue;
            };
            let lengths: Vec<_> = head.headers.get_all(CONTENT_LENGTH).iter().collect();
            let plain = length.to_string();
            assert!(
                lengths.is_empty() || lengths == [plain.as_str()],
                "{fields:?}: {lengths:?}"
            );
        }
    }

    #[test]
    fn a_length_that_pingora_dropped_is_still_seen() {
        let mut head = RequestHeader::build("POST", b"/", None).expect("head");
        head.insert_header(TRANSFER_ENCODING, "chunked")
            .expect("header");
        let raw = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-LENGTH: 5\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(framing(&mut head, raw), Err(Cause::AmbiguousFraming));
    }

    #[test]
    fn the_target_is_what_stands_between_the_spaces() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n", b"/a?b"),
            (b"\r\nGET /a#b HTTP/1.1\n\n", b"/a#b"),
            (b"GET http://a/ HTTP/1.1\r\n\r\n", b"http://a/"),
            (b"", b""),
        ];
        for (raw, expected) in cases {
            assert_eq!(
                target(request_line(raw)),
                *expected,
                "{}",
                raw.escape_ascii()
            );
        }
    }
}
