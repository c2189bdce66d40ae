use std::time::{Duration, Instant};

use pailou_nacos_lite::Instance;

use crate::gateway::{Gateway, ROUTES, registry, registry_at, until};

fn own(registry: &pailou_nacos_lite::Registry) -> Option<Instance> {
    registry.instances("pailou-gateway").pop()
}

#[tokio::test]
async fn the_console_shows_which_table_the_gateway_runs() {
    let registry = registry().await;
    registry.publish_config(ROUTES, "routes: { /a/**: one }");
    let gateway = Gateway::start(registry.http_addr(), |settings| {
        settings
            .registration
            .metadata
            .insert("site".to_owned(), "north".to_owned());
    });
    gateway.discovery.ready().await;
    assert_eq!(own(&registry), None, "it registers when it is told to");
    gateway.discovery.register();
    until("it is registered", || own(&registry).is_some()).await;
    let instance = own(&registry).expect("registered");
    // The way to a Nacos on loopback starts on loopback.
    assert_eq!((instance.ip.as_str(), instance.port), ("127.0.0.1", 18080));
    let metadata = instance.metadata;
    assert_eq!(metadata["revision"], "1");
    assert_eq!(metadata["md5"], gateway.discovery.view().table.md5);
    assert_eq!(metadata["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (metadata["stale"].as_str(), metadata["site"].as_str()),
        ("false", "north")
    );
    assert!(!metadata.contains_key("error"));

    registry.publish_config(ROUTES, "routes: { /a/**: { servce: one } }");
    until("the fault is shown", || {
        own(&registry).is_some_and(|own| {
            own.metadata
                .get("error")
                .is_some_and(|error| error.contains("neither `service` nor `to` is given"))
        })
    })
    .await;
    assert_eq!(
        own(&registry).expect("registered").metadata["revision"],
        "1"
    );
    registry.publish_config(ROUTES, "routes: { /b/**: one }");
    until("the new table is shown and the fault is gone", || {
        own(&registry).is_some_and(|own| {
            own.metadata["revision"] == "2" && !own.metadata.contains_key("error")
        })
    })
    .await;
    until("the view agrees", || {
        gateway.discovery.view().registration.registered
    })
    .await;

    gateway.discovery.deregister().await;
    assert_eq!(own(&registry), None);
    assert!(!gateway.discovery.view().registration.registered);
}

#[tokio::test]
async fn it_leaves_and_comes_back_as_often_as_it_is_told_to() {
    let registry = registry().await;
    registry.publish_config(ROUTES, "routes: { /a/**: one }");
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.discovery.ready().await;
    for _ in 0..3 {
        // The second call changes nothing.
        gateway.discovery.register();
        gateway.discovery.register();
        until("it is registered", || {
            own(&registry).is_some() && gateway.discovery.view().registration.registered
        })
        .await;
        gateway.discovery.deregister().await;
        gateway.discovery.deregister().await;
        assert_eq!(own(&registry), None);
        let view = gateway.discovery.view().registration;
        assert_eq!((view.registered, view.error), (false, None));
    }
}

#[tokio::test]
async fn it_registers_again_with_a_nacos_that_forgot_and_leaves_fast_without_one() {
    let registry = registry().await;
    let address = registry.http_addr();
    registry.publish_config(ROUTES, "routes: { /a/**: one }");
    let gateway = Gateway::start(address, |_| {});
    gateway.discovery.ready().await;
    gateway.discovery.register();
    until("it is registered", || own(&registry).is_some()).await;
    registry.stop().await;
    let registry = registry_at(address).await;
    until("it is registered again", || own(&registry).is_some()).await;
    registry.faults().hang(true);
    let started = Instant::now();
    gateway.discovery.deregister().await;
    assert!(
        started.elapsed() <= Duration::from_millis(1_100),
        "{:?}",
        started.elapsed()
    );
    gateway.discovery.stop().await;
}

#[tokio::test]
async fn a_gateway_that_is_told_not_to_does_not_register() {
    let registry = registry().await;
    registry.publish_config(ROUTES, "routes: {}");
    let gateway = Gateway::start(registry.http_addr(), |settings| {
        settings.registration.enabled = false
    });
    gateway.discovery.ready().await;
    gateway.discovery.register();
    gateway.discovery.deregister().await;
    assert_eq!(own(&registry), None);
    assert!(!gateway.discovery.view().registration.enabled);
}
