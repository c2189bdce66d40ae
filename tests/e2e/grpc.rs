//! gRPC: calls that are tried again since their answer is a status and nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use pailou_nacos::Instance;
use tokio::net::{TcpListener, TcpStream};

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::{Registered, World};

/// A service that answers each call with this status, and a message before it if that is 0.
async fn service(status: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("a handshake");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    counted.fetch_add(1, SeqCst);
                    let mut head = Response::new(());
                    let grpc = HeaderValue::from_static("application/grpc");
                    head.headers_mut().insert("content-type", grpc);
                    let said = HeaderMap::from_iter([(
                        http::HeaderName::from_static("grpc-status"),
                        HeaderValue::from_static(status),
                    )]);
                    if status != "0" {
                        head.headers_mut().extend(said);
                        let _ = respond.send_response(head, true);
                        continue;
                    }
                    let mut body = respond.send_response(head, false).expect("sent");
                    body.send_data(Bytes::from_static(b"\0\0\0\0\x02ok"), false)
                        .expect("sent");
                    body.send_trailers(said).expect("sent");
                }
            });
        }
    });
    (address, calls)
}

/// Registers as gRPC services do.
async fn register(world: &World, address: SocketAddr) -> Registered {
    let metadata = BTreeMap::from_iter([("protocol".to_owned(), "grpc".to_owned())]);
    let instance = Instance {
        metadata,
        ..Instance::new(address.ip().to_string(), address.port())
    };
    world.register_instance("orders", instance).await
}

/// The status of a call.
async fn call(gateway: &Gateway, method: &str) -> String {
    let stream = TcpStream::connect(gateway.data()).await.expect("connected");
    let (requests, connection) = h2::client::handshake(stream).await.expect("a handshake");
    tokio::spawn(connection);
    let request = Request::post(gateway.url(method))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let mut requests = requests.ready().await.expect("ready");
    let (answer, mut message) = requests.send_request(request, false).expect("sent");
    message
        .send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), true)
        .expect("sent");
    let (head, mut body) = answer.await.expect("an answer").into_parts();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("a piece");
        let _ = body.flow_control().release_capacity(piece.len());
    }
    let trailers = body.trailers().await.expect("an end").unwrap_or_default();
    let said = head
        .headers
        .get("grpc-status")
        .or(trailers.get("grpc-status"));
    said.expect("a status").to_str().expect("ASCII").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_the_route_names_goes_to_another_endpoint() {
    let world = World::new().await;
    let ((busy, busy_calls), (sound, _)) = (service("14").await, service("0").await);
    let _registered = (register(&world, busy).await, register(&world, sound).await);
    world
        .publish(
            "routes:\n  /again.Orders/**: { service: orders, retries: { count: 2, grpc_status: [unavailable] } }\n  \
             /once.Orders/**: orders\n",
        )
        .await;
    let gateway = world.gateway().await.ready().await;
    until("both to be known", async || {
        let view = gateway.admin_json("/api/v1/services/orders").await;
        (view["endpoints"].as_array()?.len() == 2).then_some(())
    })
    .await;
    for _ in 0..6 {
        assert_eq!(call(&gateway, "/again.Orders/Get").await, "0");
    }
    let calls = busy_calls.load(SeqCst);
    assert!(calls >= 2, "it was asked first {calls} times");
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(call(&gateway, "/once.Orders/Get").await);
    }
    statuses.sort();
    statuses.dedup();
    assert_eq!(
        statuses,
        ["0", "14"],
        "without the setting it is the answer"
    );
}
