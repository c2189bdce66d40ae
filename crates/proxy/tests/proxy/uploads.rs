//! Deadlines and ends while a request's body is on its way.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::client::Client;
use crate::gateway::{ANY, Gateway, until};
use crate::retries::black_hole;
use crate::upstream::{Upstream, ok, read_head};

const MIB: usize = 1 << 20;

/// Reads everything and answers nothing.
async fn silent() -> Upstream {
    Upstream::raw(|mut stream| async move {
        let mut waste = vec![0; 65_536];
        while matches!(stream.read(&mut waste).await, Ok(1..)) {}
    })
    .await
}

/// Reads the head, and then so many bytes, this often.
async fn slow(bytes: usize, pause: Duration) -> Upstream {
    Upstream::raw(move |mut stream| async move {
        let Some(head) = read_head(&mut stream).await else {
            return;
        };
        let length = crate::client::header(&head, "content-length");
        let mut left: usize = length.and_then(|text| text.parse().ok()).expect("a length");
        let mut piece = vec![0; bytes];
        while left > 0 {
            tokio::time::sleep(pause).await;
            match stream.read(&mut piece).await {
                Ok(read @ 1..) => left -= read,
                _ => return,
            }
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
    })
    .await
}

/// What comes with a head and does not fit into its read, the next read takes together with what is still in the socket.
/// A body, or a request behind it, that ends there has to end there.
#[tokio::test]
async fn bodies_around_the_size_of_a_read_and_what_follows_them_stay_whole() {
    let upstream = Upstream::start(|request| ok(request.line())).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    let mut number = 0;
    for length in [8_000, 8_100, 8_192, 10_240, 16_300, 16_384, 40_000, 300] {
        // In the second round the engine reads more at once.
        for _ in 0..2 {
            let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let head =
                format!("POST /{number} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
            let next = format!("GET /after/{number} HTTP/1.1\r\nhost: a\r\n\r\n");
            client
                .send([head.as_bytes(), &body, next.as_bytes()].concat())
                .await;
            assert_eq!(
                client.answer().await.text(),
                format!("post /{number} http/1.1")
            );
            assert_eq!(
                client.answer().await.text(),
                format!("get /after/{number} http/1.1")
            );
            assert!(upstream.received()[2 * number].body == body, "{length}");
            number += 1;
        }
    }
}

/// Pieces of a body go through a queue of four places. When the last piece filled it nobody looked at the client any
/// more, and every deadline was missed: with every fourth number of chunks in one packet.
#[tokio::test]
async fn however_many_chunks_come_at_once_the_deadline_holds() {
    let upstream = silent().await;
    let routes = "routes: { any: { path: /**, service: users, timeout: 300ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    for chunks in 0..10 {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let body = "3\r\nabc\r\n".repeat(chunks) + "0\r\n\r\n";
        let mut client = gateway.connect().await;
        let begun = Instant::now();
        client.send(format!("{head}{body}")).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (504, "response_timeout"),
            "{chunks}"
        );
        assert!(begun.elapsed() < Duration::from_secs(5), "{chunks}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_after_a_burst_of_chunks_is_noticed() {
    let upstream = Upstream::raw(|mut stream| async move {
        let mut waste = vec![0; 65_536];
        while matches!(stream.read(&mut waste).await, Ok(1..)) {}
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    for chunks in 2..8 {
        let mut client = gateway.connect().await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let body = "3\r\nabc\r\n".repeat(chunks) + "0\r\n\r\n";
        client.send(format!("{head}{body}")).await;
        until("it is under way", || gateway.serving.in_flight() == 1).await;
        drop(client);
        until("it is noticed", || gateway.serving.in_flight() == 0).await;
    }
}

/// The time for a body's first byte was nobody's, and ended as the fault of the endpoint, which was ejected.
#[tokio::test]
async fn a_client_that_announces_a_body_and_sends_none_is_408() {
    let upstream = silent().await;
    let settings = [("PAILOU_LIMITS_BODY_TIMEOUT", "200ms")];
    let routes = "routes: { any: { path: /**, service: users, timeout: 1s, read_timeout: 1s } }";
    let gateway = Gateway::with(&settings, routes, &[upstream.address]).await;
    for framing in [
        "content-length: 5",
        "content-length: 500000",
        "transfer-encoding: chunked",
    ] {
        let mut client = gateway.connect().await;
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n");
        client.send(head).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (408, "body_timeout"),
            "{framing}"
        );
    }
    assert_eq!(gateway.metric("pailou_service_ejections_total{"), Some(0.0));
}

#[tokio::test]
async fn the_total_time_ends_an_upload_that_is_held_up() {
    let upstream = slow(1, Duration::from_secs(60)).await;
    let settings = [
        ("PAILOU_LIMITS_BODY_BYTES", "64MiB"),
        ("PAILOU_LIMITS_BODY_TIMEOUT", "100ms"),
    ];
    let routes = "routes: { any: { path: /**, service: users, total_timeout: 600ms } }";
    let gateway = Gateway::with(&settings, routes, &[upstream.address]).await;
    let (answer, took) = posted(&gateway, 40 * MIB).await;
    assert!(answer.contains("total_timeout"), "{answer}");
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn the_total_time_ends_a_download_that_nobody_reads() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 60 * MIB);
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&vec![b'a'; 60 * MIB]).await;
    })
    .await;
    let routes = "routes: { any: { path: /**, service: users, total_timeout: 500ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it ends", || {
        gateway.metric("cause=\"total_timeout\"") == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn the_time_for_an_answer_and_the_total_bound_the_connection_too() {
    let (_full, address) = black_hole().await;
    for (limit, cause) in [
        ("timeout: 200ms", "response_timeout"),
        ("total_timeout: 200ms", "total_timeout"),
    ] {
        let routes = format!(
            "routes: {{ any: {{ path: /**, service: users, connect_timeout: 8s, {limit} }} }}"
        );
        let gateway = Gateway::start(&routes, &[address]).await;
        for body in ["", "abc"] {
            let begun = Instant::now();
            let mut client = gateway.connect().await;
            let answer = client.post("/", body.as_bytes()).await;
            assert_eq!(
                (answer.status, answer.cause().as_str()),
                (504, cause),
                "{limit} {body:?}"
            );
            assert!(begun.elapsed() < Duration::from_secs(4), "{limit} {body:?}");
        }
    }
}

/// A hidden limit of the longest of the others, and a second, ended every upload that took longer.
#[tokio::test]
async fn an_upload_that_makes_progress_is_ended_by_no_deadline() {
    // About 5 s. The endpoint's own buffers may hold some MiB after the last byte has left, and its time runs by then.
    let upstream = slow(MIB, Duration::from_millis(100)).await;
    let settings = [
        ("PAILOU_LIMITS_BODY_BYTES", "64MiB"),
        ("PAILOU_LIMITS_BODY_TIMEOUT", "300ms"),
    ];
    let routes = "routes: { any: { path: /**, service: users, timeout: 2s, read_timeout: 300ms } }";
    let gateway = Gateway::with(&settings, routes, &[upstream.address]).await;
    let (answer, _) = posted(&gateway, 50 * MIB).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// In a send buffer of 4 MiB a slow reader's progress shows every 1.3 MiB only.
#[tokio::test]
async fn an_endpoint_that_reads_slowly_has_not_stopped_reading() {
    let upstream = slow(32 << 10, Duration::from_millis(25)).await;
    let settings = [
        ("PAILOU_LIMITS_BODY_BYTES", "64MiB"),
        ("PAILOU_LIMITS_UPSTREAM_WRITE_TIMEOUT", "700ms"),
    ];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let (answer, _) = posted(&gateway, 10 * MIB).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// What the endpoint had not taken yet was written by a task that nobody counted: descriptors ran out, and a drain did
/// not wait for it.
#[tokio::test]
async fn what_an_endpoint_is_still_owed_counts_as_under_way() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::raw(move |mut stream| {
        let told = told.clone();
        async move {
            let _ = read_head(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.expect("an answer");
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.expect("the body");
            let _ = told.send(rest.len()).await;
        }
    })
    .await;
    let settings = [("PAILOU_LIMITS_BODY_BYTES", "64MiB")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    // A little more than the sockets between take.
    let length = held_by_sockets().await + 200_000;
    let mut client = gateway.connect().await;
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    client.send(head).await;
    client.send(vec![b'a'; length]).await;
    assert_eq!(client.answer().await.text(), "ok");
    assert_eq!(gateway.serving.in_flight(), 1, "the rest is on its way");
    gateway.serving.stop_accepting();
    let idle = tokio::time::timeout(Duration::from_secs(10), gateway.serving.idle());
    idle.await.expect("the end");
    assert_eq!(heard.recv().await, Some(length), "every byte");
}

/// Many clients send all of a request before they read; one that is answered early must not have to wait for an endpoint
/// that has lost interest.
#[tokio::test]
async fn a_client_that_is_answered_early_can_send_the_rest() {
    for body in ["content-length: 2\r\n\r\nno", "content-length: 0\r\n\r\n"] {
        let upstream = Upstream::raw(move |mut stream| async move {
            let _ = read_head(&mut stream).await;
            let answer = format!("HTTP/1.1 413 Content Too Large\r\n{body}");
            stream
                .write_all(answer.as_bytes())
                .await
                .expect("an answer");
            std::future::pending::<()>().await;
        })
        .await;
        let settings = [("PAILOU_LIMITS_BODY_BYTES", "64MiB")];
        let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
        let mut client = gateway.connect().await;
        let length = 20 * MIB;
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        client.send(head).await;
        let sent = tokio::time::timeout(Duration::from_secs(8), client.send(vec![b'a'; length]));
        assert!(sent.await.is_ok(), "all of it in time: {body:?}");
        assert_eq!(client.answer().await.status, 413, "{body:?}");
    }
}

/// How much two sockets take that nobody reads from, with the gateway's send buffer.
async fn held_by_sockets() -> usize {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_send_buffer_size(128 << 10).expect("a size");
    let address = listener.local_addr().expect("an address");
    let near = socket.connect(address).await.expect("a connection");
    let _far = listener.accept().await.expect("a connection");
    let mut held = 0;
    let piece = [0; 8192];
    loop {
        match tokio::time::timeout(Duration::from_millis(300), near.writable()).await {
            Ok(ready) => ready.expect("room"),
            Err(_) => return held,
        }
        held += near.try_write(&piece).unwrap_or(0);
    }
}

/// The answer to a body of so many bytes, and how long it took.
async fn posted(gateway: &Gateway, length: usize) -> (String, Duration) {
    let begun = Instant::now();
    let stream = TcpStream::connect(gateway.address())
        .await
        .expect("a connection");
    let (mut reading, mut writing) = stream.into_split();
    let upload = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        // Either may be cut short by the answer.
        let _ = writing.write_all(head.as_bytes()).await;
        let _ = writing.write_all(&vec![b'a'; length]).await;
        writing
    });
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(20), reading.read(&mut answer));
    let read = read.await.expect("an answer in time").expect("an answer");
    upload.abort();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    (answer, begun.elapsed())
}

#[tokio::test]
async fn a_client_of_http_1_0_hears_no_interim_answer() {
    let upstream = Upstream::start(|_| {
        let early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec();
        let mut steps = vec![crate::upstream::Step::Send(early)];
        steps.extend(ok("ok"));
        steps
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client: Client = gateway.connect().await;
    client
        .send("POST / HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\na")
        .await;
    let (status, _) = client.head().await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn an_answer_without_content_has_no_length() {
    let answer = b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\n";
    let upstream =
        Upstream::start(move |_| vec![crate::upstream::Step::Send(answer.to_vec())]).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (status, head) = client.head().await;
    assert_eq!(status, 204);
    assert!(!head.contains("content-length"), "{head}");
}

/// A body that drips held a client's connection and an endpoint's for as long as it liked: each byte came in time.
#[tokio::test]
async fn a_body_that_drips_is_408() {
    let upstream = silent().await;
    let settings = [
        ("PAILOU_LIMITS_BODY_MIN_RATE", "1KiB"),
        ("PAILOU_LIMITS_BODY_MIN_RATE_AFTER", "300ms"),
    ];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n")
        .await;
    let drip = Duration::from_millis(50);
    let dripping = async {
        while tokio::time::timeout(drip, client.stream.readable())
            .await
            .is_err()
        {
            client.send("a").await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), dripping).await;
    ended.expect("an end");
    let answer = client.answer().await;
    let got = (answer.status, answer.cause());
    assert_eq!(got, (408, "body_too_slow".to_owned()));
}
