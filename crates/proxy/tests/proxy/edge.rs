//! Requests that no two servers read alike are refused.

use crate::gateway::{ANY, Gateway};
use crate::upstream::{Upstream, ok};

#[tokio::test]
async fn what_is_ambiguous_or_malformed_is_refused() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let cases: &[(&str, u16, &str)] = &[
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "ambiguous_framing",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
            400,
            "ambiguous_framing",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
            400,
            "malformed_head",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nabcde",
            400,
            "malformed_head",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x5\r\n\r\nabcde",
            400,
            "malformed_head",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "unknown_transfer_encoding",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            501,
            "unknown_transfer_encoding",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
            400,
            "malformed_head",
        ),
        (
            "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "malformed_head",
        ),
        ("GET / HTTP/1.1\r\n\r\n", 400, "malformed_host"),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n", 400, "malformed_host"),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400, "malformed_host"),
        (
            "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n",
            400,
            "malformed_host",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
            400,
            "malformed_head",
        ),
        (
            "GET / HTTP/1.1\r\nhost: user@a\r\n\r\n",
            400,
            "malformed_head",
        ),
        (
            "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_head",
        ),
        ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400, "malformed_target"),
        (
            "GET admin HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_target",
        ),
        (
            "GET ?x=1 HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_target",
        ),
        (
            "GET /a/..%2fadmin HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_target",
        ),
        (
            "GET /a#/../admin HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_target",
        ),
        (
            "GET /%00 HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_target",
        ),
        (
            "GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_target",
        ),
        (
            "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_head",
        ),
        (
            "GET /a\tb HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_head",
        ),
        (
            "GET /a\0b HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "malformed_head",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\n x-folded: 1\r\n\r\n",
            400,
            "malformed_head",
        ),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400, "malformed_head"),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: host\r\n\r\n",
            400,
            "malformed_connection",
        ),
        (
            "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n",
            405,
            "method_not_allowed",
        ),
        (
            "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
            405,
            "method_not_allowed",
        ),
        ("PRI * HTTP/2.0\r\nhost: a\r\n\r\n", 400, "malformed_head"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}", 400, "malformed_head"),
        ("hello\r\n\r\n", 400, "malformed_head"),
    ];
    for (request, status, cause) in cases {
        let mut client = gateway.connect().await;
        client.send(request).await;
        let answer = client.answer().await;
        let got = (answer.status, answer.cause());
        assert_eq!(
            got,
            (*status, (*cause).to_owned()),
            "{}",
            request.escape_debug()
        );
        assert!(client.is_closed().await, "{}", request.escape_debug());
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[tokio::test]
async fn equal_lengths_become_one() {
    let upstream =
        Upstream::start(|request| ok(std::str::from_utf8(&request.body).expect("text"))).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc")
        .await;
    assert_eq!(client.answer().await.text(), "abc");
    assert_eq!(
        upstream.received()[0]
            .head
            .matches("content-length")
            .count(),
        1
    );
}

#[tokio::test]
async fn the_rest_of_a_chunked_upload_that_was_cut_short_is_not_a_request() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    // The chunk says 5 and more follows: what follows is not HTTP's end of a
    // chunk, and must not become a request of its own.
    client
        .send(
            "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcdeGET /smuggled HTTP/1.1\r\n\
             host: a\r\n\r\n0\r\n\r\n",
        )
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (400, "malformed_body")
    );
    assert!(client.is_closed().await);
    assert!(
        upstream
            .received()
            .iter()
            .all(|request| !request.head.contains("smuggled"))
    );
}

#[tokio::test]
async fn what_is_not_quite_chunks_is_no_body() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let long_extension = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(9000));
    let bodies = [
        "3\r\nabc\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        "3\nabc\n0\n\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        &long_extension,
    ];
    for body in bodies {
        let mut client = gateway.connect().await;
        let head = "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        client.send(format!("{head}{body}")).await;
        let answer = client.answer().await;
        let shown = &body[..body.len().min(40)];
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (400, "malformed_body"),
            "{shown:?}"
        );
        assert!(client.is_closed().await, "{shown:?}");
    }
    let heads = upstream.received();
    assert!(
        heads
            .iter()
            .all(|request| !request.head.contains("smuggled"))
    );
}

#[tokio::test]
async fn a_request_right_behind_chunks_is_the_next_one() {
    let upstream = Upstream::start(|request| ok(request.line())).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send(
            "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n\
             GET /b HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.text(), "post /a http/1.1");
    assert_eq!(client.answer().await.text(), "get /b http/1.1");
}

#[tokio::test]
async fn more_fields_than_the_parser_takes_are_431() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_HEADER_COUNT", "256")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    for (more, status) in [(255, 200), (256, 431), (900, 431)] {
        let fields: String = (0..more).map(|index| format!("x-{index}: 1\r\n")).collect();
        let mut client = gateway.connect().await;
        client
            .send(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
            .await;
        assert_eq!(client.answer().await.status, status, "{more} more");
    }
}

#[tokio::test]
async fn chunks_are_written_anew_and_extensions_stay_behind() {
    let upstream =
        Upstream::start(|request| ok(std::str::from_utf8(&request.body).expect("text"))).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.text(), "abcde");
    assert_eq!(client.get("/").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn bytes_after_an_upgrade_that_was_refused_are_a_request_like_any_other() {
    let upstream = Upstream::start(|request| ok(request.line())).await;
    let routes = "routes: { open: { path: /open, service: users } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send(
            "GET /open HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\
             GET /admin HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.text(), "get /open http/1.1");
    let rest = client.rest_within_a_moment().await;
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 404"),
        "{}",
        rest.escape_ascii()
    );
    assert_eq!(upstream.received().len(), 1);
}
