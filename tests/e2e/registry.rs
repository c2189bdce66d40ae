//! `pailou registry`: the embedded registry alone, spoken to by HTTP as `curl` does, and by the real client.

use std::net::TcpListener;
use std::path::Path;

use pailou_nacos::{Client, ClientOptions, Credentials, Instance, Publish};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::gateway::{command, run};
use crate::support::ports::free_pair;
use crate::support::process::Process;
use crate::support::until;

/// A running `pailou registry`.
struct Alone {
    process: Process,
    port: u16,
    grpc: u16,
}

impl Alone {
    /// Starts it on ports that it finds by itself, and reads them from what it says.
    async fn start(more: &[&str]) -> Alone {
        let args: Vec<_> = ["registry", "--port", "0"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        let mut process = Process::spawn("pailou registry", &mut command(&args));
        let line = process.said(&["http://127.0.0.1:", "gRPC on"]).await;
        let (_, rest) = line.split_once("http://127.0.0.1:").expect("an address");
        let (port, rest) = rest.split_once('/').expect("a path");
        let (_, grpc) = rest.rsplit_once(':').expect("a gRPC address");
        let (port, grpc) = (port.parse().expect("a port"), grpc.parse().expect("a port"));
        Alone {
            process,
            port,
            grpc,
        }
    }

    /// Asks as `curl` does, and returns status and text.
    async fn ask(&self, method: Method, path: &str, form: &[(&str, &str)]) -> (StatusCode, String) {
        let url = format!("http://127.0.0.1:{}/nacos/{path}", self.port);
        let request = reqwest::Client::new().request(method.clone(), url);
        // curl sends what `-d` says as a form, and with `-G` or in the address as a query.
        let request = if method == Method::POST {
            request.form(form)
        } else {
            request.query(form)
        };
        let response = request.send().await.expect("an answer");
        (response.status(), response.text().await.expect("a text"))
    }

    async fn ok(&self, method: Method, path: &str, form: &[(&str, &str)]) -> String {
        let (status, text) = self.ask(method, path, form).await;
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    fn client(&self, credentials: Option<Credentials>) -> Client {
        let mut options =
            ClientOptions::new(&format!("127.0.0.1:{}", self.port)).expect("an address");
        options.grpc_port = Some(self.grpc);
        options.credentials = credentials;
        Client::connect(options)
    }
}

const SERVICE: (&str, &str) = ("serviceName", "user-service");

#[tokio::test(flavor = "multi_thread")]
async fn it_says_that_it_keeps_nothing_and_is_not_for_production() {
    let mut alone = Alone::start(&[]).await;
    alone
        .process
        .said(&["keeps nothing", "not for production"])
        .await;
    assert_eq!(alone.grpc, alone.port + 1000, "where clients look for it");
    assert!(
        !alone.process.log().join("\n").contains("Login"),
        "no login is asked for"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_curl_registers_lists_edits_and_takes_out() {
    let alone = Alone::start(&[]).await;
    let place = [SERVICE, ("ip", "10.0.0.1"), ("port", "8080")];
    let with = |more: &[(&'static str, &'static str)]| [&place[..], more].concat();
    let instance = "v1/ns/instance";
    let hosts = async |query: &[(&str, &str)]| {
        let list: Value =
            serde_json::from_str(&alone.ok(Method::GET, "v1/ns/instance/list", query).await)
                .expect("JSON");
        list["hosts"].as_array().expect("hosts").clone()
    };

    let registered = with(&[("weight", "0.5"), ("metadata", r#"{"version":"v1"}"#)]);
    assert_eq!(alone.ok(Method::POST, instance, &registered).await, "ok");
    let listed = hosts(&[SERVICE]).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["ip"], &listed[0]["weight"]),
        (&"10.0.0.1".into(), &0.5.into()),
        "{listed:?}"
    );
    assert_eq!(listed[0]["metadata"]["version"], "v1");

    // A PUT is the whole edit, as on a real server: what it does not say is the default.
    assert_eq!(
        alone
            .ok(Method::PUT, instance, &with(&[("enabled", "false")]))
            .await,
        "ok"
    );
    assert!(
        hosts(&[SERVICE]).await.is_empty(),
        "a disabled instance is not listed"
    );
    assert_eq!(
        alone
            .ok(Method::PUT, instance, &with(&[("enabled", "true")]))
            .await,
        "ok"
    );
    assert_eq!(hosts(&[SERVICE]).await[0]["weight"], 1.0);

    let services: Value = serde_json::from_str(
        &alone
            .ok(
                Method::GET,
                "v1/ns/service/list",
                &[("pageNo", "1"), ("pageSize", "10")],
            )
            .await,
    )
    .expect("JSON");
    assert_eq!(
        services["doms"],
        serde_json::json!(["user-service"]),
        "{services}"
    );
    assert_eq!(alone.ok(Method::DELETE, instance, &place).await, "ok");
    assert!(hosts(&[SERVICE]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_published_read_and_removed() {
    let alone = Alone::start(&[]).await;
    let name = [("dataId", "pailou-routes.yaml"), ("group", "DEFAULT_GROUP")];
    let configs = "v1/cs/configs";
    assert_eq!(alone.ask(Method::GET, configs, &name).await.0, 404);
    let content = "routes:\n  /a/**: a & b + ü\n";
    let form = [&name[..], &[("content", content)]].concat();
    assert_eq!(alone.ok(Method::POST, configs, &form).await, "true");
    assert_eq!(alone.ok(Method::GET, configs, &name).await, content);
    // Both halves hold the same: what curl publishes, a gRPC client reads.
    let client = alone.client(None);
    let config = client
        .config("pailou-routes.yaml")
        .await
        .expect("an answer")
        .expect("a config");
    assert_eq!(config.content, content);
    assert_eq!(alone.ok(Method::DELETE, configs, &name).await, "true");
    assert_eq!(alone.ask(Method::GET, configs, &name).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_auth_nobody_gets_in_without_a_login() {
    let mut alone = Alone::start(&["--auth"]).await;
    alone.process.said(&["Login", "nacos"]).await;
    let configs = "v1/cs/configs";
    let form = [
        ("dataId", "x"),
        ("group", "DEFAULT_GROUP"),
        ("content", "y"),
    ];
    for (method, path, form) in [
        (Method::POST, configs, &form[..]),
        (Method::GET, configs, &form[..2]),
        (Method::GET, "v1/ns/instance/list", &[SERVICE][..]),
    ] {
        let (status, text) = alone.ask(method.clone(), path, form).await;
        assert_eq!(status, 403, "{method} {path}: {text}");
    }
    let login = "v1/auth/login";
    let (status, _) = alone
        .ask(
            Method::POST,
            login,
            &[("username", "nacos"), ("password", "wrong")],
        )
        .await;
    assert_ne!(status, 200);
    let answer = alone
        .ok(
            Method::POST,
            login,
            &[("username", "nacos"), ("password", "nacos")],
        )
        .await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let token = answer["accessToken"].as_str().expect("a token");
    let with_token = [&form[..], &[("accessToken", token)]].concat();
    assert_eq!(alone.ok(Method::POST, configs, &with_token).await, "true");

    let client = alone.client(Some(Credentials::new("nacos", "nacos")));
    let config = client
        .config("x")
        .await
        .expect("an answer")
        .expect("a config");
    assert_eq!(config.content, "y");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_client_registers_watches_and_publishes() {
    let alone = Alone::start(&[]).await;
    let (service, caller) = (alone.client(None), alone.client(None));
    let mut watch = caller.watch_service("user-service");
    let registration = service
        .register("user-service", Instance::new("10.0.0.2", 81))
        .await
        .expect("registered");
    while watch.changed().await.instances.len() != 1 {}
    registration.deregister().await.expect("deregistered");
    while !watch.changed().await.instances.is_empty() {}
    caller
        .publish_config("a.yaml", "x: 1", Publish::default())
        .await
        .expect("published");
    let config = service
        .config("a.yaml")
        .await
        .expect("an answer")
        .expect("a config");
    assert_eq!(config.content, "x: 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_in_one_line() {
    let port = free_pair();
    for taken in [port, port + 1000] {
        let listener = TcpListener::bind(("127.0.0.1", taken)).expect("a free port");
        let mut process = Process::spawn(
            "pailou registry",
            &mut command(&["registry", "--port", &port.to_string()]),
        );
        let status = process.exited().await;
        let log = process.log();
        assert_eq!(status.code(), Some(1), "{log:#?}");
        assert_eq!(log.len(), 1, "one line: {log:#?}");
        assert!(
            log[0].contains(&format!("port {taken} is taken")),
            "{log:#?}"
        );
        drop(listener);
    }
}

#[test]
fn a_port_without_room_for_the_second_one_is_refused() {
    let (status, out, err) = run(&["registry", "--port", "65000"], Path::new("/"));
    assert_eq!(status.code(), Some(1), "{out}{err}");
    assert!(err.contains("65000") && err.lines().count() == 1, "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_code_0_by_either_signal_and_frees_its_ports() {
    for signal in ["-TERM", "-INT"] {
        let mut alone = Alone::start(&[]).await;
        // Connections that are open do not hold it up.
        let client = alone.client(None);
        until("a session", async || {
            client.state().connection.connected.then_some(())
        })
        .await;
        alone.process.signal(signal);
        assert!(alone.process.exited().await.success(), "{signal}");
        for port in [alone.port, alone.grpc] {
            assert!(
                std::net::TcpStream::connect(("127.0.0.1", port)).is_err(),
                "{port} is open"
            );
        }
    }
}
