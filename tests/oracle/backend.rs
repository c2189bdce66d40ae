//! Backends that keep what they get and answer as a case says.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::corpus::{Close, Script, Step};
use crate::exchange::{UpstreamRequest, values};
use crate::wire::{Framing, Head, Reader, bytes, latin1};

/// What `b1` to `b5` are called.
pub(crate) const NAMES: [&str; 5] = ["b1", "b2", "b3", "b4", "b5"];

/// Five backends with one script and one record.
pub(crate) struct Backends {
    addresses: Vec<SocketAddr>,
    play: Arc<Mutex<Play>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What goes on in one case.
#[derive(Default)]
struct Play {
    script: Script,
    /// How many requests have come.
    at: usize,
    seen: Vec<UpstreamRequest>,
    /// Which case it is: what a request of an earlier one still sends is not taken for this one's.
    scene: usize,
}

impl Backends {
    /// Starts them on free ports of loopback.
    pub(crate) async fn start() -> Backends {
        let play: Arc<Mutex<Play>> = Arc::default();
        let (mut addresses, mut tasks) = (Vec::new(), Vec::new());
        for name in NAMES {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listener = listener.expect("a port");
            addresses.push(listener.local_addr().expect("an address"));
            let play = play.clone();
            tasks.push(tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, name, play.clone()));
                }
            }));
        }
        Backends {
            addresses,
            play,
            tasks,
        }
    }

    /// Where they listen, `b1` first.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Begins a case: the record is empty, the script at its start.
    pub(crate) fn begin(&self, script: &Script) {
        let mut play = self.play.lock().expect("the play");
        *play = Play {
            script: script.clone(),
            scene: play.scene + 1,
            ..Play::default()
        };
    }

    /// What they have got since then.
    pub(crate) fn seen(&self) -> Vec<UpstreamRequest> {
        self.play.lock().expect("the play").seen.clone()
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Play {
    /// Notes a request and says what to do with it, and where it stands in the record.
    fn enter(&mut self, request: UpstreamRequest) -> (Step, usize, usize) {
        self.seen.push(request);
        let step = match &self.script {
            Script::Always(step) => step.as_ref().clone(),
            Script::Each(steps) => {
                let last = steps.len().saturating_sub(1);
                steps.get(self.at.min(last)).cloned().unwrap_or_default()
            }
        };
        self.at += 1;
        (step, self.scene, self.seen.len() - 1)
    }
}

async fn serve(stream: TcpStream, name: &'static str, play: Arc<Mutex<Play>>) {
    let mut reader = Reader::new(stream);
    while let Some(head) = reader.head().await {
        let framing = Framing::of_request(&head.headers);
        let upgrade = values(&head.headers, "upgrade");
        let upgrades = upgrade
            .iter()
            .any(|to| to.eq_ignore_ascii_case("websocket"));
        let to_head = head.first.starts_with("HEAD ");
        let expects = !values(&head.headers, "expect").is_empty() && framing != Framing::None;
        let key = values(&head.headers, "sec-websocket-key").first().copied();
        let key = key.unwrap_or_default().to_owned();
        let (step, scene, at) = {
            let mut play = play.lock().expect("the play");
            play.enter(request(name, head))
        };
        if expects {
            let _ = reader
                .stream()
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await;
        }
        let whole = reader.body(framing, |piece| {
            let mut play = play.lock().expect("the play");
            if play.scene == scene {
                let seen = &mut play.seen[at];
                seen.body.push_str(&latin1(piece));
                seen.body_len += piece.len();
            }
        });
        if !whole.await {
            return;
        }
        if let Some(seconds) = step.delay {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        if upgrades {
            let _ = reader.stream().write_all(&hello(&key)).await;
            // Until the other side has enough.
            while !reader.some().await.is_empty() {}
            return;
        }
        if !answer(reader.stream(), &step, name, to_head).await {
            return;
        }
    }
}

fn request(backend: &str, head: Head) -> UpstreamRequest {
    let mut parts = head.first.splitn(2, ' ');
    let method = parts.next().unwrap_or_default().to_owned();
    let target = parts.next().unwrap_or_default();
    let target = target
        .strip_suffix(" HTTP/1.1")
        .unwrap_or(target)
        .to_owned();
    UpstreamRequest {
        backend: backend.to_owned(),
        method,
        target,
        headers: head.headers,
        ..UpstreamRequest::default()
    }
}

/// Answers, and says whether the connection goes on.
async fn answer(stream: &mut TcpStream, step: &Step, name: &str, to_head: bool) -> bool {
    match step.close {
        Some(Close::Before) => return false,
        Some(Close::Rst) => {
            // With nothing to linger for, closing is a reset.
            let _ = stream.set_zero_linger();
            return false;
        }
        Some(Close::Mid) | None => {}
    }
    let (mut bytes, goes_on) = match &step.raw {
        Some(raw) => (bytes(raw), true),
        None => message(step, name, to_head),
    };
    if step.close == Some(Close::Mid) && !step.chunked {
        let half = step.body.as_ref().map_or(0, |body| body.len() / 2);
        bytes.truncate(bytes.len() - half);
    }
    let written = stream.write_all(&bytes).await.is_ok();
    written && goes_on && step.close.is_none() && !step.then_close
}

/// The bytes of an answer, and whether the connection goes on after it.
fn message(step: &Step, name: &str, to_head: bool) -> (Vec<u8>, bool) {
    let status = step.status.unwrap_or(200);
    let known = http::StatusCode::from_u16(status).ok();
    let known = known.and_then(|status| status.canonical_reason());
    let reason = step.reason.as_deref().or(known).unwrap_or("Status");
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in &step.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let content_type = step.ct.as_deref().unwrap_or("application/json");
    head += &format!("Content-Type: {content_type}\r\nX-Backend: {name}\r\n");
    let body = step.body.clone();
    let body = body.unwrap_or_else(|| format!("{{\"backend\":\"{name}\"}}"));
    let bodyless = matches!(status, 204 | 304);
    if step.chunked {
        head += "Transfer-Encoding: chunked\r\n";
    } else if !step.until_close && !bodyless {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut message = bytes(&head);
    message.extend_from_slice(b"\r\n");
    if !to_head && !bodyless && step.chunked {
        message.extend_from_slice(format!("{:x}\r\n{body}\r\n", body.len()).as_bytes());
        if step.close.is_none() {
            message.extend_from_slice(b"0\r\n\r\n");
        }
    } else if !to_head && !bodyless {
        message.extend_from_slice(body.as_bytes());
    }
    let closes = values(&step.headers, "connection");
    let closes = closes.iter().any(|value| value.contains("close"));
    (message, !step.until_close && !closes)
}

/// The answer to an upgrade to WebSocket, and a first text frame.
fn hello(key: &str) -> Vec<u8> {
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    let mut bytes = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
    .into_bytes();
    bytes.extend_from_slice(b"\x81\x05hello");
    bytes
}
