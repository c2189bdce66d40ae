//! Calls that are tried again since their answer is a status and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::gateway::Gateway;
use crate::http2_endpoints::{Endpoint, call, connect, gateway, trailers};

/// An endpoint that answers with a status alone, and counts the calls.
async fn failing(status: &'static str) -> (Endpoint, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let endpoint = Endpoint::start(move |_request, mut respond: SendResponse<Bytes>| {
        counted.fetch_add(1, SeqCst);
        async move {
            let mut response = Response::new(());
            *response.headers_mut() = trailers(status);
            let _ = respond.send_response(response, true);
        }
    })
    .await;
    (endpoint, calls)
}

/// One that answers with the size of what it got.
async fn sound() -> Endpoint {
    Endpoint::start(
        async |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
            let mut body = request.into_body();
            let mut bytes = 0;
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                bytes += piece.len();
            }
            let mut stream = respond
                .send_response(Response::new(()), false)
                .expect("sent");
            stream
                .send_data(format!("{bytes}").into(), false)
                .expect("sent");
            stream.send_trailers(trailers("0")).expect("sent");
        },
    )
    .await
}

/// What a call of so many bytes is answered with: its status, and the text.
async fn ask(gateway: &Gateway, bytes: usize) -> (HeaderValue, String) {
    let mut requests = connect(gateway).await;
    let (response, mut upload) = requests.send_request(call("/a.B/C"), false).expect("sent");
    upload
        .send_data(vec![b'a'; bytes].into(), true)
        .expect("sent");
    let (head, mut body) = response.await.expect("a response").into_parts();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        text.extend_from_slice(&piece.expect("a piece"));
    }
    let trailers = body.trailers().await.expect("an end");
    let said = |fields: &HeaderMap| fields.get("grpc-status").cloned();
    let status = said(&head.headers).or(trailers.and_then(|trailers| said(&trailers)));
    let text = String::from_utf8(text).expect("ASCII");
    (status.expect("a status"), text)
}

fn routes(retries: &str) -> String {
    format!("routes: {{ any: {{ path: /**, service: users, retries: {retries} }} }}")
}

#[tokio::test]
async fn a_status_that_the_route_names_goes_to_another_endpoint() {
    for (retries, status, is_retried) in [
        ("{ count: 2, grpc_status: [unavailable] }", "14", true),
        ("{ grpc_status: [unavailable] }", "14", true),
        ("{ count: 2, grpc_status: [unavailable] }", "8", false),
        ("{ grpc_status: [resource_exhausted] }", "8", true),
        ("{ grpc_status: [resource_exhausted] }", "14", false),
        ("2", "14", false),
        ("{ count: 0, grpc_status: [unavailable] }", "14", false),
    ] {
        let (failing, calls) = failing(status).await;
        let sound = sound().await;
        let gateway = gateway(&routes(retries), &[&failing, &sound]).await;
        let mut failed = 0;
        for _ in 0..6 {
            let (answered, text) = ask(&gateway, 1000).await;
            if answered == "0" {
                assert_eq!(text, "1000", "{retries}: the whole call went there");
            } else {
                assert_eq!(answered, status);
                failed += 1;
            }
        }
        let calls = calls.load(SeqCst);
        assert!(calls >= 2, "{retries}: it was asked {calls} times");
        assert_eq!(failed, if is_retried { 0 } else { calls }, "{retries}");
    }
}

#[tokio::test]
async fn a_call_that_cannot_be_tried_again_has_its_answer() {
    let grpc_status = "{ count: 3, grpc_status: [unavailable] }";
    // Nobody else to ask.
    let (only, calls) = failing("14").await;
    let alone = gateway(&routes(grpc_status), &[&only]).await;
    assert_eq!(ask(&alone, 10).await.0, "14");
    assert_eq!(calls.load(SeqCst), 1);
    assert_eq!(alone.metric("pailou_requests_in_flight"), Some(0.0));

    // More than is kept of a call.
    let (failing, calls) = failing("14").await;
    let gateway = Gateway::with(
        &[("PAILOU_RETRY_BUFFER_BYTES", "0")],
        &routes(grpc_status),
        &[] as &[SocketAddr],
    )
    .await;
    let specs = [&failing, &sound().await].map(|endpoint| pailou_upstream::EndpointSpec {
        transport: crate::http2_endpoints::H2C,
        ..pailou_upstream::EndpointSpec::new(endpoint.address)
    });
    let users = gateway.service("users");
    users.update(pailou_upstream::EndpointSet::of(specs));
    let mut failed = 0;
    for _ in 0..4 {
        failed += usize::from(ask(&gateway, 60_000).await.0 == "14");
    }
    assert_eq!((failed, calls.load(SeqCst)), (2, 2));
}

#[tokio::test]
async fn a_status_after_a_message_is_an_answer() {
    let failing = Endpoint::start(
        async |_request: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
            let mut stream = respond
                .send_response(Response::new(()), false)
                .expect("sent");
            stream.send_data("some".into(), false).expect("sent");
            stream.send_trailers(trailers("14")).expect("sent");
        },
    )
    .await;
    let other = sound().await;
    let gateway = gateway(
        &routes("{ count: 3, grpc_status: [unavailable] }"),
        &[&failing, &other],
    )
    .await;
    let mut failed = 0;
    for _ in 0..4 {
        let (status, text) = ask(&gateway, 10).await;
        if status == "14" {
            assert_eq!(text, "some");
            failed += 1;
        }
    }
    assert_eq!(failed, 2, "half of them, as they are picked in turn");
}
