//! What one client can take, and for how long.

use std::time::Duration;

use tokio::time::Instant;

use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Step, Upstream, ok};

#[tokio::test]
async fn a_slow_head_is_cut_at_the_deadline() {
    let gateway = Gateway::with(&[("PAILOU_LIMITS_HEADER_TIMEOUT", "400ms")], ANY, &[]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\n").await;
    let begun = Instant::now();
    // A line now and then does not move the deadline.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send("x-a: b\r\n").await;
    }
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (408, "head_timeout")
    );
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(350) && took < Duration::from_secs(3),
        "{took:?}"
    );
    assert!(client.is_closed().await);
    assert_eq!(gateway.metric("cause=\"head_timeout\""), Some(1.0));
}

#[tokio::test]
async fn the_deadline_holds_for_a_second_head_too() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_HEADER_TIMEOUT", "300ms")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.get("/").await.status, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        client.get("/").await.status,
        200,
        "the pause between requests has its own limit"
    );
    client.send("GET / HT").await;
    assert_eq!(client.answer().await.cause(), "head_timeout");
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [
        ("PAILOU_LIMITS_HEADER_TIMEOUT", "300ms"),
        ("PAILOU_LIMITS_KEEPALIVE_TIMEOUT", "2s"),
    ];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut silent = gateway.connect().await;
    let begun = Instant::now();
    assert!(silent.is_closed().await);
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    let mut kept = gateway.connect().await;
    assert_eq!(kept.get("/").await.status, 200);
    let begun = Instant::now();
    assert!(kept.is_closed().await);
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(1900) && took < Duration::from_secs(5),
        "{took:?}"
    );
    until("both are gone", || gateway.serving.connections() == 0).await;
}

#[tokio::test]
async fn a_connection_ends_after_so_many_requests() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_KEEPALIVE_REQUESTS", "3")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    for connection in ["keep-alive", "keep-alive", "close"] {
        assert_eq!(client.get("/").await.header("connection"), Some(connection));
    }
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [
        ("PAILOU_LIMITS_HEADER_BYTES", "4KiB"),
        ("PAILOU_LIMITS_HEADER_COUNT", "10"),
        ("PAILOU_LIMITS_REQUEST_LINE_BYTES", "1KiB"),
    ];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let many: String = (0..11).map(|number| format!("x-{number}: a\r\n")).collect();
    let long = "a".repeat(5000);
    let path = "a".repeat(1100);
    let cases = [
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {long}\r\n\r\n"),
            431,
            "head_too_large",
        ),
        // One that never ends is refused before it is held whole.
        (
            format!(
                "GET / HTTP/1.1\r\nhost: a\r\nx-long: {}",
                "a".repeat(300_000)
            ),
            431,
            "head_too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"),
            431,
            "head_too_large",
        ),
        (
            format!("GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n"),
            414,
            "request_line_too_long",
        ),
        (
            format!("GET /{}", "a".repeat(20_000)),
            414,
            "request_line_too_long",
        ),
    ];
    for (request, status, cause) in cases {
        let mut client = gateway.connect().await;
        client.send(&request).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (status, cause),
            "{:.60}",
            request
        );
        assert!(client.is_closed().await);
    }
    assert_eq!(gateway.connect().await.get("/").await.status, 200);
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_whether_it_says_so_or_not() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_BODY_BYTES", "100KiB")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 102401\r\n\r\nabc")
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (413, "body_too_large")
    );
    assert!(upstream.received().is_empty(), "it was not sent on");

    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let chunk = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    for _ in 0..4 {
        client.send(&chunk).await;
    }
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (413, "body_too_large")
    );
    assert!(client.is_closed().await);

    let mut client = gateway.connect().await;
    assert_eq!(
        client.post("/", &vec![b'a'; 100 << 10]).await.status,
        200,
        "the limit itself is fine"
    );
}

#[tokio::test]
async fn a_client_reads_the_refusal_although_it_is_still_sending() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::with(
        &[("PAILOU_LIMITS_BODY_BYTES", "1KiB")],
        ANY,
        &[upstream.address],
    )
    .await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n")
        .await;
    // More than the sockets hold: without a lingering close this would meet
    // a reset, and the answer would be lost.
    client.send(vec![b'a'; 6 << 20]).await;
    assert_eq!(client.answer().await.status, 413);
}

