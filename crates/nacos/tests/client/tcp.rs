//! Over TCP, with real time, against the embedded registry: what only gRPC has.

use std::{net::SocketAddr, time::Duration};

use pailou_nacos::{Client, ClientOptions, ProbeError, ServerAddress, ServiceWatch, probe};
use pailou_nacos_lite::{Options, Registry};
use tokio::time::{sleep, timeout};

pub(crate) async fn registry(options: Options) -> Registry {
    Registry::start(options).await.unwrap()
}

pub(crate) fn quick() -> Options {
    Options {
        push_delay: Duration::from_millis(50),
        ..Options::default()
    }
}

pub(crate) fn options(registries: &[&Registry]) -> ClientOptions {
    let addresses: Vec<String> = registries
        .iter()
        .map(|r| r.http_addr().to_string())
        .collect();
    ClientOptions {
        health_check_interval: Duration::from_millis(300),
        request_timeout: Duration::from_secs(1),
        ..ClientOptions::new(&addresses.join(",")).unwrap()
    }
}

/// Waits until a watch holds these addresses.
pub(crate) async fn until(watch: &mut ServiceWatch, expected: &[&str]) {
    let name = watch.name().to_string();
    let wait = async {
        loop {
            let state = watch.changed().await;
            let ips: Vec<_> = state
                .instances
                .iter()
                .map(|instance| instance.ip.as_str())
                .collect();
            if ips == expected {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("{name} never had {expected:?}"));
}

pub(crate) async fn until_true(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn faults_of_the_server_are_survived() {
    type Fault = fn(&Registry);
    let faults: [(&str, Fault); 5] = [
        ("cut connections", |registry| {
            registry.faults().kill_connections()
        }),
        ("reset streams", |registry| {
            registry.faults().reset_streams()
        }),
        ("a wish to move", |registry| {
            registry.faults().request_moves(None)
        }),
        ("silence", |registry| registry.faults().hang(true)),
        ("301", |registry| {
            registry.faults().answer(
                "HealthCheckRequest",
                pailou_nacos_lite::Answer::Error(301),
                1,
            );
        }),
    ];
    for (name, fault) in faults {
        let registry = registry(quick()).await;
        registry.put_instance("orders", pailou_nacos_lite::Instance::new("10.0.0.1", 80));
        let client = Client::connect(options(&[&registry]));
        let mut watch = client.watch_service("orders");
        until(&mut watch, &["10.0.0.1"]).await;
        fault(&registry);
        until_true(name, || client.state().counts.lost_connections == 1).await;
        registry.faults().clear();
        registry.put_instance("orders", pailou_nacos_lite::Instance::new("10.0.0.2", 80));
        until(&mut watch, &["10.0.0.1", "10.0.0.2"]).await;
        assert_eq!(watch.current().unwrap().epoch, 2, "{name}");
    }
}

#[tokio::test]
async fn a_message_beyond_the_usual_limit_of_4_mib_is_taken() {
    let registry = registry(quick()).await;
    for n in 0..50_000_u32 {
        let ip = format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255);
        registry.put_instance("huge", pailou_nacos_lite::Instance::new(ip, 80));
    }
    let client = Client::connect(ClientOptions {
        request_timeout: Duration::from_secs(20),
        health_check_interval: Duration::from_secs(10),
        ..options(&[&registry])
    });
    let mut watch = client.watch_service("huge");
    let state = timeout(Duration::from_secs(60), watch.changed())
        .await
        .unwrap();
    assert_eq!(state.instances.len(), 50_000);
    registry.remove_instance("huge", "10.0.0.7", 80);
    until_true("pushed", || {
        watch
            .current()
            .is_some_and(|state| state.instances.len() == 49_999)
    })
    .await;
    assert_eq!(client.state().counts.lost_connections, 0);
}

#[tokio::test]
async fn a_probe_says_how_far_it_came() {
    let registry = registry(quick()).await;
    let at = |address: SocketAddr| address.to_string().parse::<ServerAddress>().unwrap();
    let mut ask = options(&[&registry]);
    let found = probe(&ask, &at(registry.http_addr())).await.unwrap();
    assert!(
        found.is_one_connection && found.connection.is_some(),
        "{found:?}"
    );

    // The HTTP port takes connections and does not speak HTTP/2.
    ask.grpc_port = Some(registry.http_addr().port());
    let refused = probe(&ask, &at(registry.http_addr())).await.unwrap_err();
    assert!(matches!(refused, ProbeError::Speak(_)), "{refused:?}");
    ask.grpc_port = None;
    let starting = pailou_nacos_lite::Answer::Error(300);
    registry.faults().answer("ServerCheckRequest", starting, 1);
    let refused = probe(&ask, &at(registry.http_addr())).await.unwrap_err();
    assert!(matches!(refused, ProbeError::Refused(_)), "{refused:?}");
    registry.faults().hang(true);
    let refused = probe(&ask, &at(registry.http_addr())).await.unwrap_err();
    assert!(matches!(refused, ProbeError::Speak(_)), "{refused:?}");
    let address = registry.http_addr();
    registry.stop().await;
    let refused = probe(&ask, &at(address)).await.unwrap_err();
    assert!(matches!(refused, ProbeError::Connect(_)), "{refused:?}");
}
