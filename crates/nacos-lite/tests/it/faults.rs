//! Misbehaviour on command.

use std::{collections::HashMap, time::Duration};

use pailou_nacos_lite::{Answer, ClockMove, Instance, Options, Registry};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

use crate::raw::{Message, PATIENCE, RawClient, STREAM_END};

/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);

async fn registry() -> Registry {
    let options = Options {
        push_delay: Duration::from_millis(20),
        ..Options::default()
    };
    Registry::start(options)
        .await
        .expect("there are free ports")
}

fn service() -> Value {
    json!({"namespace": "public", "serviceName": "s", "groupName": "DEFAULT_GROUP", "subscribe": true})
}

#[tokio::test]
async fn connections_are_refused_until_they_are_not() {
    let registry = registry().await;
    let mut existing = RawClient::ready(registry.grpc_addr()).await;
    registry.faults().refuse_connections(true);
    for address in [registry.http_addr(), registry.grpc_addr()] {
        let refused = async { while TcpStream::connect(address).await.is_ok() {} };
        timeout(PATIENCE, refused).await.expect("the port closes");
    }
    assert_eq!(
        existing.call("HealthCheckRequest", &json!({})).await.body["resultCode"],
        200
    );
    registry.faults().refuse_connections(false);
    for address in [registry.http_addr(), registry.grpc_addr()] {
        let opened = async { while TcpStream::connect(address).await.is_err() {} };
        timeout(PATIENCE, opened).await.expect("the port opens");
    }
}

