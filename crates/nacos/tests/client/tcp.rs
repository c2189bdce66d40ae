//! Over TCP, with real time, against the embedded registry.

use std::{net::SocketAddr, time::Duration};

use pailou_nacos::{
    Client, ClientOptions, ConfigState, Credentials, Instance, LoginState, ProbeError, Publish,
    ServerAddress, ServiceWatch, probe,
};
use pailou_nacos_lite::{Options, Registry};
use tokio::time::{sleep, timeout};

async fn registry(options: Options) -> Registry {
    Registry::start(options).await.unwrap()
}

fn quick() -> Options {
    Options {
        push_delay: Duration::from_millis(50),
        ..Options::default()
    }
}

fn options(registries: &[&Registry]) -> ClientOptions {
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
async fn until(watch: &mut ServiceWatch, expected: &[&str]) {
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

async fn until_true(what: &str, mut is_so: impl FnMut() -> bool) {
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
async fn a_service_that_registers_is_seen_and_one_that_dies_is_not() {
    let registry = registry(quick()).await;
    let watcher = Client::connect(options(&[&registry]));
    let mut watch = watcher.watch_service("orders");
    until(&mut watch, &[]).await;
    let one = Client::connect(options(&[&registry]));
    let two = Client::connect(options(&[&registry]));
    let mut first = one
        .register("orders", Instance::new("10.0.0.1", 80))
        .await
        .unwrap();
    let second = two
        .register("orders", Instance::new("10.0.0.2", 80))
        .await
        .unwrap();
    until(&mut watch, &["10.0.0.1", "10.0.0.2"]).await;

    let metadata = [("version".to_owned(), "v2".to_owned())].into();
    first
        .update(Instance {
            weight: 0.5,
            metadata,
            ..Instance::new("10.0.0.1", 80)
        })
        .await
        .unwrap();
    until_true("the update", || {
        watch
            .current()
            .is_some_and(|state| state.instances[0].weight == 0.5)
    })
    .await;
    assert_eq!(
        watch.current().unwrap().instances[0].metadata["version"],
        "v2"
    );

    first.deregister().await.unwrap();
    until(&mut watch, &["10.0.0.2"]).await;
    drop((two, second));
    until(&mut watch, &[]).await;
}

#[tokio::test]
async fn a_config_is_watched_from_before_its_first_publish_to_after_its_removal() {
    let registry = registry(quick()).await;
    let client = Client::connect(options(&[&registry]));
    let mut watch = client.watch_config("routes.yaml");
    assert_eq!(watch.changed().await, ConfigState::Absent);
    for content in ["a: 1", "a: 2"] {
        client
            .publish_config("routes.yaml", content, Publish::default())
            .await
            .unwrap();
        assert_eq!(watch.changed().await.config().unwrap().content, content);
    }
    let md5 = watch.current().unwrap().config().unwrap().md5.clone();
    let swap = |md5: &str| Publish {
        kind: Some("yaml".into()),
        if_md5: Some(md5.to_owned()),
    };
    assert!(
        client
            .publish_config("routes.yaml", "a: 3", swap("0000"))
            .await
            .is_err()
    );
    client
        .publish_config("routes.yaml", "a: 3", swap(&md5))
        .await
        .unwrap();
    let config = watch.changed().await;
    assert_eq!(config.config().unwrap().kind.as_deref(), Some("yaml"));
    client.remove_config("routes.yaml").await.unwrap();
    assert_eq!(watch.changed().await, ConfigState::Absent);
    registry.publish_config("routes.yaml", "by an operator");
    assert_eq!(
        watch.changed().await.config().unwrap().content,
        "by an operator"
    );
}

#[tokio::test]
async fn namespaces_are_apart() {
    let registry = registry(quick()).await;
    let client = Client::connect(options(&[&registry]));
    let staging = client.with_namespace("staging");
    let _here = client
        .register("orders", Instance::new("10.0.0.1", 80))
        .await
        .unwrap();
    let _there = staging
        .register("orders", Instance::new("10.0.0.2", 80))
        .await
        .unwrap();
    until(&mut client.watch_service("orders"), &["10.0.0.1"]).await;
    until(&mut staging.watch_service("orders"), &["10.0.0.2"]).await;
    staging
        .publish_config("routes", "there", Publish::default())
        .await
        .unwrap();
    assert_eq!(client.config("routes").await.unwrap(), None);
}

#[tokio::test]
async fn a_registry_that_restarts_empty_is_told_everything() {
    let first = registry(quick()).await;
    let (http, grpc) = (first.http_addr(), first.grpc_addr());
    first.publish_config("routes", "a: 1");
    let client = Client::connect(options(&[&first]));
    let mut watch = client.watch_service("orders");
    let mut routes = client.watch_config("routes");
    let registration = client
        .register("orders", Instance::new("10.0.0.1", 80))
        .await
        .unwrap();
    until(&mut watch, &["10.0.0.1"]).await;
    routes.changed().await;
    first.stop().await;
    until_true("loss", || !client.states().borrow().connected).await;
    assert_eq!(
        watch.current().unwrap().instances.len(),
        1,
        "nothing is forgotten"
    );

    let second = restart(http, grpc).await;
    assert_eq!(
        routes.changed().await,
        ConfigState::Absent,
        "it keeps nothing"
    );
    until_true("registered again", || registration.is_registered()).await;
    until(&mut watch, &["10.0.0.1"]).await;
    assert_eq!(second.instances("orders").len(), 1);
    assert_eq!(second.connections(), 1);
}

async fn restart(http: SocketAddr, grpc: SocketAddr) -> Registry {
    registry(Options {
        http,
        grpc: Some(grpc),
        ..quick()
    })
    .await
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
async fn of_two_servers_the_living_one_is_used() {
    let (one, two) = (registry(quick()).await, registry(quick()).await);
    let client = Client::connect(options(&[&one, &two]));
    let registration = client
        .register("orders", Instance::new("10.0.0.1", 80))
        .await
        .unwrap();
    let is_at_one = client.state().connection.server == Some(one.http_addr().to_string());
    let (old, new) = if is_at_one { (one, two) } else { (two, one) };
    assert_eq!(
        (old.instances("orders").len(), new.instances("orders").len()),
        (1, 0)
    );
    old.stop().await;
    until_true("moved", || {
        registration.is_registered() && !new.instances("orders").is_empty()
    })
    .await;
    assert_eq!(
        client.state().connection.server,
        Some(new.http_addr().to_string())
    );
}

#[tokio::test]
async fn with_auth_the_client_logs_in_and_logs_in_again() {
    let auth = Some(("nacos".to_owned(), "nacos".to_owned()));
    let registry = registry(Options { auth, ..quick() }).await;
    let stranger = Client::connect(options(&[&registry]));
    assert_eq!(
        stranger.query_service("orders").await.unwrap_err().cause(),
        "forbidden"
    );

    let credentials = Some(Credentials::new("nacos", "nacos"));
    let client = Client::connect(ClientOptions {
        credentials,
        ..options(&[&registry])
    });
    let mut registration = client
        .register("orders", Instance::new("10.0.0.1", 80))
        .await
        .unwrap();
    assert!(matches!(client.state().login, LoginState::LoggedIn { .. }));
    registry.faults().expire_tokens();
    // A new login is due five seconds after the last one; until then the refusal stands.
    let _ = registration
        .update(Instance {
            weight: 2.0,
            ..Instance::new("10.0.0.1", 80)
        })
        .await;
    until_true("updated", || registration.is_registered()).await;
    assert_eq!(registry.instances("orders")[0].weight, 2.0);
    assert_eq!(client.state().counts.logins, 2);
}

#[tokio::test]
async fn a_wrong_password_shows_and_harms_nothing_else() {
    let auth = Some(("nacos".to_owned(), "nacos".to_owned()));
    let registry = registry(Options { auth, ..quick() }).await;
    let credentials = Some(Credentials::new("nacos", "wrong"));
    let client = Client::connect(ClientOptions {
        credentials,
        ..options(&[&registry])
    });
    assert!(
        client
            .register("orders", Instance::new("10.0.0.1", 80))
            .await
            .is_err()
    );
    assert!(matches!(client.state().login, LoginState::Failed { .. }));
    assert!(client.states().borrow().connected);
}

#[tokio::test]
async fn a_message_beyond_the_usual_limit_of_4_mib_is_taken() {
    let registry = registry(quick()).await;
    for n in 0..15_000_u32 {
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
    assert_eq!(state.instances.len(), 15_000);
    registry.remove_instance("huge", "10.0.0.7", 80);
    until_true("pushed", || {
        watch
            .current()
            .is_some_and(|state| state.instances.len() == 14_999)
    })
    .await;
    assert_eq!(client.state().counts.lost_connections, 0);
}

#[tokio::test]
async fn the_services_of_a_group_are_listed_page_by_page() {
    let registry = registry(quick()).await;
    for name in ["a", "b", "c", "shop@@d"] {
        registry.put_instance(name, pailou_nacos_lite::Instance::new("10.0.0.1", 1));
    }
    let client = Client::connect(options(&[&registry]));
    for (group, page, size, names, total) in [
        ("", 1, 2, vec!["a", "b"], 3),
        ("DEFAULT_GROUP", 2, 2, vec!["c"], 3),
        ("DEFAULT_GROUP", 0, 10, vec!["a", "b", "c"], 3),
        ("shop", 1, 10, vec!["d"], 1),
        ("nobody", 1, 10, vec![], 0),
    ] {
        let found = client.list_services(group, page, size).await.unwrap();
        assert_eq!(
            (found.names, found.total),
            (names.into_iter().map(String::from).collect(), total)
        );
    }
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
