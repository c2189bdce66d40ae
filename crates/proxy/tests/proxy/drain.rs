//! Starting and stopping.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::client::Client;
use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Step, Upstream, ok, response};

/// An endpoint that takes its time.
async fn slow() -> Upstream {
    Upstream::start(|_| {
        vec![
            Step::Wait(Duration::from_millis(500)),
            Step::Send(response("200 OK", "", "late")),
        ]
    })
    .await
}

#[tokio::test]
async fn nothing_is_accepted_before_it_is_said() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    gateway.serving.set_accepting(false);
    tokio::time::sleep(Duration::from_millis(50)).await;
    // The kernel takes the connection; the gateway does not.
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(gateway.serving.connections(), 0);
    gateway.serving.set_accepting(true);
    assert_eq!(client.answer().await.text(), "ok", "it only waited");
}

#[tokio::test]
async fn a_drain_asks_clients_to_leave_and_finishes_what_is_in_flight() {
    let upstream = slow().await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the request arrived", || upstream.received().len() == 1).await;

    gateway.serving.begin_drain();
    let mut other = gateway.connect().await;
    other.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the second arrived", || upstream.received().len() == 2).await;
    assert_eq!(gateway.serving.in_flight(), 2);

    gateway.serving.stop_accepting();
    let idle = gateway.serving.idle();
    tokio::pin!(idle);
    tokio::select! {
        () = &mut idle => panic!("two requests are in flight"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    assert!(
        TcpStream::connect(gateway.address()).await.is_err(),
        "the listener is closed"
    );
    for client in [&mut client, &mut other] {
        let answer = client.answer().await;
        assert_eq!(
            (answer.text(), answer.header("connection")),
            ("late", Some("close"))
        );
        assert!(client.is_closed().await);
    }
    tokio::time::timeout(Duration::from_secs(2), idle)
        .await
        .expect("idle at once");
    assert_eq!(
        (gateway.serving.in_flight(), gateway.serving.connections()),
        (0, 0)
    );
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.get("/").await.status, 200);
    gateway.serving.stop_accepting();
    tokio::time::timeout(Duration::from_secs(3), gateway.serving.idle())
        .await
        .expect("at once");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_connection_in_the_queue_is_still_served() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    gateway.serving.set_accepting(false);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut queued = Vec::new();
    for _ in 0..10 {
        let mut client = gateway.connect().await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        queued.push(client);
    }
    gateway.serving.stop_accepting();
    gateway.serving.idle().await;
    for mut client in queued {
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
    }
}

#[tokio::test]
async fn a_new_connection_has_a_moment_for_its_request() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    until("it is accepted", || gateway.serving.connections() == 1).await;
    gateway.serving.stop_accepting();
    let serving = gateway.serving.idle();
    let asking = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.get("/").await.status
    };
    let ((), status) = tokio::join!(serving, asking);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let upstream = Upstream::start(|_| vec![Step::Wait(Duration::from_secs(60))]).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the request arrived", || upstream.received().len() == 1).await;
    gateway.serving.stop_accepting();
    let idle = tokio::time::timeout(Duration::from_millis(200), gateway.serving.idle());
    assert!(idle.await.is_err());
    assert_eq!(gateway.serving.abort(), 1);
    assert!(client.is_closed().await);
    gateway.serving.idle().await;
}

#[tokio::test]
async fn dropping_it_frees_the_port() {
    let gateway = Gateway::start(ANY, &[]).await;
    let address = gateway.address();
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.status, 503);
    drop(gateway);
    assert!(client.is_closed().await);
    for _ in 0..100 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the port is still taken");
}
