//! What the edge reads of a head before the HTTP engine parses it: how the body
//! is framed, by rules that no two servers read differently, and the target as
//! it was sent.
//!
//! The engine then gets a head with the same meaning and only one reading: one
//! plain `Content-Length`, a target that every parser takes, and no `Expect`,
//! which the engine would answer itself.

use bytes::Bytes;

use crate::cause::Cause;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length in bytes; 0 is no body.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What a head says before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    /// The target of the request line, byte for byte.
    pub(crate) target: Bytes,
    pub(crate) framing: Framing,
    /// Whether the client waits for an interim answer before it sends a body.
    pub(crate) expects_continue: bool,
    /// Whether the client knows interim answers. A client of HTTP/1.0 does not.
    pub(crate) knows_interim: bool,
    /// Why the request cannot be served, if its head shows it.
    pub(crate) fault: Option<Cause>,
    /// Bytes of the request line, and of the whole head.
    pub(crate) line_bytes: usize,
    pub(crate) bytes: usize,
}

impl Heading {
    /// Reads a whole head, whose lines are sound, and takes from it what the
    /// engine must not see. Returns the length of what is left.
    ///
    /// Stricter than RFC 9112: a request with both `Content-Length` and
    /// `Transfer-Encoding` is refused, since no honest client sends both.
    pub(crate) fn take(head: &mut [u8]) -> (Heading, usize) {
        let mut fields = Fields::default();
        let (target, line_end) = request_line(head);
        let http_10 = head[..line_end].trim_ascii_end().ends_with(b"HTTP/1.0");
        let mut start = line_end;
        for end in memchr::memchr_iter(b'\n', &head[line_end..]) {
            let end = line_end + end + 1;
            fields.look(&head[start..end], start);
            start = end;
        }
        let (framing, fault) = match fields.framing(http_10) {
            Ok(framing) => (framing, None),
            Err(cause) => (Framing::Length(0), Some(cause)),
        };
        let heading = Heading {
            target: Bytes::copy_from_slice(&head[target.0..target.1]),
            framing,
            expects_continue: !fields.expects.is_empty() && !http_10,
            knows_interim: !http_10,
            fault,
            line_bytes: head[..line_end].trim_ascii().len(),
            bytes: head.len(),
        };
        let cuts = match fault {
            None => fields.cuts(framing),
            Some(_) => fields.all(),
        };
        let left = cut(head, cuts);
        // The target is in front of all fields.
        (heading, put(&mut head[..left], target, b"/"))
    }
}

/// Where the target lies, and where the line ends.
fn request_line(head: &[u8]) -> ((usize, usize), usize) {
    // Empty lines before a request are skipped (RFC 9112 section 2.2).
    let begin = head
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(head.len());
    let line = &head[begin..];
    let end = memchr::memchr(b'\n', line).map_or(line.len(), |at| at + 1);
    let mut spaces = memchr::memchr_iter(b' ', &line[..end]);
    let target = match (spaces.next(), spaces.next()) {
        (Some(first), Some(second)) => (begin + first + 1, begin + second),
        _ => (begin, begin),
    };
    (target, begin + end)
}

/// The fields that say where the body ends, by their lines.
#[derive(Debug, Default)]
struct Fields {
    lengths: Vec<Line>,
    codings: Vec<Line>,
    expects: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    from: usize,
    to: usize,
    value: Vec<u8>,
}

