//! Faults that were there once, each with its story.

use std::time::Duration;

use pailou_nacos::{
    Instance,
    wire::{ConfigBatchListenRequest, InstanceRequest, SubscribeServiceRequest},
};

use crate::script::{Answer, Server, connected, kind, until};

fn last(server: &Server, kind: &str, field: &str) -> bool {
    let seen = server.seen(kind);
    seen.last().expect(kind).body[field].as_bool().expect(field)
}

/// Found by simulation: the end of a subscription took away the note that there was one, when no one wanted it any
/// more by then, and so it was never ended. The server pushed to no one for as long as the connection lived.
#[tokio::test(start_paused = true)]
async fn a_watch_that_is_dropped_before_its_first_state_is_told_off() {
    let slow = Answer::Late(Duration::from_millis(500));
    let (server, client) = connected().await;
    let subscribe = kind::<SubscribeServiceRequest>();
    server.answer(subscribe, slow.clone());
    let watch = client.watch_service("orders");
    until("subscribed", || server.seen(subscribe).len() == 1).await;
    drop(watch);
    until("told off", || server.seen(subscribe).len() == 2).await;
    assert!(!last(&server, subscribe, "subscribe"));

    let listen = kind::<ConfigBatchListenRequest>();
    server.answer(listen, slow);
    let watch = client.watch_config("routes.yaml");
    until("listening", || server.seen(listen).len() == 1).await;
    drop(watch);
    until("told off", || server.seen(listen).len() == 2).await;
    assert!(!last(&server, listen, "listen"));
}

/// Found by simulation: a server that failed to deregister was taken for one that had refused to register, and the
/// instance stayed for as long as the connection, which is as long as the process.
#[tokio::test(start_paused = true)]
async fn a_deregistration_that_fails_is_repeated() {
    let (server, client) = connected().await;
    let orders = Instance::new("10.0.0.1", 80);
    let registration = client.register("orders", orders).await.unwrap();
    for _ in 0..3 {
        server.answer(kind::<InstanceRequest>(), Answer::Fail(500));
    }
    drop(registration);
    until("gone", || server.state().services["orders"].is_empty()).await;
    until("forgotten", || client.state().registrations.is_empty()).await;
    assert_eq!(server.seen(kind::<InstanceRequest>()).len(), 5);
}
