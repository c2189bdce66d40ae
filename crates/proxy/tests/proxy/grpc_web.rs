//! Clients of gRPC-Web in front of an endpoint of gRPC.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderValue, Request, Response};

use crate::client::{Answer, Client};
use crate::gateway::{Gateway, until};
use crate::http2_endpoints::{Endpoint, gateway, trailers};

const ROUTES: &str =
    "routes: { any: { path: /**, service: users, filters: [ grpc_web ], retries: 2 } }";

/// A message as gRPC frames it.
fn message(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short");
    [&[0][..], &length.to_be_bytes(), text.as_bytes()].concat()
}

/// Echoes what it gets, in pieces as they come, and ends with trailers.
async fn serve(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut response = Response::new(());
    let own = request.headers()["content-type"].clone();
    response.headers_mut().insert("content-type", own);
    if request.uri().path() == "/head-only" {
        let head = response.headers_mut();
        head.insert("grpc-status", HeaderValue::from_static("5"));
        head.insert("grpc-message", HeaderValue::from_static("not here"));
        respond.send_response(response, true).expect("sent");
        return;
    }
    if request.uri().path() == "/page" {
        let page = HeaderValue::from_static("text/plain");
        response.headers_mut().insert("content-type", page);
        let mut stream = respond.send_response(response, false).expect("sent");
        stream.send_data("page".into(), true).expect("sent");
        return;
    }
    assert_eq!(request.headers()["te"], "trailers");
    let mut stream = respond.send_response(response, false).expect("sent");
    let mut body = request.into_body();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        stream.send_data(piece, false).expect("sent");
    }
    stream.send_trailers(trailers("0")).expect("sent");
}

async fn ask(client: &mut Client, path: &str, content_type: &str, body: &[u8]) -> Answer {
    let length = body.len();
    client
        .send(format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {content_type}\r\naccept: */*\r\n\
             content-length: {length}\r\n\r\n"
        ))
        .await;
    client.send(body).await;
    client.answer().await
}

const STATUS_OK: &[u8] = b"\x80\0\0\0\x10grpc-status: 0\r\n";

#[tokio::test]
async fn a_call_in_either_form_is_answered_in_its_form() {
    let endpoint = Endpoint::start(serve).await;
    let gateway = gateway(ROUTES, &[&endpoint]).await;
    let mut client = gateway.connect().await;
    let hello = message("hello");
    let answer = ask(&mut client, "/a.B/C", "application/grpc-web+proto", &hello).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/grpc-web+proto")
    );
    assert_eq!(answer.body, [&hello[..], STATUS_OK].concat());

    // "\0\0\0\0\x05hello" in two groups that are filled up.
    let text = b"AAAAAA==BWhlbGxv";
    let answer = ask(&mut client, "/a.B/C", "application/grpc-web-text", text).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("application/grpc-web-text")
    );
    let body = answer.text();
    assert_eq!(body, "AAAAAAVoZWxsbw==gAAAABBncnBjLXN0YXR1czogMA0K");
    until("nothing is left", || gateway.serving.in_flight() == 0).await;
}

#[tokio::test]
async fn a_status_in_the_head_is_in_the_body_and_a_page_is_a_page() {
    let endpoint = Endpoint::start(serve).await;
    let gateway = gateway(ROUTES, &[&endpoint]).await;
    let mut client = gateway.connect().await;
    let hello = message("hello");
    let answer = ask(&mut client, "/head-only", "application/grpc-web", &hello).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("grpc-status"), None, "{}", answer.head);
    let expected = b"\x80\0\0\0\x28grpc-status: 5\r\ngrpc-message: not here\r\n";
    assert_eq!(answer.body, expected, "{}", answer.body.escape_ascii());
    let answer = ask(&mut client, "/page", "application/grpc-web", &hello).await;
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.text(), "page");
    // A call of gRPC, and anything else, pass as they are.
    let answer = ask(&mut client, "/page", "application/grpc", &hello).await;
    assert_eq!(answer.header("content-type"), Some("text/plain"));
}

#[tokio::test]
async fn messages_arrive_while_the_call_goes_on() {
    let endpoint = Endpoint::start(serve).await;
    let gateway = gateway(ROUTES, &[&endpoint]).await;
    let mut client = gateway.connect().await;
    client
        .send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web-text\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    // Letters of one group in two chunks.
    client.send("6\r\nYWJjZG\r\n").await;
    assert_eq!(client.head().await.0, 200);
    assert_eq!(client.chunk().await, b"YWJj");
    client.send("2\r\nVm\r\n").await;
    assert_eq!(client.chunk().await, b"ZGVm");
    client.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, b"gAAAABBncnBjLXN0YXR1czogMA0K");
    assert!(client.chunk().await.is_empty());
}

#[tokio::test]
async fn what_is_no_base64_is_a_malformed_request() {
    let endpoint = Endpoint::start(
        async |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.data().await {}
            let _ = respond.send_response(Response::new(()), true);
        },
    )
    .await;
    let gateway = gateway(ROUTES, &[&endpoint]).await;
    for body in ["AAA", "AA!A", "AAAA=AAA"] {
        let mut client = gateway.connect().await;
        let answer = ask(
            &mut client,
            "/a",
            "application/grpc-web-text",
            body.as_bytes(),
        )
        .await;
        assert_eq!(
            (answer.status, answer.cause().as_str()),
            (400, "malformed_body"),
            "{body}"
        );
    }
    until("nothing is left", || gateway.serving.in_flight() == 0).await;
}

#[tokio::test]
async fn an_error_of_the_gateway_is_one_of_http_and_the_deadline_holds() {
    let endpoint = Endpoint::start(async |_, _respond: SendResponse<Bytes>| {
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let gateway = gateway(ROUTES, &[&endpoint]).await;
    let mut client = gateway.connect().await;
    let body = message("x");
    client
        .send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web\r\ngrpc-timeout: 200m\r\ncontent-length: 6\r\n\r\n")
        .await;
    client.send(body).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.cause().as_str()),
        (504, "total_timeout")
    );
    let none = Gateway::start(ROUTES, &[]).await;
    let mut client = none.connect().await;
    let answer = ask(&mut client, "/a", "application/grpc-web", b"").await;
    assert_eq!(answer.status, 503);
}
