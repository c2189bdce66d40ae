//! Starting, stopping and carrying much.

use std::time::Duration;

use pailou_nacos_lite::{Instance, Options, Registry, StartError};
use serde_json::json;
use tokio::time::timeout;

use crate::raw::{PATIENCE, RawClient, STREAM_END};

#[tokio::test]
async fn a_restart_on_the_same_ports_is_possible_at_once_and_remembers_nothing() {
    let mut registry = Registry::start(Options::default())
        .await
        .expect("there are free ports");
    let (http, grpc) = (registry.http_addr(), registry.grpc_addr());
    for _ in 0..5 {
        registry.put_instance("s", Instance::new("10.0.0.1", 1));
        registry.publish_config("a", "1");
        let mut client = RawClient::ready(grpc).await;
        assert_eq!(registry.connections(), 1);
        registry.stop().await;
        let end = client.next_of(STREAM_END).await;
        assert_ne!(
            end.body["status"], "Ok",
            "a killed server does not say goodbye"
        );
        let options = Options {
            http,
            ..Options::default()
        };
        registry = Registry::start(options)
            .await
            .expect("the ports are free again");
        assert_eq!((registry.http_addr(), registry.grpc_addr()), (http, grpc));
        assert_eq!(
            (
                registry.instances("s").len(),
                registry.config("a"),
                registry.connections()
            ),
            (0, None, 0)
        );
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let registry = Registry::start(Options::default())
        .await
        .expect("there are free ports");
    let options = Options {
        http: registry.http_addr(),
        ..Options::default()
    };
    let error = Registry::start(options)
        .await
        .err()
        .expect("the port is taken");
    assert!(matches!(error, StartError::Taken { half: "HTTP", .. }));
    assert!(
        error
            .to_string()
            .starts_with(&format!("port {} is taken", registry.http_addr().port())),
        "{error}"
    );
}

#[tokio::test]
async fn dropping_a_registry_kills_it() {
    let registry = Registry::start(Options::default())
        .await
        .expect("there are free ports");
    let (http, mut client) = (
        registry.http_addr(),
        RawClient::ready(registry.grpc_addr()).await,
    );
    drop(registry);
    client.next_of(STREAM_END).await;
    let restarted = async {
        while Registry::start(Options {
            http,
            ..Options::default()
        })
        .await
        .is_err()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, restarted)
        .await
        .expect("the ports become free");
}

#[tokio::test]
async fn the_operators_hand_in_the_process() {
    let registry = Registry::start(Options::default())
        .await
        .expect("there are free ports");
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    let service =
        json!({"namespace": "public", "serviceName": "s", "groupName": "G", "subscribe": true});
    client.call("SubscribeServiceRequest", &service).await;
    let config = json!({"dataId": "a", "group": "DEFAULT_GROUP", "tenant": "", "md5": ""});
    client
        .call(
            "ConfigBatchListenRequest",
            &json!({"listen": true, "configListenContexts": [config]}),
        )
        .await;
    assert_eq!(
        (
            registry.subscribers("G@@s"),
            registry.subscribers("s"),
            registry.listeners("a")
        ),
        (1, 0, 1)
    );
    let instance = Instance {
        weight: 0.5,
        enabled: false,
        ..Instance::new("10.0.0.1", 1)
    };
    registry.put_instance("G@@s", instance.clone());
    assert_eq!(registry.instances("G@@s"), [instance]);
    assert!(registry.remove_instance("G@@s", "10.0.0.1", 1));
    assert!(!registry.remove_instance("G@@s", "10.0.0.1", 1));
    registry.publish_config("a", "1");
    assert_eq!(
        client.next_of("ConfigChangeNotifyRequest").await.body["dataId"],
        "a"
    );
    assert_eq!(registry.config("a").as_deref(), Some("1"));
    assert!(registry.remove_config("a"));
    assert!(!registry.remove_config("a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_instances_are_one_push() {
    const INSTANCES: u16 = 50_000;
    let options = Options {
        push_delay: Duration::from_secs(3600),
        ..Options::default()
    };
    let registry = Registry::start(options)
        .await
        .expect("there are free ports");
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    let service = json!({"namespace": "public", "serviceName": "big", "groupName": "DEFAULT_GROUP", "subscribe": true});
    client.call("SubscribeServiceRequest", &service).await;
    for port in 1..=INSTANCES {
        let mut instance = Instance::new("10.0.0.1", port);
        instance.metadata.insert("note".into(), "x".repeat(64));
        registry.put_instance("big", instance);
    }
    registry.push_now("big");
    let push = client.next_of("NotifySubscriberRequest").await;
    let hosts = push.body["serviceInfo"]["hosts"].as_array().map(Vec::len);
    assert_eq!(hosts, Some(usize::from(INSTANCES)));
    assert!(
        push.body.to_string().len() > 16 << 20,
        "beyond the bounds that clients usually have"
    );
}
