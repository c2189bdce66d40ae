//! Where one message ends and the next one begins.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::gateway::Gateway;
use crate::support::raw::{exchange, read_all};
use crate::support::recorder::Recorder;
use crate::support::until;
use crate::support::world::{Registered, World, until_answered_by, until_status};

const PATIENCE: Duration = Duration::from_secs(5);

/// A gateway before a recorder.
async fn recorded() -> (World, Recorder, Registered, Gateway) {
    let world = World::new().await;
    let recorder = Recorder::start("recorder").await;
    let registered = world.register("user-service", recorder.address()).await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let gateway = world.gateway().await.ready().await;
    until_answered_by(&gateway.url("/api/users/1"), "recorder").await;
    (world, recorder, registered, gateway)
}

/// Reads up to the end of a head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        head.push(byte.expect("a head in time").expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_with_100_continue() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let mut stream = TcpStream::connect(gateway.data())
        .await
        .expect("a connection");
    let request = "POST /api/users/read HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let first = head(&mut stream).await;
    assert!(first.starts_with("HTTP/1.1 100"), "{first}");
    stream.write_all(b"hello").await.expect("sent");
    let second = head(&mut stream).await;
    assert!(second.starts_with("HTTP/1.1 200"), "{second}");
    let body = read_all(&mut stream, Duration::from_millis(500)).await;
    assert!(body.contains('5'), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_has_no_route_is_not_asked_for() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let mut stream = TcpStream::connect(gateway.data())
        .await
        .expect("a connection");
    let request =
        "POST /nowhere HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let first = head(&mut stream).await;
    assert!(first.starts_with("HTTP/1.1 404"), "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_length_and_no_body_and_the_connection_goes_on() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let requests = "HEAD /api/users/first HTTP/1.1\r\nhost: a\r\n\r\n\
                    GET /api/users/second HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answers = exchange(gateway.data(), requests.as_bytes(), PATIENCE).await;
    let (first, second) = answers.split_once("\r\n\r\n").expect("a head");
    assert!(
        first.starts_with("HTTP/1.1 200") && first.contains("content-length:"),
        "{answers}"
    );
    assert!(
        second.starts_with("HTTP/1.1 200"),
        "no body before the second answer: {answers}"
    );
    assert!(second.ends_with("one GET /api/users/second"), "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_their_order() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    // The slowest first, a body in the middle, an error, and one that ends it.
    let requests = "GET /api/users/slow/300 HTTP/1.1\r\nhost: a\r\nx-number: 1\r\n\r\n\
                    POST /api/users/echo HTTP/1.1\r\nhost: a\r\nx-number: 2\r\ncontent-length: 5\r\n\r\nhello\
                    GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n\
                    GET /api/users/1 HTTP/1.1\r\nhost: a\r\nx-number: 4\r\nconnection: close\r\n\r\n";
    let answers = exchange(gateway.data(), requests.as_bytes(), PATIENCE).await;
    let mut rest = answers.as_str();
    for piece in [
        "x-number: 1",
        "x-number: 2",
        "hello",
        "HTTP/1.1 404",
        "x-number: 4",
        "one GET /api/users/1",
    ] {
        let at = rest
            .find(piece)
            .unwrap_or_else(|| panic!("{piece:?} is not in its place in:\n{answers}"));
        rest = &rest[at + piece.len()..];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_short_is_never_completed_for_its_client() {
    let (_world, recorder, _registered, gateway) = recorded().await;
    let cut = [
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "transfer-encoding: chunked\r\n\r\n5\r\nhel",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "content-length: 100\r\n\r\nGET /api/users/smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    for (number, rest) in cut.iter().enumerate() {
        let target = format!("/api/users/cut-{number}");
        let mut stream = TcpStream::connect(gateway.data())
            .await
            .expect("a connection");
        let request = format!("POST {target} HTTP/1.1\r\nhost: a\r\n{rest}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        until("the request at the upstream", async || {
            recorder
                .received()
                .iter()
                .any(|text| text.contains(&target))
                .then_some(())
        })
        .await;
        drop(stream);
        // Others go on, and not on the connection of the one that was cut.
        for _ in 0..5 {
            until_answered_by(&gateway.url("/api/users/next"), "recorder").await;
        }
        let received = recorder.received();
        let cut = received
            .iter()
            .find(|text| text.contains(&target))
            .expect("the connection");
        let after = cut.split_once(&target).expect("the request").1;
        // The last field's value may end in a 0.
        let body = after.split_once("\r\n\r\n").expect("a whole head").1;
        assert!(!body.contains("0\r\n\r\n"), "ended by the gateway: {cut}");
        assert!(
            !after.contains("/api/users/next"),
            "another request on it: {cut}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_servers_may_read_in_two_ways_reaches_nobody() {
    let (_world, recorder, _registered, gateway) = recorded().await;
    let smuggled = "0\r\n\r\nGET /api/users/smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 60",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        "transfer-encoding: \u{b}chunked",
        " transfer-encoding: chunked",
        "x-a: b\r\n transfer-encoding: chunked",
        "content-length: 5\r\ncontent-length: 60",
        "content-length: 5, 60",
        "content-length: -5",
        "content-length: 5 5",
        "content-length: 18446744073709551621",
    ] {
        let request =
            format!("POST /api/users/x HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{smuggled}");
        let answer = exchange(gateway.data(), request.as_bytes(), Duration::from_secs(2)).await;
        let status = answer.get(9..12).unwrap_or_default();
        assert!(["400", "501"].contains(&status), "{fields:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "one answer and the end, {fields:?}: {answer}"
        );
    }
    let received = recorder.received().concat();
    assert!(
        !received.contains("smuggled") && !received.contains("POST"),
        "{received}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_is_served_and_the_connection_ends() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let request = "GET /api/users/events HTTP/1.0\r\nhost: a\r\n\r\n";
    let answer = exchange(gateway.data(), request.as_bytes(), PATIENCE).await;
    assert!(answer.contains(" 200 OK\r\n"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("chunked"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\ndata: 1\n\ndata: 2\n\ndata: 3\n\n"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_upstream_breaks_off_is_not_completed() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let mut broken = Vec::new();
    for (name, answer) in [
        (
            "length",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        ),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        broken.push(world.register(name, address).await);
    }
    world
        .publish("routes: { /length/**: length, /chunks/**: chunks, /up: user-service }")
        .await;
    until_status(&gateway.url("/up"), 200).await;
    for path in ["/length/x", "/chunks/x"] {
        let response = reqwest::get(gateway.url(path)).await.expect("a head");
        assert_eq!(response.status(), 200);
        let body = response.text().await;
        assert!(body.is_err(), "{path}: taken for whole: {body:?}");
    }
}
