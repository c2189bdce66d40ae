//! A client that sends the bytes it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any wait in these tests, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// A response, its body decoded.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("connect");
        stream.set_nodelay(true).expect("no delay");
        Client {
            stream,
            read: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("send");
    }

    /// Sends a request without a body and reads the answer.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: gateway.test\r\n\r\n"))
            .await;
        self.answer().await
    }

    /// Sends a request with a body and reads the answer.
    pub(crate) async fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        let length = body.len();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: gateway.test\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
        self.send(body).await;
        self.answer().await
    }

    /// Reads a response head, and the informational ones before it if any
    /// has been asked for by its status.
    pub(crate) async fn head(&mut self) -> (u16, String) {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.fill().await,
                "closed within a head: {}",
                self.read.escape_ascii()
            );
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).expect("a head in ASCII");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status");
        (status, head.to_ascii_lowercase())
    }

    /// Reads a whole response.
    pub(crate) async fn answer(&mut self) -> Answer {
        let (status, head) = self.head().await;
        let body = if matches!(status, 204 | 304) {
            Vec::new()
        } else if header(&head, "transfer-encoding") == Some("chunked") {
            self.chunks().await
        } else if let Some(length) = header(&head, "content-length") {
            self.exactly(length.parse().expect("a length")).await
        } else {
            self.rest().await
        };
        Answer { status, head, body }
    }

    /// Reads so many bytes.
    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(
                self.fill().await,
                "closed within a body of {length}: {}",
                self.read.len()
            );
        }
        self.read.drain(..length).collect()
    }

    /// Reads one chunk; empty is the last one.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                break end;
            }
            assert!(self.fill().await, "closed within a chunk's head");
        };
        let line: Vec<u8> = self.read.drain(..end + 2).collect();
        let size = std::str::from_utf8(&line[..end]).expect("ASCII");
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        let mut chunk = self.exactly(size + 2).await;
        chunk.truncate(size);
        chunk
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                return body;
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// Reads until the connection closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.read)
    }

    /// Reads what comes within a moment.
    pub(crate) async fn rest_within_a_moment(&mut self) -> Vec<u8> {
        let _ = timeout(Duration::from_millis(300), async {
            while self.fill().await {}
        })
        .await;
        std::mem::take(&mut self.read)
    }

    /// Whether the connection was closed with nothing more to read.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill().await
    }

    /// Reads some more; false at the end, or on a reset.
    async fn fill(&mut self) -> bool {
        let mut buf = [0; 65536];
        let read = timeout(PATIENCE, self.stream.read(&mut buf))
            .await
            .expect("an answer in time");
        match read {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.read.extend_from_slice(&buf[..read]);
                true
            }
        }
    }
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn problem(&self) -> serde_json::Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.head
        );
        serde_json::from_slice(&self.body).expect("a problem in JSON")
    }

    /// The cause in a problem.
    pub(crate) fn cause(&self) -> String {
        self.problem()["cause"]
            .as_str()
            .expect("a cause")
            .to_owned()
    }
}

/// The value of a header in a lower-case head.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found == name).then_some(value.trim())
    })
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
