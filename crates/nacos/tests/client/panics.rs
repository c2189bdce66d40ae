//! A panic inside the client ends nothing for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use pailou_nacos::{Client, Connecting, Connector, Credentials, Tcp};
use pailou_nacos_lite::{Instance, Options};

use crate::tcp::{options, quick, registry, until, until_true};

/// TCP that panics so many times first.
#[derive(Clone, Default)]
struct Flaky {
    panics: Arc<AtomicUsize>,
}

impl Connector for Flaky {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        let left = self
            .panics
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        assert!(left.is_err(), "a fault of the client");
        Tcp.connect(host, port)
    }
}

#[tokio::test]
async fn a_session_that_panics_begins_again_and_knows_what_it_knew() {
    let registry = registry(quick()).await;
    registry.put_instance("orders", Instance::new("10.0.0.1", 80));
    let flaky = Flaky::default();
    flaky.panics.store(1, SeqCst);
    let client = Client::connect_over(options(&[&registry]), flaky.clone());
    let mut watch = client.watch_service("orders");
    until(&mut watch, &["10.0.0.1"]).await;
    let first = client.states().borrow().epoch;

    flaky.panics.store(1, SeqCst);
    registry.faults().kill_connections();
    registry.put_instance("orders", Instance::new("10.0.0.2", 80));
    until(&mut watch, &["10.0.0.1", "10.0.0.2"]).await;
    assert_eq!(flaky.panics.load(SeqCst), 0, "it did panic");
    assert!(
        client.states().borrow().epoch > first,
        "what an earlier session said is not taken for news"
    );
    client.close().await;
}

#[tokio::test]
async fn a_login_that_panics_begins_again() {
    let registry = registry(Options {
        auth: Some(("nacos".to_owned(), "secret".to_owned())),
        ..quick()
    })
    .await;
    let flaky = Flaky::default();
    // The login and the session each come upon one.
    flaky.panics.store(2, SeqCst);
    let mut options = options(&[&registry]);
    options.credentials = Some(Credentials::new("nacos", "secret"));
    let client = Client::connect_over(options, flaky);
    until_true("connected with a token", || {
        let state = client.state();
        let logged_in = matches!(state.login, pailou_nacos::LoginState::LoggedIn { .. });
        state.connection.connected && logged_in
    })
    .await;
}