#[tokio::test]
async fn a_body_that_stops_is_408_and_the_endpoint_is_not_blamed() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_BODY_TIMEOUT", "300ms")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    for head in [
        "content-length: 10\r\n\r\nabc",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut client = gateway.connect().await;
        client
            .send(format!("POST / HTTP/1.1\r\nhost: a\r\n{head}"))
            .await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (408, "body_timeout"),
            "{head}"
        );
        assert!(client.is_closed().await);
    }
    assert_eq!(
        gateway.connect().await.get("/").await.status,
        200,
        "nothing was ejected"
    );
}

#[tokio::test]
async fn a_slow_upload_may_take_longer_than_the_answer() {
    let upstream = Upstream::start(|request| ok(&request.body.len().to_string())).await;
    let routes =
        "routes: { any: { path: /**, service: users, timeout: 600ms, read_timeout: 600ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n")
        .await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send("a").await;
    }
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "8"));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let upstream = Upstream::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n".to_vec();
        vec![Step::Send(head), Step::Send(vec![b'a'; 50_000_000])]
    })
    .await;
    let settings = [("PAILOU_LIMITS_WRITE_TIMEOUT", "300ms")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is given up", || {
        gateway.metric("cause=\"client_gone\"") == Some(1.0)
    })
    .await;
    until("its connection is gone", || {
        gateway.serving.connections() == 0
    })
    .await;
    assert!(client.rest().await.len() < 50_000_000);
}

/// A client read a little now and then: no write stalled for long, and its endpoint's connection was held for ever.
#[tokio::test]
async fn a_client_that_reads_in_drips_is_cut() {
    let upstream = Upstream::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n".to_vec();
        vec![Step::Send(head), Step::Send(vec![b'a'; 50_000_000])]
    })
    .await;
    let settings = [
        ("PAILOU_LIMITS_WRITE_MIN_RATE", "100MiB"),
        ("PAILOU_LIMITS_WRITE_MIN_RATE_AFTER", "300ms"),
    ];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let dripping = async {
        while gateway.metric("cause=\"client_too_slow\"") != Some(1.0) {
            client.exactly(64 << 10).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), dripping).await;
    ended.expect("it is cut");
    until("its connection is gone", || {
        gateway.serving.connections() == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_waits_for_a_slow_endpoint_is_not_slow() {
    let upstream = Upstream::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n".to_vec();
        let mut steps = vec![Step::Send(head)];
        for _ in 0..10 {
            steps.push(Step::Wait(Duration::from_millis(100)));
            steps.push(Step::Send(b"a".to_vec()));
        }
        steps
    })
    .await;
    let settings = [
        ("PAILOU_LIMITS_WRITE_MIN_RATE", "100MiB"),
        ("PAILOU_LIMITS_WRITE_MIN_RATE_AFTER", "100ms"),
    ];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.get("/").await.body.len(), 10);
}

#[tokio::test]
async fn a_pause_of_the_client_is_not_the_endpoints() {
    let upstream = Upstream::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 20000000\r\n\r\n".to_vec();
        vec![Step::Send(head), Step::Send(vec![b'a'; 20_000_000])]
    })
    .await;
    let routes = "routes: { any: { path: /**, service: users, read_timeout: 200ms } }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(client.answer().await.body.len(), 20_000_000);
}

#[tokio::test]
async fn connections_beyond_the_cap_are_turned_away() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_LIMITS_CONNECTIONS", "2")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut first = gateway.connect().await;
    let mut second = gateway.connect().await;
    assert_eq!(first.get("/").await.status, 200);
    assert_eq!(second.get("/").await.status, 200);
    let answer = gateway.connect().await.answer().await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (503, "too_many_connections")
    );
    drop(first);
    until("a place is free", || gateway.serving.connections() == 1).await;
    assert_eq!(gateway.connect().await.get("/").await.status, 200);
}

#[tokio::test]
async fn one_address_has_its_own_cap() {
    let settings = [("PAILOU_LIMITS_CONNECTIONS_PER_IP", "1")];
    let gateway = Gateway::with(&settings, ANY, &[]).await;
    let mut first = gateway.connect().await;
    assert_eq!(first.get("/").await.status, 503);
    assert_eq!(
        gateway.connect().await.answer().await.cause(),
        "too_many_connections"
    );
    assert_eq!(gateway.metric("reason=\"limit_per_ip\""), Some(1.0));
}
