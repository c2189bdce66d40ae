//! gRPC-Web: gRPC for clients that see no trailers, such as browsers (the
//! protocol: PROTOCOL-WEB of gRPC).
//!
//! The messages of a call are framed as in gRPC. Three things differ: the content
//! type; the trailers, which are the last frame of an answer's body; and the text
//! form, whose bodies are in base64. Any other request passes unchanged.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use pailou_filters::elements;

use crate::base64::{self, Decoder};

const GRPC: &[u8] = b"application/grpc";
const WEB: &[u8] = b"application/grpc-web";
const TEXT: &[u8] = b"-text";

/// The flag of a frame that has trailers and no message.
const TRAILERS: u8 = 0x80;

/// How a client of gRPC-Web is answered.
#[derive(Debug)]
pub(crate) struct Web {
    /// In base64.
    text: bool,
    /// Behind the content type, such as `+proto`.
    suffix: Vec<u8>,
}

/// A content type of gRPC-Web, taken apart.
struct Kind<'a> {
    text: bool,
    suffix: &'a [u8],
}

impl<'a> Kind<'a> {
    fn of(value: &'a [u8]) -> Option<Kind<'a>> {
        let rest = after(value, WEB)?;
        let (text, suffix) = match after(rest, TEXT) {
            Some(suffix) => (true, suffix),
            None => (false, rest),
        };
        matches!(suffix.first(), None | Some(b'+' | b';' | b' ')).then_some(Kind { text, suffix })
    }
}

/// What follows `with`, in any case.
fn after<'a>(value: &'a [u8], with: &[u8]) -> Option<&'a [u8]> {
    let (begin, rest) = value.split_at_checked(with.len())?;
    begin.eq_ignore_ascii_case(with).then_some(rest)
}

/// Whether the request is a call of gRPC-Web.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    value.is_some_and(|value| Kind::of(value.as_bytes()).is_some())
}

impl Web {
    /// Turns the head of such a call into one of gRPC. Also returns the decoder of its
    /// body, if it needs one. `None` if it is no such call.
    pub(crate) fn begin(headers: &mut HeaderMap) -> Option<(Web, Option<Decoder>)> {
        let value = headers.get(header::CONTENT_TYPE)?.clone();
        let kind = Kind::of(value.as_bytes())?;
        let accepted = elements(headers, &header::ACCEPT).find_map(Kind::of);
        let web = Web {
            text: accepted.map_or(kind.text, |accepted| accepted.text),
            suffix: kind.suffix.to_vec(),
        };
        headers.remove(header::ACCEPT);
        headers.insert(header::CONTENT_TYPE, typed(&[GRPC, kind.suffix])?);
        if !kind.text {
            return Some((web, None));
        }
        if headers.remove(header::CONTENT_LENGTH).is_some() {
            let chunked = HeaderValue::from_static("chunked");
            headers.insert(header::TRANSFER_ENCODING, chunked);
        }
        Some((web, Some(Decoder::default())))
    }

    /// Turns an answer's head into one of gRPC-Web. If the answer ends with its head,
    /// returns the whole body. `None` if it is not an answer of gRPC.
    pub(crate) fn answer(&self, headers: &mut HeaderMap, is_over: bool) -> Option<Option<Bytes>> {
        let value = headers.get(header::CONTENT_TYPE)?.clone();
        let suffix = match after(value.as_bytes(), GRPC)? {
            [] => &self.suffix[..],
            suffix => suffix,
        };
        let text = if self.text { TEXT } else { b"" };
        headers.insert(header::CONTENT_TYPE, typed(&[WEB, text, suffix])?);
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRAILER);
        Some(is_over.then(|| self.trailers(&taken(headers))))
    }

    /// A piece of an answer's body, as the client reads it.
    pub(crate) fn frame(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let frame = match frame.into_trailers() {
            Ok(trailers) => return Frame::data(self.trailers(&trailers)),
            Err(frame) => frame,
        };
        match self.text {
            true => frame.map_data(|piece| base64::encode(&piece)),
            false => frame,
        }
    }

    fn trailers(&self, trailers: &HeaderMap) -> Bytes {
        let mut lines = BytesMut::new();
        for (name, value) in trailers {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        let mut frame = BytesMut::with_capacity(5 + lines.len());
        frame.put_u8(TRAILERS);
        frame.put_u32(u32::try_from(lines.len()).unwrap_or(0));
        frame.extend_from_slice(&lines);
        match self.text {
            true => base64::encode(&frame),
            false => frame.freeze(),
        }
    }
}

fn typed(parts: &[&[u8]]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&parts.concat()).ok()
}

/// Removes the trailers from a head, and returns them. A page of another origin can
/// read bodies, but only some headers.
fn taken(headers: &mut HeaderMap) -> HeaderMap {
    const OF_STATUS: [HeaderName; 3] = [
        HeaderName::from_static("grpc-status"),
        HeaderName::from_static("grpc-message"),
        HeaderName::from_static("grpc-status-details-bin"),
    ];
    let taken = OF_STATUS.into_iter();
    taken
        .filter_map(|name| headers.remove(&name).map(|value| (name, value)))
        .collect()
}

#[cfg(test)]
mod tests;
