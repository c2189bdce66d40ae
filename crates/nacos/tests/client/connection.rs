//! How connections are made, kept, given up and made again.

use std::time::Duration;

use pailou_nacos::{
    ClientOptions, Error, Instance,
    wire::{
        ConfigBatchListenRequest, ConfigQueryRequest, ConnectionSetupRequest, HealthCheckRequest,
        InstanceRequest, Payload, ServerCheckRequest, SubscribeServiceRequest,
    },
};
use tokio::time::{Instant, sleep, timeout};

use crate::script::{Answer, Net, connected, kind, until, until_connected};

#[tokio::test(start_paused = true)]
async fn a_connection_is_set_up_whether_or_not_the_server_says_so() {
    for (negotiates, unknown_for) in [(true, 0), (false, 0), (false, 4)] {
        let net = Net::new(&["one"]);
        net.server("one").state().negotiates = negotiates;
        net.server("one").state().unknown_for = unknown_for;
        let client = net.client();
        let begun = Instant::now();
        until_connected(&client, 1).await;
        assert!(
            begun.elapsed() < Duration::from_millis(200),
            "{negotiates} {unknown_for}: {:?}",
            begun.elapsed()
        );
        let setup = net.server("one").seen(kind::<ConnectionSetupRequest>());
        assert_eq!(setup[0].body["abilityTable"], serde_json::json!({}));
        assert_eq!(setup[0].body["labels"]["AppName"], "pailou");
        assert_eq!(
            client.state().counts.unregistered,
            0,
            "expected during set-up, so no trouble"
        );
        assert_eq!(*net.dialled.lock().unwrap(), [("one".to_owned(), 9848)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_set_up_acknowledgement_is_not_waited_for_long() {
    let net = Net::new(&["one"]);
    net.server("one").state().negotiates = false;
    let positive = r#"{"resultCode":200,"supportAbilityNegotiation":true,"success":true}"#;
    net.server("one").answer(
        kind::<ServerCheckRequest>(),
        Answer::Raw("ServerCheckResponse", positive),
    );
    let client = net.client();
    let begun = Instant::now();
    until_connected(&client, 1).await;
    assert!(begun.elapsed() < Duration::from_millis(1500));
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_is_told_everything_at_once_configs_first() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    server.write("routes", Some("a"));
    let mut services: Vec<_> = (0..200)
        .map(|n| client.watch_service(format!("service-{n}").as_str()))
        .collect();
    let mut orders = client.watch_service("orders");
    let mut routes = client.watch_config("routes");
    let registration = client
        .register("gateway", Instance::new("10.0.0.9", 80))
        .await
        .unwrap();
    assert_eq!(orders.changed().await.epoch, 1);
    routes.changed().await;
    for service in &mut services {
        service.changed().await;
    }

    server.stop();
    server.state().seen.clear();
    until("loss", || !client.states().borrow().connected).await;
    assert!(!registration.is_registered());
    server.put("orders", &["10.0.0.2"]);
    server.write("routes", Some("b"));
    server.start();
    let begun = Instant::now();
    let state = orders.changed().await;
    assert_eq!(
        (state.epoch, state.instances[0].ip.as_str()),
        (2, "10.0.0.2")
    );
    assert_eq!(routes.changed().await.config().unwrap().content, "b");
    for service in &mut services {
        assert_eq!(service.changed().await.epoch, 2);
    }
    until("registered", || registration.is_registered()).await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );

    let seen: Vec<_> = server
        .state()
        .seen
        .iter()
        .map(|seen| seen.kind.clone())
        .collect();
    let first = |kind: &str| seen.iter().position(|seen| seen == kind).unwrap();
    assert!(first(kind::<ConfigQueryRequest>()) < first(kind::<InstanceRequest>()));
    assert!(first(kind::<InstanceRequest>()) < first(kind::<SubscribeServiceRequest>()));
    assert_eq!(
        seen.iter()
            .filter(|seen| *seen == kind::<SubscribeServiceRequest>())
            .count(),
        201
    );
    assert_eq!(client.state().counts.lost_connections, 1);
}

#[tokio::test(start_paused = true)]
async fn at_most_64_requests_are_in_flight() {
    let net = Net::new(&["one"]);
    let server = net.server("one");
    for _ in 0..100 {
        server.answer(
            kind::<SubscribeServiceRequest>(),
            Answer::Late(Duration::from_secs(1)),
        );
    }
    let client = net.client();
    let _services: Vec<_> = (0..100)
        .map(|n| client.watch_service(format!("service-{n}").as_str()))
        .collect();
    until_connected(&client, 1).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(server.seen(kind::<SubscribeServiceRequest>()).len(), 64);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.seen(kind::<SubscribeServiceRequest>()).len(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_kills_a_connection_is_noticed_and_healed() {
    type Kill = fn(&crate::script::Server);
    let cases: [(&str, Kill, u64); 6] = [
        ("cut", |server| server.cut(), 1),
        ("clean end of the stream", |server| server.end_streams(), 1),
        (
            "301",
            |server| server.answer(kind::<HealthCheckRequest>(), Answer::Error(301)),
            6,
        ),
        ("silence", |server| server.state().is_silent = true, 12),
        ("reset without a hint", |server| server.reset(None), 1),
        (
            "reset to itself",
            |server| server.reset(Some(("one", "8848"))),
            1,
        ),
    ];
    for (name, kill, seconds) in cases {
        let (server, client) = connected().await;
        let mut orders = client.watch_service("orders");
        orders.changed().await;
        sleep(Duration::from_secs(30)).await;
        kill(&server);
        let begun = Instant::now();
        until(name, || client.state().counts.lost_connections == 1).await;
        assert!(
            begun.elapsed() < Duration::from_secs(seconds),
            "{name}: {:?}",
            begun.elapsed()
        );
        server.state().is_silent = false;
        until_connected(&client, 2).await;
        assert_eq!(orders.changed().await.epoch, 2, "{name}");
        assert!(
            begun.elapsed() < Duration::from_secs(seconds + 1),
            "{name}: {:?}",
            begun.elapsed()
        );
        assert_eq!(
            server.connections(),
            1,
            "{name}: the old connection is gone"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_unanswered_health_check_is_forgiven() {
    let (server, client) = connected().await;
    server.answer(kind::<HealthCheckRequest>(), Answer::Nothing);
    sleep(Duration::from_secs(60)).await;
    assert!(client.states().borrow().connected);
    assert_eq!(client.states().borrow().epoch, 1);
    let checks = server.seen(kind::<HealthCheckRequest>()).len();
    assert!((11..=13).contains(&checks), "{checks} in a minute");
}

#[tokio::test(start_paused = true)]
async fn everything_on_the_stream_is_acknowledged() {
    let (server, client) = connected().await;
    let mut orders = client.watch_service("orders");
    let mut routes = client.watch_config("routes");
    orders.changed().await;
    routes.changed().await;
    server.push("orders");
    server.notify("routes");
    server.detect();
    server.send(Payload::raw(
        "NotifySubscriberRequest",
        r#"{"requestId":"7","serviceInfo":[]}"#,
        Default::default(),
    ));
    server.send(Payload::raw(
        "FuzzyWatchNotifyRequest",
        r#"{"requestId":"8"}"#,
        Default::default(),
    ));
    server.send(Payload::raw("Gibberish", "{{{", Default::default()));
    until("acknowledged", || server.state().acks.len() == 5).await;
    assert_eq!(
        server.state().acks,
        [
            "NotifySubscriberResponse",
            "ConfigChangeNotifyResponse",
            "ClientDetectionResponse",
            "NotifySubscriberResponse",
            "FuzzyWatchNotifyResponse"
        ]
    );
    let state = client.state();
    assert!(state.connection.connected);
    let counts = state.counts;
    assert_eq!(
        (
            counts.service_pushes,
            counts.config_notices,
            counts.detections,
            counts.malformed
        ),
        (2, 1, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_followed_to_configured_servers_only() {
    for (hint, expected) in [
        (("two", "8848"), "two:8848"),
        (("evil", "8848"), ""),
        (("two", "1"), ""),
    ] {
        let net = Net::new(&["one", "two", "zero"]);
        for other in ["two", "zero"] {
            net.server(other).state().is_down = true;
        }
        let client = net.client();
        until_connected(&client, 1).await;
        net.server("two").start();
        net.server("zero").start();
        net.server("one").reset(Some(hint));
        until_connected(&client, 2).await;
        let server = client.state().connection.server.unwrap();
        assert!(
            server.contains(expected) && server != "one:8848",
            "{hint:?} led to {server}"
        );
        assert!(
            net.dialled
                .lock()
                .unwrap()
                .iter()
                .all(|(host, port)| host != "evil" && *port == 9848)
        );
        assert_eq!(client.state().counts.resets, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_goes_to_the_server_that_answers() {
    let net = Net::new(&["one", "two"]);
    let client = net.client();
    until_connected(&client, 1).await;
    for epoch in 2..8 {
        sleep(Duration::from_secs(20)).await;
        let at = client.state().connection.server.unwrap();
        let (old, new) = if at == "one:8848" {
            ("one", "two")
        } else {
            ("two", "one")
        };
        net.server(old).stop();
        let begun = Instant::now();
        until_connected(&client, epoch).await;
        assert!(
            begun.elapsed() < Duration::from_millis(500),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(
            client.state().connection.server.unwrap(),
            format!("{new}:8848")
        );
        net.server(old).start();
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_starts_or_is_full_is_tried_again() {
    for answer in [
        Answer::Error(300),
        Answer::Error(503),
        Answer::Nothing,
        Answer::Raw("Odd", "{}"),
    ] {
        let net = Net::new(&["one"]);
        for _ in 0..3 {
            net.server("one")
                .answer(kind::<ServerCheckRequest>(), answer.clone());
        }
        let client = net.client();
        until_connected(&client, 1).await;
        let state = client.state();
        assert_eq!(state.counts.failed_connections, 3, "{answer:?}");
        assert!(state.connection.last_error.is_some());
    }
}

/// It took up to ten seconds, since the pauses had grown to that.
#[tokio::test(start_paused = true)]
async fn after_an_outage_of_any_length_everything_is_back_within_two_seconds() {
    for (names, outage) in [(&["one"][..], 15), (&["one"], 70), (&["one", "two"], 200)] {
        let net = Net::new(names);
        let client = net.client();
        let mut orders = client.watch_service("orders");
        until_connected(&client, 1).await;
        for name in names {
            net.server(name).stop();
        }
        sleep(Duration::from_secs(outage)).await;
        assert!(!client.states().borrow().connected);
        // Any one of them.
        let back = net.server(names[names.len() - 1]);
        back.put("orders", &["10.0.0.7"]);
        back.start();
        let begun = Instant::now();
        let listed = async { while orders.changed().await.instances.is_empty() {} };
        timeout(Duration::from_secs(2), listed)
            .await
            .unwrap_or_else(|_| panic!("{names:?} after {outage} s: {:?}", begun.elapsed()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_not_hammered_and_a_living_one_is_found_soon() {
    let net = Net::new(&["one"]);
    net.server("one").state().is_down = true;
    let client = net.client();
    sleep(Duration::from_secs(120)).await;
    let tries = client.state().counts.failed_connections;
    assert!((12..30).contains(&tries), "{tries} tries in two minutes");
    // Between them it is only looked whether the port takes a connection, once a second.
    let dialled = net.dialled.lock().unwrap().clone();
    let looks = dialled.iter().filter(|(_, port)| *port == 9848).count();
    assert!((60..200).contains(&looks), "{looks} looks in two minutes");
    assert!(
        client
            .state()
            .connection
            .last_error
            .unwrap()
            .contains("one:9848")
    );
    net.server("one").start();
    let begun = Instant::now();
    until_connected(&client, 1).await;
    assert!(begun.elapsed() <= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_operations_fail_in_time_and_say_why() {
    let net = Net::new(&["one"]);
    net.server("one").state().is_down = true;
    let client = net.client();
    let begun = Instant::now();
    let error = client.query_service("orders").await.unwrap_err();
    assert!(
        matches!(&error, Error::NotConnected(reason) if reason.contains("one:9848")),
        "{error}"
    );
    assert!(matches!(
        client.config("routes").await,
        Err(Error::NotConnected(_))
    ));
    let refused = client
        .register("orders", Instance::new("10.0.0.1", 1))
        .await;
    assert!(matches!(refused, Err(Error::NotConnected(_))));
    assert!(begun.elapsed() <= Duration::from_secs(9) + Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_request_fails_in_time_and_harms_no_other() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    server.answer("ServiceQueryRequest", Answer::Nothing);
    let error = client.query_service("orders").await.unwrap_err();
    assert_eq!(
        error,
        Error::Timeout {
            operation: "ServiceQueryRequest",
            after: Duration::from_secs(3)
        }
    );
    assert_eq!(
        client
            .query_service("orders")
            .await
            .unwrap()
            .instances
            .len(),
        1
    );
    assert_eq!(client.state().counts.timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn each_namespace_has_one_connection_of_its_own() {
    let (server, client) = connected().await;
    let staging = client.with_namespace("staging");
    let again = client.with_namespace("staging");
    assert_eq!(client.with_namespace("public").namespace(), "");
    let mut one = staging.watch_service("orders");
    let mut other = again.watch_config("routes");
    let mut default = client.watch_service("orders");
    one.changed().await;
    other.changed().await;
    default.changed().await;
    assert_eq!(server.connections(), 2);
    let namespaces = server.seen(kind::<SubscribeServiceRequest>());
    let namespaces: Vec<_> = namespaces
        .iter()
        .map(|seen| seen.body["namespace"].as_str().unwrap())
        .collect();
    assert!(
        namespaces.contains(&"public") && namespaces.contains(&"staging"),
        "{namespaces:?}"
    );
    let listen = server.seen(kind::<ConfigBatchListenRequest>());
    assert_eq!(
        listen[0].body["configListenContexts"][0]["tenant"],
        "staging"
    );
    drop((staging, again, one, other));
    until("the other connection ends", || server.connections() == 1).await;
    assert!(client.states().borrow().connected);
}

#[tokio::test(start_paused = true)]
async fn the_session_ends_with_its_last_handle_and_by_closing() {
    let (server, client) = connected().await;
    let watch = client.watch_service("orders");
    drop(client);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(server.connections(), 1, "the watch keeps it");
    drop(watch);
    until("ended", || server.connections() == 0).await;

    let (server, client) = connected().await;
    let registration = client
        .register("orders", Instance::new("10.0.0.1", 80))
        .await
        .unwrap();
    let other = client.clone();
    client.close().await;
    assert!(
        server.state().services["orders"].is_empty(),
        "deregistered before the end"
    );
    until("ended", || server.connections() == 0).await;
    assert_eq!(
        other.query_service("orders").await.unwrap_err(),
        Error::Closed
    );
    assert_eq!(
        other
            .keep_registered("x", Instance::new("10.0.0.1", 80))
            .unwrap_err(),
        Error::Closed
    );
    registration.deregister().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_is_quick_when_the_server_is_gone() {
    for is_silent in [true, false] {
        let (server, client) = connected().await;
        let _registration = client
            .register("orders", Instance::new("10.0.0.1", 80))
            .await
            .unwrap();
        if is_silent {
            server.state().is_silent = true;
        } else {
            server.stop();
            until("loss", || !client.states().borrow().connected).await;
        }
        let begun = Instant::now();
        timeout(Duration::from_secs(2), client.close())
            .await
            .unwrap();
        assert!(
            begun.elapsed() <= Duration::from_millis(1100),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_port_can_be_set() {
    let net = Net::new(&["one"]);
    let options = ClientOptions {
        grpc_port: Some(7777),
        ..net.options()
    };
    let client = pailou_nacos::Client::connect_over(options, net.clone());
    until_connected(&client, 1).await;
    assert_eq!(*net.dialled.lock().unwrap(), [("one".to_owned(), 7777)]);
}
