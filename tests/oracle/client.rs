//! The client of the cases: exact bytes out, the answer in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::corpus::Case;
use crate::exchange::{Answer, values};
use crate::wire::{Framing, Reader, bytes, latin1};

/// How long an answer may take. Generous, since the machines that run this are slow and shared.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a frame may take after an upgrade: the other side may be one that never sends any.
const FRAME_PATIENCE: Duration = Duration::from_secs(2);
/// Where Spring Cloud Gateway listened. Requests name it in `Host`, whatever port the gateway has here.
const HOST: &str = "127.0.0.1:18090";

/// The bytes of a case's request.
pub(crate) fn request(case: &Case) -> Vec<u8> {
    if let Some(raw) = &case.raw {
        return bytes(raw);
    }
    let encode = |text: &str| match case.utf8 {
        true => text.as_bytes().to_vec(),
        false => bytes(text),
    };
    let line = case.r.as_deref().expect("a request line");
    let host = case.host.as_deref().unwrap_or(HOST);
    let mut request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    for (name, value) in &case.h {
        request.extend_from_slice(format!("{name}: ").as_bytes());
        request.extend_from_slice(&encode(value));
        request.extend_from_slice(b"\r\n");
    }
    let body = case.body.as_ref();
    if case.chunked {
        request.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else if let Some(body) = body.filter(|_| values(&case.h, "content-length").is_empty()) {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    let body = body.map(String::as_bytes).unwrap_or_default();
    if case.chunked {
        request.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        request.extend_from_slice(body);
        request.extend_from_slice(b"\r\n0\r\n\r\n");
    } else {
        request.extend_from_slice(body);
    }
    request
}

/// Sends a request on a fresh connection and reads the first answer; nothing if none came.
pub(crate) async fn send(to: SocketAddr, from: Option<IpAddr>, request: &[u8]) -> Option<Answer> {
    let mut answer = Answer::default();
    let exchange = exchange(to, from, request, &mut answer);
    let whole = tokio::time::timeout(PATIENCE, exchange).await;
    match whole {
        Ok(Some(())) => Some(answer),
        Ok(None) => None,
        // What came until then, if it was a head.
        Err(_) => {
            answer.truncated = true;
            Some(answer).filter(|answer| answer.status != 0)
        }
    }
}

async fn exchange(
    to: SocketAddr,
    from: Option<IpAddr>,
    request: &[u8],
    answer: &mut Answer,
) -> Option<()> {
    let mut reader = Reader::new(connect(to, from).await?);
    // The gateway may answer and close before it has read all of it.
    let _ = reader.stream().write_all(request).await;
    let to_head = request.starts_with(b"HEAD ");
    loop {
        let head = reader.head().await?;
        let mut words = head.first.splitn(3, ' ').skip(1);
        let status = words.next()?.parse().ok()?;
        let reason = words.next().unwrap_or_default().to_owned();
        if (100..200).contains(&status) && status != 101 {
            answer.interim.push(head.first);
            continue;
        }
        answer.status = status;
        answer.reason = reason;
        answer.headers = head.headers;
        break;
    }
    if answer.status == 101 {
        let frame = tokio::time::timeout(FRAME_PATIENCE, reader.some()).await;
        answer.ws_first_frame = frame.ok().map(|frame| latin1(&frame));
        return Some(());
    }
    let framing = Framing::of_answer(answer.status, to_head, &answer.headers);
    let (body, length) = (&mut answer.body, &mut answer.body_len);
    let whole = reader.body(framing, |piece| {
        body.push_str(&latin1(piece));
        *length += piece.len();
    });
    answer.truncated = !whole.await;
    Some(())
}

async fn connect(to: SocketAddr, from: Option<IpAddr>) -> Option<TcpStream> {
    let Some(from) = from else {
        return TcpStream::connect(to).await.ok();
    };
    let socket = match from {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.ok()?;
    socket.bind((from, 0).into()).ok()?;
    socket.connect(to).await.ok()
}

#[test]
fn requests_are_the_bytes_that_the_case_names() {
    let case = |json: &str| serde_json::from_str::<Case>(json).expect("a case");
    let plain = case(r#"{"n":0,"r":"POST /a b","host":"h","h":[["X","é"]],"body":"xyz"}"#);
    assert_eq!(
        request(&plain),
        b"POST /a b HTTP/1.1\r\nHost: h\r\nX: \xe9\r\nContent-Length: 3\r\n\r\nxyz"
    );
    let chunked = case(r#"{"n":0,"r":"POST /","body":"xyz","chunked":true}"#);
    assert!(request(&chunked).ends_with(b"chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n"));
    let raw = case(r#"{"n":0,"raw":"GET /caf\u00c3\u00a9\r\n"}"#);
    assert_eq!(request(&raw), "GET /café\r\n".as_bytes());
}
