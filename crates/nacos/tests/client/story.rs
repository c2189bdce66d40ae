//! The client's whole story over TCP, with real time, against the embedded registry: once on each transport.

use std::{thread, time::Duration};

use pailou_nacos::{
    Client, ClientOptions, ConfigState, Credentials, Instance, LoginState, Publish, ServiceName,
    Transport,
    wire::{InstanceRequest, instance_type},
};
use pailou_nacos_lite::{Options, Registry};
use tokio::{runtime, time::sleep};

use crate::tcp::{options, quick, registry as start, until, until_true};

macro_rules! on_every_transport {
    ($($case:ident,)*) => {
        on_every_transport! { @ grpc Grpc $($case)* }
        on_every_transport! { @ http_v1 HttpV1 $($case)* }
        on_every_transport! { @ http_v3 HttpV3 $($case)* }
    };
    (@ $name:ident $way:ident $($case:ident)*) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(pailou_nacos::Transport::$way).await;
                }
            )*
        }
    };
}

on_every_transport! {
    a_service_that_registers_is_seen_and_one_that_dies_is_not,
    a_config_is_watched_from_before_its_first_publish_to_after_its_removal,
    instances_of_every_cluster_are_seen,
    namespaces_are_apart,
    a_nacos_that_restarts_empty_is_told_everything,
    of_two_servers_the_living_one_is_used,
    with_auth_the_client_logs_in_and_logs_in_again,
    a_wrong_password_shows_and_harms_nothing_else,
    the_services_of_a_group_are_listed_page_by_page,
    an_instance_that_moves_leaves_its_old_address,
    a_client_that_is_closed_takes_its_instances_along,
}

/// A server that can be spoken to in this way at best.
pub(crate) fn served(way: Transport) -> Options {
    Options {
        block_grpc: way != Transport::Grpc,
        v1: way != Transport::HttpV3,
        poll_interval: Duration::from_secs(1),
        ..quick()
    }
}

pub(crate) async fn registry(way: Transport) -> Registry {
    start(served(way)).await
}