impl Fields {
    fn look(&mut self, line: &[u8], from: usize) {
        let Some(colon) = memchr::memchr(b':', line) else {
            return;
        };
        let kept = |line: &[u8]| Line {
            from,
            to: from + line.len(),
            value: line[colon + 1..].trim_ascii().to_vec(),
        };
        let name = &line[..colon];
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"expect") => {
                let line = kept(line);
                if elements(&line.value).any(is_continue) {
                    self.expects.push(line);
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.lengths.push(kept(line)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.codings.push(kept(line)),
            _ => {}
        }
    }

    fn framing(&self, http_10: bool) -> Result<Framing, Cause> {
        match (&self.codings[..], &self.lengths[..]) {
            ([], []) => Ok(Framing::Length(0)),
            ([], lengths) => length(lengths).map(Framing::Length),
            (_, [_, ..]) => Err(Cause::AmbiguousFraming),
            _ if http_10 => Err(Cause::MalformedHead),
            ([coding], []) if coding.value.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (codings, []) => Err(match codings.last() {
                Some(last) if ends_with_chunked(&last.value) => Cause::UnknownTransferEncoding,
                _ => Cause::MalformedHead,
            }),
        }
    }

    /// What the engine must not see.
    fn cuts(&self, framing: Framing) -> Vec<Cut> {
        let mut cuts: Vec<Cut> = self.expects.iter().map(Line::without_continue).collect();
        if let (Framing::Length(length), [first, more @ ..]) = (framing, &self.lengths[..]) {
            let plain = length.to_string();
            if first.value != plain.as_bytes() {
                // One spelling: `010` is ten by the RFC, and eight to whoever
                // reads it as octal.
                let with = format!("content-length: {plain}\r\n").into_bytes();
                cuts.push(Cut {
                    with,
                    ..first.cut()
                });
            }
            cuts.extend(more.iter().map(Line::cut));
        }
        cuts
    }

    /// All fields that say where the body ends, since a refused request has no
    /// body.
    fn all(&self) -> Vec<Cut> {
        let lines = self.expects.iter().chain(&self.lengths);
        lines.chain(&self.codings).map(Line::cut).collect()
    }
}

impl Line {
    /// Takes `100-continue` out of an `Expect`, and leaves other expectations to
    /// the endpoint.
    fn without_continue(&self) -> Cut {
        let rest: Vec<&[u8]> = elements(&self.value)
            .filter(|element| !element.is_empty() && !is_continue(element))
            .collect();
        let with = match rest.is_empty() {
            true => Vec::new(),
            false => [b"expect: ", &rest.join(&b", "[..])[..], b"\r\n"].concat(),
        };
        Cut { with, ..self.cut() }
    }

    fn cut(&self) -> Cut {
        Cut {
            from: self.from,
            to: self.to,
            with: Vec::new(),
        }
    }
}

/// The one length that all of the lines give.
fn length(lines: &[Line]) -> Result<u64, Cause> {
    let mut found = None;
    for text in lines
        .iter()
        .flat_map(|line| line.value.split(|byte| *byte == b','))
    {
        let text = text.trim_ascii();
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Err(Cause::MalformedHead);
        }
        let length = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok());
        match (found, length) {
            (_, None) => return Err(Cause::MalformedHead),
            (Some(found), Some(length)) if found != length => return Err(Cause::MalformedHead),
            (_, length) => found = length,
        }
    }
    found.ok_or(Cause::MalformedHead)
}

/// The elements of a list, of which some may be empty.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let elements = list.split(|byte| *byte == b',');
    elements.map(<[u8]>::trim_ascii)
}

/// The one expectation that HTTP knows (RFC 9110 section 10.1.1).
fn is_continue(expectation: &[u8]) -> bool {
    expectation.eq_ignore_ascii_case(b"100-continue")
}

