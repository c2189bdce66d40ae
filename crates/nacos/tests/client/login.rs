//! The login: how it is made, kept and never shown.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use pailou_nacos::{
    Client, ClientOptions, Credentials, LoginState,
    wire::{ServiceQueryRequest, SubscribeServiceRequest},
};
use tokio::time::{Instant, sleep};

use crate::script::{Answer, Net, Server, kind, until, until_connected};

const V3: &str = "/nacos/v3/auth/user/login";
const V1: &str = "/nacos/v1/auth/login";

fn refusal(status: u16, words: &str) -> (u16, String) {
    (
        status,
        format!(r#"{{"status":{status},"message":"{words}"}}"#),
    )
}

/// A server that lets only tokens in, and a client that logs in there.
fn guarded() -> (Server, Client) {
    let net = Net::new(&["one"]);
    let server = net.server("one").clone();
    server.state().tokens.insert("nobody's".into());
    server.put("orders", &["10.0.0.1"]);
    let client = net.client_with_login();
    (server, client)
}

fn logins(server: &Server) -> usize {
    server.state().login_paths.len()
}

#[tokio::test(start_paused = true)]
async fn every_operation_carries_the_token_and_no_url_the_password() {
    let (server, client) = guarded();
    let mut watch = client.watch_service("orders");
    assert_eq!(watch.changed().await.instances.len(), 1);
    client.query_service("orders").await.unwrap();
    for request in [
        kind::<SubscribeServiceRequest>(),
        kind::<ServiceQueryRequest>(),
    ] {
        assert!(
            server
                .seen(request)
                .iter()
                .all(|seen| seen.token.as_deref() == Some("token-1"))
        );
    }
    assert_eq!(server.state().login_paths, [V3]);
    assert_eq!(
        server.state().login_bodies,
        ["username=nacos&password=hunter2"]
    );
    let state = client.state();
    assert!(matches!(
        state.login,
        LoginState::LoggedIn {
            renewal_error: None,
            ..
        }
    ));
    assert_eq!((state.counts.logins, state.counts.forbidden), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_path_of_older_servers_is_tried_where_the_new_one_is_absent() {
    for absent in [404, 405, 410, 501] {
        let (server, client) = guarded();
        server.state().logins.push_back((absent, String::new()));
        client.query_service("orders").await.unwrap();
        assert_eq!(server.state().login_paths, [V3, V1]);
    }
    let (server, client) = guarded();
    let missing = refusal(500, "No static resource nacos/v3/auth/user/login.");
    server.state().logins.push_back(missing);
    client.query_service("orders").await.unwrap();
    assert_eq!(server.state().login_paths, [V3, V1]);
}

#[tokio::test(start_paused = true)]
async fn without_any_login_the_client_works_without_a_token() {
    let net = Net::new(&["one"]);
    let server = net.server("one");
    server.put("orders", &["10.0.0.1"]);
    for _ in 0..2 {
        server.state().logins.push_back((404, String::new()));
    }
    let client = net.client_with_login();
    assert_eq!(
        client
            .query_service("orders")
            .await
            .unwrap()
            .instances
            .len(),
        1
    );
    assert_eq!(client.state().login, LoginState::Absent);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_server_that_refuses_a_right_password_is_asked_again() {
    for refused in [
        refusal(403, "Access Denied"),
        refusal(500, "caused: User nacos not found;"),
        (200, "{}".into()),
    ] {
        let (server, client) = guarded();
        server
            .state()
            .logins
            .extend([refused.clone(), refused.clone()]);
        let mut watch = client.watch_service("orders");
        let begun = Instant::now();
        until("refused", || {
            matches!(client.state().login, LoginState::Failed { .. })
        })
        .await;
        assert_eq!(watch.changed().await.instances.len(), 1);
        let took = begun.elapsed();
        assert!((10..=16).contains(&took.as_secs()), "{refused:?}: {took:?}");
        assert_eq!(logins(&server), 3, "at most one try in five seconds");
        assert_eq!(client.state().counts.failed_logins, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_long_away_is_not_punished_for_its_first_refusals() {
    let (server, client) = guarded();
    server.state().is_down = true;
    sleep(Duration::from_secs(300)).await;
    server.state().is_down = false;
    let refused = refusal(403, "Access Denied");
    server.state().logins.extend([refused.clone(), refused]);
    until("the first refusal", || logins(&server) == 1).await;
    let begun = Instant::now();
    until("logged in", || {
        matches!(client.state().login, LoginState::LoggedIn { .. })
    })
    .await;
    let took = begun.elapsed();
    assert!((10..=13).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_does_not_hammer_the_server() {
    let (server, client) = guarded();
    server
        .state()
        .logins
        .extend(std::iter::repeat_n(refusal(403, "user not found!"), 1000));
    let watch = client.watch_service("orders");
    sleep(Duration::from_secs(600)).await;
    assert!(
        (20..=50).contains(&logins(&server)),
        "{} tries in ten minutes",
        logins(&server)
    );
    assert_eq!(watch.last_error().unwrap().cause(), "forbidden");
    let LoginState::Failed { error } = client.state().login else {
        panic!("{:?}", client.state().login)
    };
    let words = "one:8848: HTTP 403: user not found! (likely: a wrong password,";
    assert!(error.starts_with(words), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_ends() {
    let (server, client) = guarded();
    server.state().token_ttl = 100;
    client.query_service("orders").await.unwrap();
    for n in 2..6 {
        let begun = Instant::now();
        until("renewed", || logins(&server) == n).await;
        let took = begun.elapsed().as_secs_f64();
        assert!((79.0..=91.0).contains(&took), "{took} s");
        client.query_service("orders").await.unwrap();
        let last = server.seen(kind::<ServiceQueryRequest>()).pop().unwrap();
        assert_eq!(last.token, Some(format!("token-{n}")));
    }
    assert_eq!(client.state().counts.forbidden, 0);
}

#[tokio::test(start_paused = true)]
async fn many_refusals_lead_to_one_login_and_each_operation_is_repeated_once() {
    let (server, client) = guarded();
    let staging = client.with_namespace("staging");
    client.query_service("orders").await.unwrap();
    staging.query_service("orders").await.unwrap();
    sleep(Duration::from_secs(60)).await;
    server.state().tokens = ["nobody's".to_owned()].into();
    server.state().seen.clear();
    let ask = |client: &Client| {
        let client = client.clone();
        tokio::spawn(async move {
            client
                .query_service("orders")
                .await
                .map(|state| state.instances.len())
        })
    };
    let asked: Vec<_> = (0..20)
        .flat_map(|_| [ask(&client), ask(&staging)])
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), Ok(1));
    }
    assert_eq!(logins(&server), 2);
    let counted = server.seen(kind::<ServiceQueryRequest>()).len();
    assert!(counted <= 80, "{counted}");
}

#[tokio::test(start_paused = true)]
async fn a_user_without_the_right_does_not_log_in_again_and_again() {
    let (server, client) = guarded();
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    server
        .state()
        .answers
        .entry(kind::<ServiceQueryRequest>().into())
        .or_default()
        .extend(vec![Answer::Fail(403); 1000]);
    for _ in 0..100 {
        sleep(Duration::from_millis(300)).await;
        assert_eq!(
            client.query_service("orders").await.unwrap_err().cause(),
            "forbidden"
        );
    }
    assert!(
        (3..=8).contains(&logins(&server)),
        "{} logins in half a minute",
        logins(&server)
    );
    assert_eq!(watch.current().unwrap().instances.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_keeps_the_token_and_the_data_and_shows() {
    let (server, client) = guarded();
    server.state().token_ttl = 20;
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    server
        .state()
        .logins
        .extend(std::iter::repeat_n(refusal(500, "database is down"), 2));
    until("failure shows", || {
        matches!(
            client.state().login,
            LoginState::LoggedIn {
                renewal_error: Some(_),
                ..
            }
        )
    })
    .await;
    client.query_service("orders").await.unwrap();
    assert_eq!(watch.current().unwrap().instances.len(), 1);
    until("healed", || {
        matches!(
            client.state().login,
            LoginState::LoggedIn {
                renewal_error: None,
                ..
            }
        )
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_up_is_logged_in_to_at_once() {
    let (server, client) = guarded();
    server.state().is_down = true;
    sleep(Duration::from_secs(300)).await;
    server.state().is_down = false;
    until_connected(&client, 1).await;
    let begun = Instant::now();
    client.query_service("orders").await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_login_fails_over_to_another_server() {
    let net = Net::new(&["one", "two"]);
    for name in ["one", "two"] {
        net.server(name).put("orders", &["10.0.0.1"]);
    }
    net.server("one").state().is_down = true;
    let client = net.client_with_login();
    client.query_service("orders").await.unwrap();
    assert_eq!(logins(net.server("two")), 1);
    assert_eq!(client.state().counts.logins, 1);
}

/// Keeps what is logged, at the most talkative level.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_shown_or_logged() {
    // For the whole process: a subscriber of one thread misses what other threads made the log forget.
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("pailou_nacos=trace"))
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("no other subscriber");

    let net = Net::new(&["one"]);
    let server = net.server("one");
    server.state().tokens.insert("nobody's".into());
    server
        .state()
        .logins
        .push_back((403, "no hunter2 here".into()));
    let credentials = Some(Credentials::new("nacos", "hunter2"));
    let options = ClientOptions {
        credentials,
        ..net.options()
    };
    let shown = format!("{options:?}");
    let client = Client::connect_over(options, net.clone());
    let watch = client.watch_service("orders");
    until("logged in", || watch.current().is_some()).await;
    server.cut();
    until_connected(&client, 2).await;
    let state = format!(
        "{:?} {}",
        client.state(),
        serde_json::to_string(&client.state()).unwrap()
    );
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        logged.contains("the login to Nacos failed") && logged.contains("logged in to Nacos"),
        "{logged}"
    );
    for text in [shown, format!("{client:?} {watch:?}"), state, logged] {
        assert!(
            !text.contains("hunter2") && !text.contains("token-"),
            "{text}"
        );
    }
}