async fn a_service_that_registers_is_seen_and_one_that_dies_is_not(way: Transport) {
    let registry = registry(way).await;
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

async fn a_config_is_watched_from_before_its_first_publish_to_after_its_removal(way: Transport) {
    let registry = registry(way).await;
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

/// Over HTTP v3 a real server lists the cluster `DEFAULT` alone unless it is asked otherwise.
async fn instances_of_every_cluster_are_seen(way: Transport) {
    let registry = registry(way).await;
    for (ip, cluster) in [("10.0.0.1", "DEFAULT"), ("10.0.0.2", "east")] {
        let mut instance = pailou_nacos_lite::Instance::new(ip, 80);
        instance.cluster = cluster.into();
        registry.put_instance("orders", instance);
    }
    let client = Client::connect(options(&[&registry]));
    let mut watch = client.watch_service("orders");
    until(&mut watch, &["10.0.0.1", "10.0.0.2"]).await;
}

async fn namespaces_are_apart(way: Transport) {
    let registry = registry(way).await;
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

async fn a_nacos_that_restarts_empty_is_told_everything(way: Transport) {
    let first = registry(way).await;
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

    let second = start(Options {
        http,
        grpc: Some(grpc),
        ..served(way)
    })
    .await;
    assert_eq!(
        routes.changed().await,
        ConfigState::Absent,
        "it keeps nothing"
    );
    until_true("registered again", || registration.is_registered()).await;
    until(&mut watch, &["10.0.0.1"]).await;
    assert_eq!(second.instances("orders").len(), 1);
    let connections = usize::from(way == Transport::Grpc);
    assert_eq!(second.connections(), connections);
    assert_eq!(client.state().connection.transport, Some(way));
}

async fn of_two_servers_the_living_one_is_used(way: Transport) {
    let (one, two) = (registry(way).await, registry(way).await);
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

async fn with_auth_the_client_logs_in_and_logs_in_again(way: Transport) {
    let auth = Some(("nacos".to_owned(), "nacos".to_owned()));
    let registry = start(Options {
        auth,
        ..served(way)
    })
    .await;
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

async fn a_wrong_password_shows_and_harms_nothing_else(way: Transport) {
    let auth = Some(("nacos".to_owned(), "nacos".to_owned()));
    let registry = start(Options {
        auth,
        ..served(way)
    })
    .await;
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

async fn the_services_of_a_group_are_listed_page_by_page(way: Transport) {
    let registry = registry(way).await;
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
async fn an_instance_lives_as_long_as_its_process() {
    // Together, since it takes its time.
    tokio::join!(
        an_instance_lives_as_long_as_its_process_over(Transport::Grpc),
        an_instance_lives_as_long_as_its_process_over(Transport::HttpV1),
        an_instance_lives_as_long_as_its_process_over(Transport::HttpV3),
    );
}

async fn an_instance_lives_as_long_as_its_process_over(way: Transport) {
    let registry = start(Options {
        unhealthy_after: Duration::from_secs(7),
        remove_after: Duration::from_secs(9),
        ..served(way)
    })
    .await;
    let asked = options(&[&registry]);
    let (killed, is_killed) = std::sync::mpsc::channel::<()>();
    let process = thread::spawn(move || {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(async { Client::connect(asked) });
        let registering = client.register("orders", Instance::new("10.0.0.1", 80));
        let registration = runtime.block_on(registering).unwrap();
        is_killed.recv().unwrap();
        // No farewell, as when a process is killed.
        runtime.shutdown_background();
        drop((registration, client));
    });
    let watcher = Client::connect(options(&[&registry]));
    let mut watch = watcher.watch_service("orders");
    until(&mut watch, &["10.0.0.1"]).await;
    // Longer than it lives without a sign of life.
    sleep(Duration::from_secs(10)).await;
    assert!(registry.instances("orders")[0].healthy);
    assert_eq!(watch.current().unwrap().instances.len(), 1);
    killed.send(()).unwrap();
    until(&mut watch, &[]).await;
    process.join().unwrap();
}

#[tokio::test]
async fn an_instance_that_another_client_removes_comes_back() {
    // Together, since it takes its time.
    tokio::join!(
        an_instance_that_another_client_removes_comes_back_over(Transport::Grpc),
        an_instance_that_another_client_removes_comes_back_over(Transport::HttpV1),
        an_instance_that_another_client_removes_comes_back_over(Transport::HttpV3),
    );
}

async fn an_instance_that_another_client_removes_comes_back_over(way: Transport) {
    let registry = registry(way).await;
    let client = Client::connect(options(&[&registry]));
    let orders = ServiceName::from("orders");
    let registration = client
        .register(&orders, Instance::new("10.0.0.1", 80))
        .await
        .unwrap();
    let removal = InstanceRequest {
        namespace: "public".into(),
        service_name: orders.name.to_string(),
        group_name: orders.group.to_string(),
        r#type: instance_type::DEREGISTER.into(),
        instance: (&Instance::new("10.0.0.1", 80)).into(),
        ..Default::default()
    };
    let stranger = Client::connect(options(&[&registry]));
    if way == Transport::Grpc {
        stranger.request(removal).await.unwrap();
        assert_eq!(registry.instances("orders").len(), 1, "each has its own");
        return;
    }
    // The first beat carries the whole instance, and the server would take it from there.
    until_true("a beat", || client.state().counts.beats == 1).await;
    stranger.request(removal).await.unwrap();
    assert!(registry.instances("orders").is_empty());
    until_true("known as unknown", || {
        client.state().counts.unknown_beats == 1
    })
    .await;
    until_true("back", || registry.instances("orders").len() == 1).await;
    until_true("confirmed", || registration.is_registered()).await;
}

async fn an_instance_that_moves_leaves_its_old_address(way: Transport) {
    let registry = registry(way).await;
    let client = Client::connect(options(&[&registry]));
    let mut registration = client
        .register("orders", Instance::new("10.0.0.1", 80))
        .await
        .unwrap();
    registration
        .update(Instance::new("10.0.0.2", 80))
        .await
        .unwrap();
    let instances = registry.instances("orders");
    assert_eq!(instances.len(), 1, "{instances:?}");
    assert_eq!(instances[0].ip, "10.0.0.2");
}

async fn a_client_that_is_closed_takes_its_instances_along(way: Transport) {
    let registry = registry(way).await;
    let client = Client::connect(options(&[&registry]));
    let _registration = client
        .register("orders", Instance::new("10.0.0.1", 80))
        .await
        .unwrap();
    client.close().await;
    until_true("gone", || registry.instances("orders").is_empty()).await;
}
