//! How the client goes from one transport to another, over TCP against the embedded registry.

use std::time::Duration;

use pailou_nacos::{Client, ClientOptions, Instance, Transport};
use pailou_nacos_lite::Options;
use tokio::time::timeout;

use crate::{
    story::{registry, served},
    tcp::{options, quick, registry as start, until, until_true},
};

#[tokio::test]
async fn grpc_is_left_when_it_is_blocked_and_returned_to_when_it_is_not() {
    let registry = start(Options {
        poll_interval: Duration::from_secs(1),
        ..quick()
    })
    .await;
    for n in 1..=3 {
        let ip = format!("10.0.0.{n}");
        registry.put_instance("orders", pailou_nacos_lite::Instance::new(ip, 80));
    }
    registry.publish_config("routes", "a: 1");
    let client = Client::connect(ClientOptions {
        grpc_retry_interval: Duration::from_millis(300),
        ..options(&[&registry])
    });
    let mut orders = client.watch_service("orders");
    let mut routes = client.watch_config("routes");
    let registration = client
        .register("gateway", Instance::new("10.0.0.9", 80))
        .await
        .unwrap();
    until(&mut orders, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]).await;
    routes.changed().await;
    let transport = || client.states().borrow().transport;
    assert_eq!(transport(), Some(Transport::Grpc));

    registry.faults().block_grpc(true);
    until_true("HTTP", || transport() == Some(Transport::HttpV1)).await;
    assert_eq!(orders.changed().await.instances.len(), 3);
    until_true("registered over HTTP", || {
        registration.is_registered() && registry.instances("gateway").len() == 1
    })
    .await;
    registry.publish_config("routes", "a: 2");
    assert_eq!(routes.changed().await.config().unwrap().content, "a: 2");

    let mut states = client.states();
    states.mark_unchanged();
    registry.faults().block_grpc(false);
    let returned = async {
        loop {
            states.changed().await.unwrap();
            let state = states.borrow_and_update().clone();
            assert!(
                state.connected,
                "nothing is let go before the new one is there"
            );
            if state.transport == Some(Transport::Grpc) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), returned).await.unwrap();
    assert!(!registry.instances("gateway").is_empty());
    assert_eq!(orders.changed().await.instances.len(), 3);
    until_true("registered over gRPC alone", || {
        let instances = registry.instances("gateway").len();
        assert!(instances > 0, "no one misses the instance");
        registration.is_registered() && instances == 1
    })
    .await;
    // It lives by the connection now, not by what was registered over HTTP.
    let counts = client.state().counts;
    assert_eq!((counts.transport_changes, counts.lost_connections), (2, 1));
    assert_eq!(client.state().connection.epoch, 3);
    registry.publish_config("routes", "a: 3");
    assert_eq!(routes.changed().await.config().unwrap().content, "a: 3");
    registry.faults().kill_connections();
    until_true("the registration of the connection went with it", || {
        registry.instances("gateway").is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_down_is_not_spoken_to_in_another_way() {
    let registry = start(quick()).await;
    let (http, grpc) = (registry.http_addr(), registry.grpc_addr());
    let client = Client::connect(options(&[&registry]));
    until_true("connected", || client.states().borrow().connected).await;
    registry.stop().await;
    until_true("many attempts", || {
        client.state().counts.failed_connections >= 4
    })
    .await;
    let _second = start(Options {
        http,
        grpc: Some(grpc),
        ..quick()
    })
    .await;
    until_true("connected again", || client.states().borrow().connected).await;
    let state = client.state();
    assert_eq!(state.connection.transport, Some(Transport::Grpc));
    assert_eq!(state.counts.transport_changes, 0);
}

/// Stopped for a minute and let go, it was spoken to over HTTP for another minute, although gRPC worked.
#[tokio::test]
async fn a_server_that_was_frozen_is_spoken_to_over_grpc_again() {
    for frozen_ms in [900, 1_700, 2_600, 3_300] {
        let registry = start(quick()).await;
        let client = Client::connect(ClientOptions {
            request_timeout: Duration::from_millis(300),
            ..options(&[&registry])
        });
        let mut routes = client.watch_config("routes");
        until_true("connected", || client.states().borrow().connected).await;
        registry.faults().hang(true);
        tokio::time::sleep(Duration::from_millis(frozen_ms)).await;
        registry.faults().hang(false);
        registry.publish_config("routes", "a: 1");
        let back = async {
            loop {
                let state = client.states().borrow().clone();
                if state.connected && state.transport == Some(Transport::Grpc) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(3), back)
            .await
            .unwrap_or_else(|_| panic!("after {frozen_ms} ms: {:?}", client.state().connection));
        let told = async {
            // The first states may be of before it was published.
            while routes.changed().await.config().is_none() {}
        };
        timeout(Duration::from_secs(3), told).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_nacos_at_the_grpc_port_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });
    let client = Client::connect(ClientOptions {
        grpc_port: Some(port),
        // Nobody is there, so that HTTP is no way out.
        ..ClientOptions::new("127.0.0.1:1").unwrap()
    });
    until_true("an error", || client.states().borrow().last_error.is_some()).await;
    let error = client.states().borrow().last_error.clone().unwrap();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.contains("does not speak Nacos's gRPC"), "{error}");
}

#[tokio::test]
async fn a_server_that_loses_http_v1_is_spoken_to_over_v3() {
    let first = registry(Transport::HttpV1).await;
    let (http, grpc) = (first.http_addr(), first.grpc_addr());
    first.publish_config("routes", "a: 1");
    let client = Client::connect(options(&[&first]));
    let mut routes = client.watch_config("routes");
    routes.changed().await;
    first.stop().await;
    let second = start(Options {
        http,
        grpc: Some(grpc),
        ..served(Transport::HttpV3)
    })
    .await;
    second.publish_config("routes", "a: 2");
    assert_eq!(routes.changed().await.config().unwrap().content, "a: 2");
    let state = client.state();
    assert_eq!(state.connection.transport, Some(Transport::HttpV3));
    assert_eq!(state.counts.transport_changes, 2);
}
