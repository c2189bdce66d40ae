//! Odd framings of an endpoint's answer: what goes out is framed by the gateway,
//! once, and what cannot be understood is never passed on as whole.

use tokio::io::AsyncWriteExt;

use crate::client::Client;
use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Step, Upstream, ok, read_head};

async fn answer(bytes: &'static [u8], request: &str) -> String {
    let upstream = Upstream::start(move |_| vec![Step::Send(bytes.to_vec()), Step::Close]).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send(request).await;
    String::from_utf8(client.rest().await).expect("ASCII")
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// An empty size line ended the body in peace.
#[tokio::test]
async fn a_malformed_chunk_cuts_the_answer() {
    for chunks in [
        &b"4\r\nhalf\r\n\r\n"[..],
        b"4\r\nhalf\r\n\r\n\r\n",
        b"4\r\nhalf\r\nxyz\r\n\r\n",
        b"4\r\nhalfxx\r\n0\r\n\r\n",
        b"4\r\nhalf\r\n-1\r\n\r\n",
        b"4\r\nhalf\r\n+0\r\n\r\n",
        b"4\r\nhalf\r\n0x0\r\n\r\n",
        b"4\r\nhalf\r\nfffffffffffffffff\r\n",
        b"4\r\nhalf\r\n0\r\n",
        b"4\r\nhalf\r\n0",
        b"4\r\nhalf\r\n",
        b"4\r\nhal",
        b"4",
    ] {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let bytes: &'static [u8] = [&head[..], chunks].concat().leak();
        let what = chunks.escape_ascii().to_string();
        let got = answer(bytes, GET).await;
        assert!(got.starts_with("HTTP/1.1 "), "{what}: {got}");
        if got.starts_with("HTTP/1.1 200") {
            assert!(
                !got.ends_with("0\r\n\r\n"),
                "{what}: taken for whole: {got}"
            );
        }
    }
}

#[tokio::test]
async fn framing_fields_of_answers_are_the_gateways() {
    for (bytes, status) in [
        (
            &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"[..],
            200,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
            502,
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok!", 502),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok", 502),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            502,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            502,
        ),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok", 502),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked,\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            502,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok",
            200,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 2\r\n\r\nok",
            502,
        ),
        (
            b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            502,
        ),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok", 204),
        (
            b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
            204,
        ),
        (
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
            304,
        ),
        (
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            502,
        ),
        (
            b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            304,
        ),
        // Nobody asked for another protocol.
        (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nok",
            502,
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            200,
        ),
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", 200),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 200),
        (b"HTTP/1.0 200 OK\r\n\r\nok", 200),
        (b"nonsense\r\n\r\n", 502),
        (b"HTTP/2.0 200 OK\r\n\r\nok", 502),
        (b"HTTP/1.1 99 Odd\r\n\r\n", 502),
    ] {
        let what = bytes.escape_ascii().to_string();
        let got = answer(bytes, GET).await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {got}"
        );
        let head = got.split("\r\n\r\n").next().unwrap_or_default();
        let head = head.to_ascii_lowercase();
        let lengths = head.matches("\r\ncontent-length:").count();
        let codings = head.matches("\r\ntransfer-encoding:").count();
        assert!(lengths + codings <= 1, "{what}: {got}");
        let (_, body) = got.split_once("\r\n\r\n").expect("a head");
        if matches!(status, 204 | 304) {
            assert_eq!(body, "", "{what}: {got}");
        }
        if status == 204 {
            assert_eq!((lengths, codings), (0, 0), "{what}: {got}");
        }
        if status == 200 {
            assert!(["ok", "2\r\nok\r\n0\r\n\r\n"].contains(&body), "{what}: {got}");
        }
    }
}

/// What an answer without a body sent all the same is no part of the next answer.
#[tokio::test]
async fn bytes_behind_an_answer_without_a_body_reach_nobody() {
    for (first, status) in [
        (&b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"[..], 204),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 41\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad", 204),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 41\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad", 304),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad", 200),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad", 200),
    ] {
        let upstream = Upstream::start(move |request| match request.line() {
            "get /first http/1.1" => vec![Step::Send(first.to_vec())],
            _ => ok("good"),
        })
        .await;
        let gateway = Gateway::start(ANY, &[upstream.address]).await;
        let mut client = gateway.connect().await;
        let what = first.escape_ascii().to_string();
        let answer = client.get("/first").await;
        assert_eq!(answer.status, status, "{what}");
        let answer = client.get("/second").await;
        assert_eq!((answer.status, &*answer.body), (200, &b"good"[..]), "{what}");
    }
}

/// A client of a gateway whose endpoint answers the head of a request with these
/// bytes.
async fn answered_early(bytes: &'static [u8]) -> (Gateway, Upstream, Client) {
    let upstream = Upstream::raw(move |mut stream| async move {
        if read_head(&mut stream).await.is_some() {
            let _ = stream.write_all(bytes).await;
            std::future::pending::<()>().await;
        }
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let client = gateway.connect().await;
    (gateway, upstream, client)
}

/// An answer that nobody understands counts against its endpoint, which stays in: one bad handler is not all of it.
#[tokio::test]
async fn what_cannot_be_understood_is_counted() {
    for bytes in [
        &b"nonsense\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n\r\n",
    ] {
        let what = bytes.escape_ascii().to_string();
        let (gateway, _upstream, mut client) = answered_early(bytes).await;
        client.send(GET).await;
        let _ = client.rest().await;
        let counted = || gateway.service("users").view().endpoints[0].error_answers;
        until(&what, || counted() == 1).await;
        assert!(gateway.service("users").view().endpoints[0].is_in, "{what}");
    }
}

#[tokio::test]
async fn a_101_has_no_framing() {
    let (_gateway, _upstream, mut client) = answered_early(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nbytes",
    )
    .await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    let (status, head) = client.head().await;
    assert_eq!(status, 101, "{head}");
    assert!(!head.contains("content-length"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(client.exactly(5).await, b"bytes");
}

#[tokio::test]
async fn an_interim_answer_has_no_framing_and_nothing_of_one_hop() {
    let (_gateway, _upstream, mut client) = answered_early(
        b"HTTP/1.1 100 Continue\r\ncontent-length: 2\r\nconnection: close, x-own\r\nx-own: 1\r\nx-kept: 1\r\n\r\n\
          HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
        .await;
    let (_, interim) = client.head().await;
    assert_eq!(interim, "http/1.1 100 continue\r\nx-kept: 1\r\n\r\n");
    client.send("x").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
}