fn ends_with_chunked(codings: &[u8]) -> bool {
    codings
        .rsplit(|byte| *byte == b',')
        .next()
        .is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// A piece of a head, and the bytes that replace it, which are not longer.
#[derive(Debug)]
struct Cut {
    from: usize,
    to: usize,
    with: Vec<u8>,
}

/// Makes the cuts, the last one in the head first, so that the places of the
/// others stay true. Returns the length that is left.
fn cut(head: &mut [u8], mut cuts: Vec<Cut>) -> usize {
    cuts.sort_by_key(|cut| std::cmp::Reverse(cut.from));
    let mut length = head.len();
    for Cut { from, to, with } in cuts {
        length = put(&mut head[..length], (from, to), &with);
    }
    length
}

/// Puts `with` in the place of a piece. Returns the length that is left.
fn put(head: &mut [u8], (from, to): (usize, usize), with: &[u8]) -> usize {
    let end = from + with.len().min(to - from);
    head[from..end].copy_from_slice(&with[..end - from]);
    head.copy_within(to.., end);
    head.len() - (to - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(head: &str) -> (Heading, String) {
        let mut bytes = head.as_bytes().to_vec();
        let (heading, length) = Heading::take(&mut bytes);
        bytes.truncate(length);
        (heading, String::from_utf8(bytes).expect("text"))
    }

    fn framing(fields: &str) -> Result<Framing, Cause> {
        let (heading, _) = taken(&format!("POST / HTTP/1.1\r\n{fields}\r\n"));
        heading.fault.map_or(Ok(heading.framing), Err)
    }

    #[test]
    fn a_body_has_one_length_or_chunks() {
        let cases = [
            ("", Ok(Framing::Length(0))),
            ("Content-Length: 0\r\n", Ok(Framing::Length(0))),
            ("Content-Length: 12\r\n", Ok(Framing::Length(12))),
            ("content-length:\t010 \r\n", Ok(Framing::Length(10))),
            (
                "Content-Length: 12\r\nContent-Length: 12\r\n",
                Ok(Framing::Length(12)),
            ),
            ("Content-Length: 12, 12\r\n", Ok(Framing::Length(12))),
            ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
            (
                "Transfer-Encoding: gzip, chunked\r\n",
                Err(Cause::UnknownTransferEncoding),
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Err(Cause::UnknownTransferEncoding),
            ),
            ("Transfer-Encoding: gzip\r\n", Err(Cause::MalformedHead)),
            (
                "content-LENGTH: 5\r\ntransfer-encoding: chunked\r\n",
                Err(Cause::AmbiguousFraming),
            ),
            (
                "Content-Length: 12\r\nContent-Length: 13\r\n",
                Err(Cause::MalformedHead),
            ),
            ("Content-Length: 1, 2\r\n", Err(Cause::MalformedHead)),
            ("Content-Length: 1,\r\n", Err(Cause::MalformedHead)),
            ("Content-Length:\r\n", Err(Cause::MalformedHead)),
            ("Content-Length: +5\r\n", Err(Cause::MalformedHead)),
            ("Content-Length: 0x5\r\n", Err(Cause::MalformedHead)),
            ("Content-Length: 5 5\r\n", Err(Cause::MalformedHead)),
            (
                "Content-Length: 99999999999999999999\r\n",
                Err(Cause::MalformedHead),
            ),
        ];
        for (fields, expected) in cases {
            assert_eq!(framing(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn chunks_are_unknown_to_http_1_0() {
        let (heading, _) = taken("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(heading.fault, Some(Cause::MalformedHead));
    }

    #[test]
    fn the_engine_sees_one_length_no_expectation_and_a_plain_target() {
        let (heading, left) = taken(
            "\r\nPOST /a?<b> HTTP/1.1\r\nhost: a\r\nContent-Length: 03\r\nExpect: 100-Continue\r\n\
             content-length: 3\r\nx: y\r\n\r\n",
        );
        assert_eq!(
            left,
            "\r\nPOST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nx: y\r\n\r\n"
        );
        assert_eq!(heading.target, "/a?<b>");
        assert!(heading.expects_continue);
        assert_eq!(heading.line_bytes, "POST /a?<b> HTTP/1.1".len());
    }

    #[test]
    fn the_engine_sees_no_expectation_of_several() {
        let (heading, left) = taken(
            "POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\nExpect:100-continue, 100-Continue\r\n\r\n",
        );
        assert_eq!(left, "POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\n");
        assert!(heading.expects_continue);
    }

    #[test]
    fn the_engine_sees_no_framing_of_a_request_that_is_refused() {
        for fields in [
            "Content-Length:\r\n",
            "content-length: 1\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
        ] {
            let (heading, left) = taken(&format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"));
            assert!(heading.fault.is_some(), "{fields:?}");
            assert_eq!(left, "POST / HTTP/1.1\r\nhost: a\r\n\r\n", "{fields:?}");
        }
    }

    #[test]
    fn a_usual_head_stays_as_it_is() {
        let head = "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nexpect: nothing\r\n\r\n";
        let (heading, left) = taken(head);
        assert_eq!(left, head);
        assert_eq!(heading.target, "/");
        assert_eq!(heading.bytes, head.len());
        assert!(!heading.expects_continue);
    }
}
