//! An upstream that keeps what it receives, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers each request with 200 and its own name, once the request is complete, and keeps every byte of every
/// connection.
pub(crate) struct Recorder {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Starts it on a free port of loopback.
    pub(crate) async fn start(name: &'static str) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let at = {
                    let mut kept = kept.lock().expect("connections");
                    kept.push(Vec::new());
                    kept.len() - 1
                };
                tokio::spawn(serve(stream, name, kept.clone(), at));
            }
        });
        Recorder {
            address,
            connections,
            task,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came on each connection so far.
    pub(crate) fn received(&self) -> Vec<String> {
        let connections = self.connections.lock().expect("connections");
        let texts = connections
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        texts.collect()
    }

    /// Every request line so far, in the order of connections.
    pub(crate) fn request_lines(&self) -> Vec<String> {
        let lines = self.received().into_iter().flat_map(|text| {
            let lines = text.lines().filter(|line| line.ends_with(" HTTP/1.1"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        });
        lines.collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, name: &str, kept: Arc<Mutex<Vec<Vec<u8>>>>, at: usize) {
    let mut pending = Vec::new();
    let mut piece = [0; 16 * 1024];
    while let Ok(read) = stream.read(&mut piece).await {
        if read == 0 {
            return;
        }
        kept.lock().expect("connections")[at].extend_from_slice(&piece[..read]);
        pending.extend_from_slice(&piece[..read]);
        while let Some(end) = end_of_request(&pending) {
            pending.drain(..end);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-instance: {name}\r\ncontent-length: {}\r\n\r\n{name}",
                name.len()
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// How long the first request is, once it is complete.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let start = bytes.len() - body.len();
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        let (content, _) = body.split_once("0\r\n\r\n")?;
        return Some(start + content.len() + 5);
    }
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
        let digits = rest.lines().next().expect("a line");
        digits.parse().expect("a length")
    });
    (body.len() >= length).then_some(start + length)
}