#[tokio::test]
async fn killed_connections_die_and_new_ones_are_taken() {
    let registry = registry().await;
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    client
        .call(
            "InstanceRequest",
            &json!({"namespace": "public", "serviceName": "s", "groupName": "DEFAULT_GROUP",
        "type": "registerInstance", "instance": {"ip": "10.0.0.1", "port": 1}}),
        )
        .await;
    assert_eq!(registry.instances("s").len(), 1);
    registry.faults().kill_connections();
    let end = client.next_of(STREAM_END).await;
    assert_ne!(end.body["status"], "Ok");
    let gone = async {
        while registry.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("the connection is forgotten");
    assert_eq!(registry.instances("s").len(), 0);
    RawClient::ready(registry.grpc_addr()).await;
}

#[tokio::test]
async fn reset_streams_leave_the_connection_unknown() {
    let registry = registry().await;
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    registry.faults().reset_streams();
    let end = client.next_of(STREAM_END).await;
    assert_ne!(end.body["status"], "Ok");
    let answer = client.call("HealthCheckRequest", &json!({})).await;
    assert_eq!(
        (answer.kind.as_str(), &answer.body["errorCode"]),
        ("ErrorResponse", &json!(301))
    );
}

#[tokio::test]
async fn a_hanging_server_says_nothing_and_then_goes_on() {
    let registry = registry().await;
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    registry.faults().hang(true);
    let address = registry.grpc_addr();
    let url = format!(
        "http://{}/nacos/v1/ns/operator/metrics",
        registry.http_addr()
    );
    let old = async { client.call("HealthCheckRequest", &json!({})).await };
    let new = async {
        RawClient::connect(address)
            .await
            .call("ServerCheckRequest", &json!({}))
            .await
    };
    let http = async {
        reqwest::get(url)
            .await
            .expect("the server answers in the end")
            .status()
    };
    let mut all = std::pin::pin!(async { tokio::join!(old, new, http) });
    assert!(timeout(SILENCE, &mut all).await.is_err());
    registry.faults().hang(false);
    let (old, new, http) = timeout(PATIENCE, &mut all).await.expect("answers, at last");
    assert_eq!(
        (
            &old.body["resultCode"],
            &new.body["resultCode"],
            http.as_u16()
        ),
        (&json!(200), &json!(200), 200)
    );
}

#[tokio::test]
async fn pushes_can_be_lost() {
    let registry = registry().await;
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    registry.faults().drop_pushes(true);
    client.call("SubscribeServiceRequest", &service()).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(client.unread(), []);
    registry.faults().clear();
    registry.put_instance("s", Instance::new("10.0.0.1", 1));
    client.next_of("NotifySubscriberRequest").await;
}

#[tokio::test]
async fn answers_can_be_ordered() {
    let registry = registry().await;
    registry.put_instance("s", Instance::new("10.0.0.1", 1));
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    let config = json!({"dataId": "a", "group": "DEFAULT_GROUP", "tenant": ""});
    for (request, body, order, kind, code) in [
        (
            "SubscribeServiceRequest",
            service(),
            Answer::Empty,
            "SubscribeServiceResponse",
            0,
        ),
        (
            "SubscribeServiceRequest",
            service(),
            Answer::Error(403),
            "SubscribeServiceResponse",
            403,
        ),
        (
            "SubscribeServiceRequest",
            service(),
            Answer::Error(300),
            "ErrorResponse",
            300,
        ),
        (
            "ServiceQueryRequest",
            service(),
            Answer::Empty,
            "QueryServiceResponse",
            0,
        ),
        (
            "ServiceQueryRequest",
            service(),
            Answer::Error(503),
            "QueryServiceResponse",
            503,
        ),
        (
            "ConfigQueryRequest",
            config.clone(),
            Answer::Error(403),
            "ConfigQueryResponse",
            403,
        ),
        (
            "ConfigQueryRequest",
            config,
            Answer::Error(500),
            "ConfigQueryResponse",
            500,
        ),
        (
            "HealthCheckRequest",
            json!({}),
            Answer::Error(301),
            "ErrorResponse",
            301,
        ),
        (
            "ServerCheckRequest",
            json!({}),
            Answer::Error(300),
            "ErrorResponse",
            300,
        ),
    ] {
        registry.faults().answer(request, order, 2);
        let result = |answer: &Message| {
            let hosts = answer.body["serviceInfo"]["hosts"].as_array();
            (
                answer.kind.clone(),
                answer.body["errorCode"].clone(),
                hosts.map(Vec::len),
            )
        };
        let hosts = (order == Answer::Empty).then_some(0);
        for _ in 0..2 {
            let answer = client.call(request, &body).await;
            assert_eq!(
                result(&answer),
                (kind.to_owned(), json!(code), hosts),
                "{request} {order:?}"
            );
        }
        let answer = client.call(request, &body).await;
        assert_ne!(
            result(&answer),
            (kind.to_owned(), json!(code), hosts),
            "{request} {order:?} is over"
        );
    }
    registry
        .faults()
        .answer("ServiceQueryRequest", Answer::Empty, u32::MAX);
    registry.faults().clear();
    let answer = client.call("ServiceQueryRequest", &service()).await;
    assert_eq!(
        answer.body["serviceInfo"]["hosts"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn clients_can_be_sent_elsewhere() {
    let registry = registry().await;
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    registry
        .faults()
        .request_moves(Some(([127, 0, 0, 1], 7777).into()));
    let mut reset = client.next_of("ConnectResetRequest").await.body;
    assert!(reset["requestId"].take().is_string() && reset["connectionId"].take().is_string());
    let expected = json!({"headers": {}, "requestId": null, "serverIp": "127.0.0.1", "serverPort": "7777",
        "connectionId": null, "module": "internal"});
    assert_eq!(reset, expected);
    registry.faults().request_moves(None);
    assert_eq!(
        client
            .next_of("ConnectResetRequest")
            .await
            .body
            .get("serverIp"),
        None
    );
}

#[tokio::test]
async fn a_request_beyond_the_bound_is_refused() {
    let registry = registry().await;
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    let publish = |bytes: usize| json!({"dataId": "a", "group": "G", "tenant": "", "content": "x".repeat(bytes)});
    let answer = client.call("ConfigPublishRequest", &publish(5 << 20)).await;
    assert_eq!(answer.body["resultCode"], 200);
    let refused = client
        .try_call("ConfigPublishRequest", &publish(11 << 20), &HashMap::new())
        .await;
    assert!(matches!(
        refused.map_err(|status| status.code()),
        Err(tonic::Code::OutOfRange | tonic::Code::ResourceExhausted)
    ));
}

async fn subscribed(registry: &Registry) -> RawClient {
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    client.call("SubscribeServiceRequest", &service()).await;
    client.next_of("NotifySubscriberRequest").await;
    client
}

fn hosts(push: &Message) -> usize {
    push.body["serviceInfo"]["hosts"]
        .as_array()
        .map_or(0, Vec::len)
}

#[tokio::test]
async fn pushes_can_come_twice_and_overtake_each_other() {
    let registry = registry().await;
    let mut client = subscribed(&registry).await;
    registry.faults().duplicate_pushes(true);
    registry.put_instance("s", Instance::new("10.0.0.1", 1));
    let first = client.next_of("NotifySubscriberRequest").await;
    let second = client.next_of("NotifySubscriberRequest").await;
    assert_eq!((hosts(&first), &first.body), (1, &second.body));
    registry.faults().duplicate_pushes(false);

    registry.faults().reorder_pushes(true);
    for port in [2, 3] {
        registry.put_instance("s", Instance::new("10.0.0.1", port));
        registry.push_now("s");
    }
    for expected in [3, 2] {
        let push = client.next_of("NotifySubscriberRequest").await;
        assert_eq!(hosts(&push), expected);
    }
    // One that nothing overtakes is sent when this is taken back.
    registry.put_instance("s", Instance::new("10.0.0.1", 4));
    registry.push_now("s");
    registry.faults().reorder_pushes(false);
    let push = client.next_of("NotifySubscriberRequest").await;
    assert_eq!(hosts(&push), 4);
}

#[tokio::test]
async fn a_half_open_connection_is_dead_and_a_new_one_is_not() {
    let registry = registry().await;
    let mut old = subscribed(&registry).await;
    registry.faults().half_open_connections();
    registry.put_instance("s", Instance::new("10.0.0.1", 1));
    let health = json!({});
    let dead = timeout(SILENCE, old.call("HealthCheckRequest", &health)).await;
    assert!(dead.is_err());
    assert!(old.unread().is_empty(), "no push, and no end of the stream");
    registry.faults().clear();
    let dead = timeout(SILENCE, old.call("HealthCheckRequest", &health)).await;
    assert!(dead.is_err(), "it stays dead");
    RawClient::ready(registry.grpc_addr()).await;
}

#[tokio::test]
async fn a_restart_without_data_leaves_nothing() {
    let registry = registry().await;
    let mut client = subscribed(&registry).await;
    registry.put_instance("s", Instance::new("10.0.0.1", 1));
    registry.publish_config("a", "1");
    registry.faults().restart_empty();
    client.next_of(STREAM_END).await;
    assert_eq!(
        (registry.instances("s").len(), registry.config("a")),
        (0, None)
    );
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    let answer = client.call("SubscribeServiceRequest", &service()).await;
    assert_eq!(hosts(&answer), 0);
}

#[tokio::test]
async fn the_clock_can_be_moved() {
    let registry = registry().await;
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    let mut times = Vec::new();
    let hour = Duration::from_secs(3600);
    for by in [
        None,
        Some(ClockMove::Ahead(hour)),
        Some(ClockMove::Back(3 * hour)),
    ] {
        if let Some(by) = by {
            registry.faults().move_clock(by);
        }
        let answer = client.call("ServiceQueryRequest", &service()).await;
        times.push(answer.body["serviceInfo"]["lastRefTime"].as_i64());
    }
    let hours_from = |other: Option<i64>| {
        let millis = other
            .zip(times[0])
            .map_or(0, |(other, first)| other - first);
        (millis as f64 / 3_600_000.0).round()
    };
    assert_eq!((hours_from(times[1]), hours_from(times[2])), (1.0, -2.0));
}
