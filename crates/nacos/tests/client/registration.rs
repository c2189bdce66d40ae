//! Own registrations.

use std::time::Duration;

use pailou_nacos::{Error, Instance, wire::InstanceRequest};
use tokio::time::{sleep, timeout};

use crate::script::{Answer, Net, Server, connected, kind, until, until_connected};

fn registered(server: &Server, service: &str) -> Vec<(String, f64)> {
    let state = server.state();
    let hosts = state.services.get(service).into_iter().flatten();
    hosts.map(|host| (host.ip.clone(), host.weight)).collect()
}

fn weighing(weight: f64) -> Instance {
    Instance {
        weight,
        ..Instance::new("10.0.0.9", 80)
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_registered_updated_and_deregistered() {
    let (server, client) = connected().await;
    let mut registration = client
        .register("shop@@orders", weighing(1.0))
        .await
        .unwrap();
    assert_eq!(
        registered(&server, "shop@@orders"),
        [("10.0.0.9".to_owned(), 1.0)]
    );
    let seen = server.seen(kind::<InstanceRequest>());
    let body = &seen[0].body;
    assert_eq!(
        (&body["namespace"], &body["groupName"]),
        (&"public".into(), &"shop".into())
    );
    assert_eq!(
        (&body["type"], &body["instance"]["clusterName"]),
        (&"registerInstance".into(), &"DEFAULT".into())
    );
    assert!(registration.is_registered());
    registration.update(weighing(0.5)).await.unwrap();
    assert_eq!(
        registered(&server, "shop@@orders"),
        [("10.0.0.9".to_owned(), 0.5)]
    );
    let sync = client.state().registrations;
    assert_eq!(
        (sync[0].instance.as_str(), sync[0].is_registered),
        ("10.0.0.9:80", true)
    );
    registration.deregister().await.unwrap();
    assert_eq!(registered(&server, "shop@@orders"), []);
    assert!(client.state().registrations.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_instance_of_a_service_is_refused_since_it_would_replace_the_first() {
    let (server, client) = connected().await;
    let first = client.register("orders", weighing(1.0)).await.unwrap();
    let refused = client
        .register("orders", Instance::new("10.0.0.8", 80))
        .await
        .unwrap_err();
    assert_eq!(
        refused,
        Error::AlreadyRegistered("DEFAULT_GROUP@@orders".into())
    );
    assert_eq!(registered(&server, "orders").len(), 1);
    let _other_service = client.register("users", weighing(1.0)).await.unwrap();
    drop(first);
    let again = client.register("orders", weighing(2.0)).await.unwrap();
    assert!(again.is_registered());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        registered(&server, "orders"),
        [("10.0.0.9".to_owned(), 2.0)],
        "the old one's end is not the new one's"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_registered_is_refused_before_it_is_sent() {
    let (server, client) = connected().await;
    for instance in [
        Instance::new("", 80),
        Instance::new("10.0.0.1", 0),
        weighing(f64::NAN),
        weighing(-1.0),
        weighing(f64::INFINITY),
        Instance {
            ephemeral: false,
            ..weighing(1.0)
        },
    ] {
        assert!(matches!(
            client.register("orders", instance).await,
            Err(Error::Invalid(_))
        ));
    }
    assert!(matches!(
        client.register("", weighing(1.0)).await,
        Err(Error::Invalid(_))
    ));
    assert!(server.seen(kind::<InstanceRequest>()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_registration_comes_back_after_a_reconnect_in_its_newest_version() {
    let (server, client) = connected().await;
    let mut registration = client.register("orders", weighing(1.0)).await.unwrap();
    server.stop();
    until("loss", || !client.states().borrow().connected).await;
    registration.update_later(weighing(2.0)).unwrap();
    registration.update_later(weighing(3.0)).unwrap();
    server.start();
    until("registered", || registration.is_registered()).await;
    assert_eq!(
        registered(&server, "orders"),
        [("10.0.0.9".to_owned(), 3.0)]
    );
    assert_eq!(server.seen(kind::<InstanceRequest>()).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_registration_says_why_and_leaves_nothing() {
    let (server, client) = connected().await;
    server.answer(kind::<InstanceRequest>(), Answer::Fail(400));
    server.answer(kind::<InstanceRequest>(), Answer::Fail(400));
    let refused = client.register("orders", weighing(1.0)).await.unwrap_err();
    assert!(
        matches!(refused, Error::Refused { code: 400, .. }),
        "{refused}"
    );
    sleep(Duration::from_secs(60)).await;
    assert!(registered(&server, "orders").is_empty());
    assert_eq!(server.seen(kind::<InstanceRequest>()).len(), 2);
    assert!(client.state().registrations.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kept_registration_waits_for_the_server_and_for_the_right() {
    let net = Net::new(&["one"]);
    let server = net.server("one");
    server.state().is_down = true;
    for _ in 0..2 {
        server.answer(kind::<InstanceRequest>(), Answer::Fail(403));
    }
    let client = net.client();
    let mut registration = client.keep_registered("orders", weighing(1.0)).unwrap();
    assert!(matches!(
        registration.confirmed().await,
        Err(Error::NotConnected(_))
    ));
    server.start();
    until_connected(&client, 1).await;
    assert_eq!(
        registration.confirmed().await.unwrap_err().cause(),
        "forbidden"
    );
    assert_eq!(registration.last_error().unwrap().cause(), "forbidden");
    assert!(client.state().registrations[0].error.is_some());
    until("registered", || registration.is_registered()).await;
    assert_eq!(registration.last_error(), None);
}

#[tokio::test(start_paused = true)]
async fn a_registration_whose_answer_is_lost_is_repeated_and_still_withdrawn() {
    let (server, client) = connected().await;
    server.answer(
        kind::<InstanceRequest>(),
        Answer::Late(Duration::from_secs(5)),
    );
    let late = client.register("orders", weighing(1.0)).await.unwrap_err();
    assert_eq!(late.cause(), "timeout");
    until("withdrawn", || registered(&server, "orders").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_registration_is_withdrawn_in_the_background() {
    let (server, client) = connected().await;
    drop(client.register("orders", weighing(1.0)).await.unwrap());
    until("withdrawn", || registered(&server, "orders").is_empty()).await;
    let registration = client.register("orders", weighing(1.0)).await.unwrap();
    drop((client, registration));
    until("withdrawn with the last handle", || {
        registered(&server, "orders").is_empty()
    })
    .await;
    until("ended", || server.connections() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn deregistering_without_a_connection_is_done_at_once() {
    let (server, client) = connected().await;
    let registration = client.register("orders", weighing(1.0)).await.unwrap();
    server.stop();
    until("loss", || !client.states().borrow().connected).await;
    timeout(Duration::ZERO, registration.deregister())
        .await
        .unwrap()
        .unwrap();
    server.start();
    until_connected(&client, 2).await;
    sleep(Duration::from_secs(1)).await;
    assert!(registered(&server, "orders").is_empty());
}
