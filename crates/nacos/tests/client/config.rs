//! Configs: asking, publishing, removing, watching.

use std::time::Duration;

use pailou_nacos::{
    ConfigState, ConfigWatch, Error, Publish,
    wire::{ConfigBatchListenRequest, ConfigPublishRequest, ConfigQueryRequest},
};
use tokio::time::{Instant, sleep, timeout};

use crate::script::{Answer, Server, connected, kind, until, until_connected};

fn content(state: &ConfigState) -> Option<&str> {
    state.config().map(|config| config.content.as_str())
}

async fn is_quiet(watch: &mut ConfigWatch) -> bool {
    timeout(Duration::from_secs(1), watch.changed())
        .await
        .is_err()
}

fn change(server: &Server, data_id: &str, content: Option<&str>) {
    server.write(data_id, content);
    server.notify(data_id);
}

#[tokio::test(start_paused = true)]
async fn a_config_is_published_read_and_removed() {
    let (server, client) = connected().await;
    assert_eq!(client.config("routes").await.unwrap(), None);
    let how = Publish {
        kind: Some("yaml".into()),
        if_md5: None,
    };
    client.publish_config("routes", "a: 1", how).await.unwrap();
    let seen = server.seen(kind::<ConfigPublishRequest>());
    assert_eq!(
        (
            &seen[0].body["tenant"],
            &seen[0].body["additionMap"]["type"]
        ),
        (&"".into(), &"yaml".into())
    );
    let config = client.config("routes").await.unwrap().unwrap();
    assert_eq!(config.content, "a: 1");

    let swap = |md5: &str| Publish {
        kind: None,
        if_md5: Some(md5.to_owned()),
    };
    let refused = client
        .publish_config("routes", "a: 2", swap("other"))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::Refused { code: 500, .. }),
        "{refused}"
    );
    client
        .publish_config("routes", "a: 2", swap(&config.md5))
        .await
        .unwrap();
    assert_eq!(
        client.config("routes").await.unwrap().unwrap().content,
        "a: 2"
    );

    let blank = client
        .publish_config("routes", " \n", Publish::default())
        .await;
    assert!(matches!(blank, Err(Error::Invalid(_))));
    client.remove_config("routes").await.unwrap();
    assert_eq!(client.config("routes").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_absent_config_is_watched_and_its_first_publish_arrives() {
    let (server, client) = connected().await;
    let mut watch = client.watch_config("routes");
    assert_eq!(watch.current(), None, "knowing nothing is not absence");
    assert_eq!(watch.changed().await, ConfigState::Absent);
    for (now, expected) in [
        (Some("a"), Some("a")),
        (Some("b"), Some("b")),
        (None, None),
        (Some("b"), Some("b")),
        (Some("c"), Some("c")),
    ] {
        change(&server, "routes", now);
        assert_eq!(content(&watch.changed().await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_followed_at_once() {
    let (server, client) = connected().await;
    let mut watch = client.watch_config("routes");
    watch.changed().await;
    change(&server, "routes", Some("a"));
    let begun = Instant::now();
    watch.changed().await;
    assert!(
        begun.elapsed() < Duration::from_millis(10),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_between_asking_and_listening_is_not_missed() {
    let (server, client) = connected().await;
    server.write("routes", Some("a"));
    server.answer(
        kind::<ConfigQueryRequest>(),
        Answer::Late(Duration::from_millis(100)),
    );
    server.answer(
        kind::<ConfigBatchListenRequest>(),
        Answer::Late(Duration::from_millis(100)),
    );
    let mut watch = client.watch_config("routes");
    until("asked", || {
        server.seen(kind::<ConfigQueryRequest>()).len() == 1
    })
    .await;
    server.write("routes", Some("b"));
    assert_eq!(content(&watch.changed().await), Some("a"));
    assert_eq!(
        content(&watch.changed().await),
        Some("b"),
        "the answer to the listening says that it changed"
    );
}

#[tokio::test(start_paused = true)]
async fn in_a_storm_of_notices_the_newest_wins() {
    let (server, client) = connected().await;
    let mut watch = client.watch_config("routes");
    watch.changed().await;
    for n in 0..500 {
        change(&server, "routes", Some(&format!("version {n}")));
        tokio::task::yield_now().await;
    }
    until("the newest", || {
        watch.current().as_ref().and_then(content) == Some("version 499")
    })
    .await;
    watch.changed().await;
    assert!(is_quiet(&mut watch).await);
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_disconnected_arrives_at_once_afterwards() {
    let (server, client) = connected().await;
    server.write("routes", Some("a"));
    server.write("other", Some("same"));
    let mut routes = client.watch_config("routes");
    let mut other = client.watch_config("other");
    let mut gone = client.watch_config("gone");
    routes.changed().await;
    other.changed().await;
    gone.changed().await;
    server.write("routes", None);
    server.cut();
    server.write("gone", Some("back"));
    assert_eq!(routes.changed().await, ConfigState::Absent);
    assert_eq!(content(&gone.changed().await), Some("back"));
    assert!(is_quiet(&mut other).await, "nothing new about it");
    assert!(
        client
            .state()
            .configs
            .iter()
            .all(|config| config.is_current && config.epoch == Some(2))
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_absence() {
    let contentless = r#"{"resultCode":200,"success":true}"#;
    for answer in [
        Answer::Fail(403),
        Answer::Fail(400),
        Answer::Error(300),
        Answer::Nothing,
        Answer::Raw("ConfigQueryResponse", contentless),
    ] {
        let (server, client) = connected().await;
        server.write("routes", Some("a"));
        let mut watch = client.watch_config("routes");
        watch.changed().await;
        server.answer(kind::<ConfigQueryRequest>(), answer.clone());
        server.notify("routes");
        until("error", || watch.last_error().is_some()).await;
        assert_eq!(
            watch.current().as_ref().and_then(content),
            Some("a"),
            "{answer:?}"
        );
        server.write("routes", Some("b"));
        assert_eq!(
            content(&watch.changed().await),
            Some("b"),
            "{answer:?}: tried again by itself"
        );
        assert_eq!(watch.last_error(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn notices_in_every_tenant_form_are_understood_and_those_of_others_ignored() {
    let (server, client) = connected().await;
    let mut watch = client.watch_config("routes");
    watch.changed().await;
    for (n, tenant) in [r#""""#, r#""public""#, "null"].iter().enumerate() {
        server.write("routes", Some(&n.to_string()));
        server.send(notice(tenant));
        assert_eq!(
            content(&watch.changed().await),
            Some(n.to_string().as_str())
        );
    }
    server.write("routes", Some("other"));
    server.send(notice(r#""staging""#));
    assert!(is_quiet(&mut watch).await);
}

fn notice(tenant: &str) -> pailou_nacos::wire::Payload {
    let json = format!(
        r#"{{"requestId":"1","dataId":"routes","group":"DEFAULT_GROUP","tenant":{tenant}}}"#
    );
    pailou_nacos::wire::Payload::raw("ConfigChangeNotifyRequest", json, Default::default())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_distrusts_its_own_hash_is_not_asked_forever() {
    let (server, client) = connected().await;
    server.write("routes", Some("a"));
    let changed =
        r#"{"resultCode":200,"changedConfigs":[{"dataId":"routes","group":"DEFAULT_GROUP"}]}"#;
    for _ in 0..50 {
        server.answer(
            kind::<ConfigBatchListenRequest>(),
            Answer::Raw("ConfigChangeBatchListenResponse", changed),
        );
    }
    let mut watch = client.watch_config("routes");
    watch.changed().await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(server.seen(kind::<ConfigQueryRequest>()).len(), 2);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(client.state().counts.config_drift, 0);
    assert!(is_quiet(&mut watch).await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_notice_is_found_by_the_audit_and_counted() {
    let (server, client) = connected().await;
    let mut routes = client.watch_config("routes");
    let mut others: Vec<_> = (0..3)
        .map(|n| client.watch_config(format!("other-{n}").as_str()))
        .collect();
    routes.changed().await;
    for other in &mut others {
        other.changed().await;
    }
    for now in [Some("a"), Some("b"), None] {
        server.write("routes", now);
        let begun = Instant::now();
        assert_eq!(content(&routes.changed().await), now);
        assert!(
            begun.elapsed() < Duration::from_secs(48),
            "{:?}",
            begun.elapsed()
        );
    }
    assert_eq!(client.state().counts.config_drift, 3);
    assert!(is_quiet(&mut others[0]).await);
}

#[tokio::test(start_paused = true)]
async fn the_last_watch_stops_listening() {
    let (server, client) = connected().await;
    let mut watch = client.watch_config("routes");
    watch.changed().await;
    until("listening", || {
        server.seen(kind::<ConfigBatchListenRequest>()).len() == 1
    })
    .await;
    drop(watch);
    until("stopped", || {
        server.seen(kind::<ConfigBatchListenRequest>()).len() == 2
    })
    .await;
    assert_eq!(
        server.seen(kind::<ConfigBatchListenRequest>())[1].body["listen"],
        false
    );
    server.cut();
    until_connected(&client, 2).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        server.seen(kind::<ConfigQueryRequest>()).len(),
        1,
        "nothing is owed to the new connection"
    );
}
