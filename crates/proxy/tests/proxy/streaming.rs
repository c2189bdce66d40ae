//! Bodies are passed on as they come, both ways.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::gateway::{ANY, Gateway};
use crate::upstream::{Step, Upstream, ok, read_head};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn an_event_arrives_before_the_stream_ends() {
    let upstream = Upstream::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        vec![
            Step::Send(head.to_vec()),
            Step::Send(b"9\r\ndata: 1\n\n\r\n".to_vec()),
            Step::Wait(Duration::from_millis(1500)),
            Step::Send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n".to_vec()),
        ]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    let begun = Instant::now();
    client.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head().await.0, 200);
    assert_eq!(client.chunk().await, b"data: 1\n\n");
    assert!(
        begun.elapsed() < Duration::from_millis(1000),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(client.chunk().await, b"data: 2\n\n");
    assert_eq!(client.chunk().await, b"");
}

#[tokio::test]
async fn a_silent_stream_lives_as_long_as_pieces_come_in_time() {
    let upstream = Upstream::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let piece = [
            Step::Wait(Duration::from_millis(150)),
            Step::Send(b"1\r\nx\r\n".to_vec()),
        ];
        let pieces = (0..6).flat_map(move |_| piece.clone());
        std::iter::once(Step::Send(head))
            .chain(pieces)
            .chain([Step::Send(b"0\r\n\r\n".to_vec())])
            .collect()
    })
    .await;
    let routes =
        "routes: { any: { path: /**, service: users, timeout: 600ms, read_timeout: 600ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    assert_eq!(gateway.connect().await.get("/").await.text(), "xxxxxx");
}

#[tokio::test]
async fn big_bodies_pass_both_ways() {
    let upstream = Upstream::start(|request| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            request.body.len()
        );
        vec![
            Step::Send(head.into_bytes()),
            Step::Send(request.body.clone()),
        ]
    })
    .await;
    let settings = [("PAILOU_LIMITS_BODY_BYTES", "32MiB")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let body: Vec<u8> = (0..20 * MIB)
        .map(|index| (index * 31 % 251) as u8)
        .collect();
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        let answer = client.post("/", &body).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == body, "every byte came back");
    }
}

/// An endpoint that sends back what it gets while it gets it: both sides
/// write at once, and neither may wait for the other.
#[tokio::test]
async fn an_echo_while_uploading_does_not_lock_up() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 20 * MIB);
        stream.write_all(head.as_bytes()).await.expect("head");
        echo_bytes(&mut stream, 20 * MIB).await;
    })
    .await;
    let settings = [("PAILOU_LIMITS_BODY_BYTES", "32MiB")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let client = gateway.connect().await;
    let (mut reading, mut writing) = client.stream.into_split();
    let upload = tokio::spawn(async move {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
            20 * MIB
        );
        writing.write_all(head.as_bytes()).await.expect("head");
        writing
            .write_all(&vec![b'a'; 20 * MIB])
            .await
            .expect("body");
        writing
    });
    let mut got = 0;
    let mut buf = vec![0; 65536];
    while got < 20 * MIB {
        let read = tokio::time::timeout(Duration::from_secs(20), reading.read(&mut buf));
        let read = read.await.expect("it does not lock up").expect("read");
        assert!(read > 0, "the answer is whole: {got}");
        got += read;
    }
    upload.await.expect("the upload ends");
}

#[tokio::test]
async fn an_endpoint_that_stops_reading_is_504() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let settings = [
        ("PAILOU_LIMITS_BODY_BYTES", "64MiB"),
        ("PAILOU_LIMITS_UPSTREAM_WRITE_TIMEOUT", "300ms"),
    ];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let client = gateway.connect().await;
    let (mut reading, mut writing) = client.stream.into_split();
    let upload = tokio::spawn(async move {
        let length = 40 * MIB;
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        // Cut short by the answer.
        let _ = writing.write_all(head.as_bytes()).await;
        let _ = writing.write_all(&vec![b'a'; length]).await;
    });
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(20), reading.read(&mut answer));
    let read = read.await.expect("an answer in time").expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("upstream_write_timeout"), "{answer}");
    drop(reading);
    upload.await.expect("the client");
}

/// The client is not at fault while the endpoint is slow: nobody reads it then.
#[tokio::test]
async fn a_slow_endpoint_is_not_a_slow_client() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let mut left = 40 * MIB;
        let mut buf = vec![0; MIB];
        let mut slow = 0;
        while left > 0 {
            if slow < 4 {
                slow += 1;
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            left -= stream.read(&mut buf).await.expect("the body");
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.expect("answer");
    })
    .await;
    let settings = [
        ("PAILOU_LIMITS_BODY_BYTES", "64MiB"),
        ("PAILOU_LIMITS_BODY_TIMEOUT", "200ms"),
    ];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    let answer = client.post("/", &vec![b'a'; 40 * MIB]).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_body_is_asked_for_with_100_continue() {
    let upstream = Upstream::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.expect("a head");
        assert!(head.contains("expect: 100-continue"), "{head}");
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .expect("continue");
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.expect("body");
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        stream.write_all(answer).await.expect("answer");
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.head().await.0, 100);
    client.send("abcde").await;
    assert_eq!(client.answer().await.text(), "hello");
}

#[tokio::test]
async fn a_body_that_is_not_wanted_is_not_asked_for() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_BODY_BYTES", "1KiB")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\nexpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 413);
}

/// Reads a piece, writes it back, and so on: it does not read while it writes.
pub(crate) async fn echo_bytes(stream: &mut TcpStream, bytes: usize) {
    let mut left = bytes;
    let mut buf = vec![0; 65536];
    while left > 0 {
        let read = stream.read(&mut buf).await.expect("read");
        assert!(read > 0, "the upload is whole");
        stream.write_all(&buf[..read]).await.expect("write");
        left -= read;
    }
}

#[tokio::test]
async fn the_first_part_of_an_answer_does_not_wait_for_the_rest() {
    let upstream = Upstream::start(|_| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc".to_vec()),
            Step::Wait(Duration::from_millis(1500)),
            Step::Send(b"def".to_vec()),
        ]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head().await.0, 200);
    assert_eq!(client.exactly(3).await, b"abc");
    assert!(
        begun.elapsed() < Duration::from_millis(1000),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(client.exactly(3).await, b"def");
}
