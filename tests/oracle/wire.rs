//! HTTP/1.1 on a socket, byte for byte: no library of HTTP changes what was sent.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::exchange::{Headers, values};

/// A head is never larger in these tests.
const MAX_HEAD_BYTES: usize = 256 * 1024;

/// Reads messages from a stream.
pub(crate) struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

/// The first line and the header lines of a message.
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) headers: Headers,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    /// The framing of a request.
    pub(crate) fn of_request(headers: &Headers) -> Framing {
        Framing::of(headers).unwrap_or(Framing::None)
    }

    /// The framing of an answer.
    pub(crate) fn of_answer(status: u16, to_head: bool, headers: &Headers) -> Framing {
        if to_head || status < 200 || status == 204 || status == 304 {
            return Framing::None;
        }
        Framing::of(headers).unwrap_or(Framing::UntilClose)
    }

    fn of(headers: &Headers) -> Option<Framing> {
        let codings = values(headers, "transfer-encoding");
        if codings
            .iter()
            .any(|c| c.to_ascii_lowercase().contains("chunked"))
        {
            return Some(Framing::Chunked);
        }
        let length = values(headers, "content-length").first()?.parse().ok()?;
        Some(Framing::Length(length))
    }
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(stream: R) -> Reader<R> {
        Reader {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The stream itself, for writing.
    pub(crate) fn stream(&mut self) -> &mut R {
        &mut self.stream
    }

    /// The next head, or nothing at the end of the stream.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > MAX_HEAD_BYTES || !self.more().await.ok()? {
                return None;
            }
        };
        let text = latin1(&self.buffer[..end]);
        self.buffer.drain(..end + 4);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        });
        Some(Head {
            first,
            headers: headers.collect(),
        })
    }

    /// Appends a body to `body` as it comes, and says whether all of it came.
    pub(crate) async fn body(&mut self, framing: Framing, mut body: impl FnMut(&[u8])) -> bool {
        match framing {
            Framing::None => true,
            Framing::Length(length) => self.take(length, &mut body).await,
            Framing::UntilClose => loop {
                body(&self.buffer);
                self.buffer.clear();
                match self.more().await {
                    Ok(true) => {}
                    Ok(false) => return true,
                    Err(_) => return false,
                }
            },
            Framing::Chunked => self.chunks(&mut body).await,
        }
    }

    /// The next bytes as they come; nothing at the end.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            let _ = self.more().await;
        }
        std::mem::take(&mut self.buffer)
    }

    async fn chunks(&mut self, body: &mut impl FnMut(&[u8])) -> bool {
        loop {
            let Some(size) = self.line().await else {
                return false;
            };
            let size = size.split(';').next().unwrap_or_default().trim().to_owned();
            let Ok(size) = usize::from_str_radix(&size, 16) else {
                return false;
            };
            if size == 0 {
                // Trailers, up to an empty line.
                while let Some(line) = self.line().await {
                    if line.is_empty() {
                        return true;
                    }
                }
                return false;
            }
            if !self.take(size, body).await || self.line().await.is_none() {
                return false;
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = latin1(&self.buffer[..at]);
                self.buffer.drain(..at + 2);
                return Some(line);
            }
            if !self.more().await.ok()? {
                return None;
            }
        }
    }

    async fn take(&mut self, length: usize, body: &mut impl FnMut(&[u8])) -> bool {
        let mut left = length;
        loop {
            let piece = left.min(self.buffer.len());
            body(&self.buffer[..piece]);
            self.buffer.drain(..piece);
            left -= piece;
            if left == 0 {
                return true;
            }
            if !matches!(self.more().await, Ok(true)) {
                return false;
            }
        }
    }

    async fn more(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        let read = self.stream.read(&mut piece).await?;
        self.buffer.extend_from_slice(&piece[..read]);
        Ok(read > 0)
    }
}

/// Bytes as text, each byte the character of its number.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The way back.
///
/// # Panics
/// At a character that is no byte.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let byte = |c: char| u8::try_from(c).unwrap_or_else(|_| panic!("no byte: {c:?} in {text:?}"));
    text.chars().map(byte).collect()
}

fn find(bytes: &[u8], piece: &[u8]) -> Option<usize> {
    bytes
        .windows(piece.len())
        .position(|window| window == piece)
}

#[tokio::test]
async fn heads_and_bodies_are_read_to_their_last_byte() {
    let sent = b"POST /a HTTP/1.1\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nT: t\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    let mut reader = Reader::new(&sent[..]);
    let head = reader.head().await.expect("a head");
    assert_eq!(head.first, "POST /a HTTP/1.1");
    let mut body = Vec::new();
    let framing = Framing::of_request(&head.headers);
    assert!(
        reader
            .body(framing, |piece| body.extend_from_slice(piece))
            .await
    );
    assert_eq!(body, b"abcde");
    assert_eq!(
        reader.head().await.expect("a head").first,
        "GET /b HTTP/1.1"
    );
    assert!(reader.head().await.is_none());

    let mut reader = Reader::new(&b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"[..]);
    let head = reader.head().await.expect("a head");
    let framing = Framing::of_answer(200, false, &head.headers);
    assert!(
        !reader.body(framing, |_| ()).await,
        "an end that is too early"
    );
}
