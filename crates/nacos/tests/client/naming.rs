//! Watching and asking for services.

use std::time::Duration;

use pailou_nacos::{
    Error, Origin, ServiceWatch,
    wire::{Payload, ServiceQueryRequest, SubscribeServiceRequest},
};
use tokio::time::{Instant, sleep, timeout};

use crate::script::{Answer, connected, kind, until, until_connected};

fn ips(watch: &ServiceWatch) -> Vec<String> {
    watch
        .current()
        .unwrap()
        .instances
        .iter()
        .map(|instance| instance.ip.clone())
        .collect()
}

async fn is_quiet(watch: &mut ServiceWatch) -> bool {
    timeout(Duration::from_secs(1), watch.changed())
        .await
        .is_err()
}

#[tokio::test(start_paused = true)]
async fn a_watch_has_the_whole_state_first_and_then_each_change() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.2", "10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    assert!(watch.current().is_none());
    let state = watch.changed().await;
    assert_eq!(
        (state.origin, state.epoch, state.protected),
        (Origin::Subscribe, 1, false)
    );
    assert_eq!(ips(&watch), ["10.0.0.1", "10.0.0.2"]);

    server.put("orders", &["10.0.0.3"]);
    server.state().is_protected = true;
    server.push("orders");
    let state = watch.changed().await;
    assert_eq!(
        (state.origin, state.epoch, state.protected),
        (Origin::Push, 1, true)
    );
    assert_eq!(ips(&watch), ["10.0.0.3"]);

    let seen = server.seen(kind::<SubscribeServiceRequest>());
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[0].body["clusters"], "",
        "one filter per connection: clusters are filtered by the reader"
    );
    assert_eq!(seen[0].body["namespace"], "public");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_state_wakes_no_one_but_renews_the_age() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    let first = watch.changed().await;
    sleep(Duration::from_secs(1)).await;
    server.push("orders");
    assert!(is_quiet(&mut watch).await);
    assert!(watch.current().unwrap().received > first.received);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_an_empty_list() {
    let empty = r#"{"resultCode":200,"success":true}"#;
    let hostless = r#"{"resultCode":200,"serviceInfo":{"name":"orders"},"success":true}"#;
    let silent = r#"{"serviceInfo":{"name":"orders","hosts":[]}}"#;
    let fake = r#"{"resultCode":200,"serviceInfo":{"name":"orders","hosts":[]},"success":true}"#;
    for (answer, cause) in [
        (Answer::Fail(403), "forbidden"),
        (Answer::Fail(500), "refused"),
        (Answer::Fail(300), "refused"),
        (Answer::Error(300), "starting"),
        (Answer::Error(503), "overloaded"),
        (Answer::Error(302), "refused"),
        (Answer::Nothing, "timeout"),
        (Answer::Raw("SubscribeServiceResponse", empty), "malformed"),
        (
            Answer::Raw("SubscribeServiceResponse", hostless),
            "malformed",
        ),
        (Answer::Raw("SubscribeServiceResponse", silent), "refused"),
        (
            Answer::Raw("SubscribeServiceResponse", "<html>"),
            "malformed",
        ),
        (Answer::Raw("ErrorResponse", fake), "malformed"),
        (Answer::Raw("QueryServiceResponse", fake), "malformed"),
    ] {
        let (server, client) = connected().await;
        server.put("orders", &["10.0.0.1"]);
        let mut watch = client.watch_service("orders");
        watch.changed().await;
        // On the next connection the server answers badly at first.
        server.answer(kind::<SubscribeServiceRequest>(), answer.clone());
        server.cut();
        until("error", || watch.last_error().is_some()).await;
        assert_eq!(watch.last_error().unwrap().cause(), cause, "{answer:?}");
        assert_eq!(ips(&watch), ["10.0.0.1"], "{answer:?}");
        assert_eq!(
            watch.current().unwrap().epoch,
            1,
            "still the state of the first connection"
        );
        let sync = &client.state().services[0];
        assert!(!sync.is_current && sync.error.is_some());
        // It is tried again by itself.
        assert_eq!(watch.changed().await.epoch, 2, "{answer:?}");
        assert!(watch.last_error().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_push_changes_nothing() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    for json in [
        r#"{"requestId":"1","serviceInfo":{"name":"orders","groupName":"DEFAULT_GROUP"}}"#,
        r#"{"requestId":"1","serviceInfo":{"name":"orders","groupName":"DEFAULT_GROUP","hosts":null}}"#,
        r#"{"requestId":"1"}"#,
        r#"{"requestId":"1","serviceInfo":{"name":"orders","hosts":[7]}}"#,
        r#"{"requestId":"#,
    ] {
        server.send(Payload::raw(
            "NotifySubscriberRequest",
            json,
            Default::default(),
        ));
    }
    until("read", || client.state().counts.malformed == 5).await;
    assert!(is_quiet(&mut watch).await);
    assert_eq!(ips(&watch), ["10.0.0.1"]);
    assert!(client.states().borrow().connected);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_one_when_the_server_says_so() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    server.put("orders", &[]);
    server.push("orders");
    assert!(watch.changed().await.instances.is_empty());
}

#[tokio::test(start_paused = true)]
async fn in_a_storm_of_pushes_the_newest_wins() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    for n in 0..2000 {
        server.put("orders", &[&format!("10.1.{}.{}", n / 250, n % 250)]);
        server.push("orders");
    }
    until("the newest", || ips(&watch) == ["10.1.7.249"]).await;
    watch.changed().await;
    assert!(
        is_quiet(&mut watch).await,
        "a slow reader sees the newest once"
    );
    assert_eq!(client.state().counts.service_pushes, 2000);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_overtakes_an_answer_wins() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    server.answer(
        kind::<SubscribeServiceRequest>(),
        Answer::Late(Duration::from_millis(500)),
    );
    let mut watch = client.watch_service("orders");
    until("asked", || {
        server.seen(kind::<SubscribeServiceRequest>()).len() == 1
    })
    .await;
    server.put("orders", &["10.0.0.2"]);
    server.push("orders");
    assert_eq!(watch.changed().await.origin, Origin::Push);
    assert!(is_quiet(&mut watch).await);
    assert_eq!(
        ips(&watch),
        ["10.0.0.2"],
        "the answer was the older of the two"
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_watch_unsubscribes_and_a_new_one_subscribes_again() {
    let (server, client) = connected().await;
    let mut one = client.watch_service("orders");
    let other = client.watch_service("orders");
    one.changed().await;
    let mut third = one.clone();
    drop((one, other));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        server.seen(kind::<SubscribeServiceRequest>()).len(),
        1,
        "still watched"
    );
    server.put("orders", &["10.0.0.1"]);
    server.push("orders");
    third.changed().await;
    drop(third);
    until("unsubscribed", || {
        server.seen(kind::<SubscribeServiceRequest>()).len() == 2
    })
    .await;
    assert_eq!(
        server.seen(kind::<SubscribeServiceRequest>())[1].body["subscribe"],
        false
    );
    assert!(client.state().services.is_empty());

    let mut again = client.watch_service("orders");
    assert_eq!(again.changed().await.instances.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_unsubscription_is_repeated() {
    let (server, client) = connected().await;
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    server.answer(kind::<SubscribeServiceRequest>(), Answer::Error(503));
    drop(watch);
    until("repeated", || {
        server.seen(kind::<SubscribeServiceRequest>()).len() == 3
    })
    .await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(server.seen(kind::<SubscribeServiceRequest>()).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_second_watch_has_the_state_at_once() {
    let (server, client) = connected().await;
    server.put("shop@@orders", &["10.0.0.1"]);
    client.watch_service(("shop", "orders")).changed().await;
    let mut first = client.watch_service("shop@@orders");
    first.changed().await;
    let mut second = client.watch_service(("shop", "orders"));
    assert_eq!(
        timeout(Duration::ZERO, second.changed())
            .await
            .unwrap()
            .instances
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_push_is_found_by_the_audit_and_counted() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    server.put("orders", &["10.0.0.2"]);
    let begun = Instant::now();
    let state = watch.changed().await;
    assert_eq!(
        (state.origin, state.instances[0].ip.as_str()),
        (Origin::Audit, "10.0.0.2")
    );
    assert!(
        begun.elapsed() < Duration::from_secs(48),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(client.state().counts.service_drift, 1);
    until("subscribed again", || {
        server.seen(kind::<SubscribeServiceRequest>()).len() == 2
    })
    .await;
    sleep(Duration::from_secs(200)).await;
    let counts = client.state().counts;
    assert_eq!((counts.service_drift, counts.audits), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_merely_late_is_no_drift() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    server.put("orders", &["10.0.0.2"]);
    until("audit asks", || {
        !server.seen(kind::<ServiceQueryRequest>()).is_empty()
    })
    .await;
    sleep(Duration::from_millis(600)).await;
    server.push("orders");
    assert_eq!(watch.changed().await.origin, Origin::Push);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(client.state().counts.service_drift, 0);
    assert_eq!(server.seen(kind::<SubscribeServiceRequest>()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_audit_confirms_what_is_known_and_an_error_in_it_changes_nothing() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    sleep(Duration::from_secs(50)).await;
    assert!(client.state().services[0].age_ms.unwrap() < 10_000);
    server.answer(kind::<ServiceQueryRequest>(), Answer::Error(503));
    until("error", || watch.last_error() == Some(Error::Overloaded)).await;
    assert_eq!(ips(&watch), ["10.0.0.1"]);
    until("error gone", || watch.last_error().is_none()).await;
    assert!(is_quiet(&mut watch).await);
    assert_eq!(client.state().counts.service_drift, 0);
}

#[tokio::test(start_paused = true)]
async fn a_single_question_is_answered_or_fails() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let state = client.query_service("orders").await.unwrap();
    assert_eq!(
        (state.instances.len(), state.origin, state.epoch),
        (1, Origin::Query, 1)
    );
    assert!(
        client
            .query_service("nobody")
            .await
            .unwrap()
            .instances
            .is_empty()
    );
    server.answer(kind::<ServiceQueryRequest>(), Answer::Fail(403));
    assert_eq!(
        client.query_service("orders").await.unwrap_err().cause(),
        "forbidden"
    );
}

#[tokio::test(start_paused = true)]
async fn a_state_of_an_old_connection_never_follows_one_of_a_new_one() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    for epoch in 2..20 {
        server.put("orders", &["10.9.9.9"]);
        server.push("orders");
        server.cut();
        server.put("orders", &["10.0.0.1"]);
        until_connected(&client, epoch).await;
        until("told", || watch.current().unwrap().epoch == epoch).await;
        assert_eq!(ips(&watch), ["10.0.0.1"]);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(ips(&watch), ["10.0.0.1"]);
    }
}
