//! `pailou doctor`: each usual mistake is named, with its cure.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use pailou_nacos_lite::{Answer, ConfigKey, Instance, Options, Registry, ServiceKey};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::gateway::command;
use crate::support::upstream::Upstream;

const ROUTES: &str = "pailou-routes.yaml";

/// What the doctor said.
struct Visit {
    status: ExitStatus,
    text: String,
    json: Value,
}

impl Visit {
    /// The findings of one check.
    fn all(&self, check: &str) -> Vec<&Value> {
        let findings = self.json["findings"].as_array().expect("findings");
        findings
            .iter()
            .filter(|one| one["check"] == check)
            .collect()
    }

    /// The only finding of a check.
    fn one(&self, check: &str) -> &Value {
        let all = self.all(check);
        assert_eq!(all.len(), 1, "{check}: {:#}", self.json);
        all[0]
    }

    /// Asserts that the only finding of a check has this result and these words, in what was found or in the cure.
    fn says(&self, check: &str, result: &str, words: &[&str]) {
        let one = self.one(check);
        assert_eq!(one["result"], result, "{one:#}");
        let said = format!("{} {}", one["found"], one["cure"]);
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
        let is_bad = matches!(result, "problem" | "warning");
        assert_eq!(one["cure"].is_string(), is_bad, "{one:#}");
        assert!(
            !is_bad || self.text.contains(one["cure"].as_str().expect("a cure")),
            "{}",
            self.text
        );
    }

    fn is_well(&self) -> bool {
        assert_eq!(
            self.status.success(),
            self.json["ok"] == true,
            "{}",
            self.text
        );
        self.status.success()
    }
}

/// Runs the doctor twice, for the text and for the JSON.
async fn visit(settings: &str, variables: &[(&str, &str)]) -> Visit {
    let run = |args: &[&str]| {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("gateway.yaml"), settings).expect("a file");
        let mut command = command(&[&["doctor", "--config", "gateway.yaml"], args].concat());
        command
            .current_dir(folder.path())
            .envs(variables.iter().copied());
        tokio::task::spawn_blocking(move || {
            let output = command.output().expect("the binary runs");
            drop(folder);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status, text(&output.stdout), text(&output.stderr))
        })
    };
    let (text, json) = tokio::join!(run(&[]), run(&["--json"]));
    let ((status, text, err), (_, json, _)) = (text.expect("a run"), json.expect("a run"));
    Visit {
        status,
        json: serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json} {err}")),
        text,
    }
}

async fn registry() -> Registry {
    Registry::start(Options::default()).await.expect("a Nacos")
}

fn settings(registry: &Registry, nacos: &str) -> String {
    format!(
        "nacos: {{ servers: ['{}'], grpc_port: {}{nacos} }}\n",
        registry.http_addr(),
        registry.grpc_addr().port()
    )
}

fn local(upstream: &Upstream) -> Instance {
    Instance::new(
        upstream.address().ip().to_string(),
        upstream.address().port(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_world_is_healthy() {
    let registry = registry().await;
    let upstream = Upstream::start("one");
    registry.publish_config(ROUTES, "routes: { /a/**: user-service }");
    registry.put_instance("user-service", local(&upstream));
    let seen = visit(&settings(&registry, ""), &[]).await;
    assert!(seen.is_well(), "{}", seen.text);
    seen.says("http", "ok", &["answers"]);
    seen.says("clock", "ok", &[]);
    seen.says("grpc", "ok", &["one connection"]);
    seen.says("login", "ok", &["the server asks for none"]);
    seen.says("document", "ok", &["1 route"]);
    seen.says("service", "ok", &["1 instance, all eligible"]);
    assert_eq!(
        (&seen.json["problems"], &seen.json["warnings"]),
        (&0.into(), &0.into())
    );
    assert!(
        seen.text.ends_with("0 problems, 0 warnings\n"),
        "{}",
        seen.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_from_a_closed_grpc_port() {
    let registry = registry().await;
    let blocked = format!(
        "nacos: {{ servers: ['{}'], grpc_port: 1 }}\n",
        registry.http_addr()
    );
    registry.publish_config(ROUTES, "routes: { /a/**: user-service }");
    let seen = visit(&blocked, &[]).await;
    seen.says("http", "ok", &[]);
    seen.says(
        "grpc",
        "warning",
        &["no TCP connection", "uses HTTP instead", "nacos.grpc_port"],
    );
    // What follows is looked at over HTTP.
    seen.says("login", "ok", &["the server asks for none"]);
    seen.says("document", "ok", &["1 route"]);
    seen.says("service", "problem", &["no instance"]);

    // Something listens at the gRPC port that is not Nacos.
    let other = format!(
        "nacos: {{ servers: ['{}'], grpc_port: {} }}\n",
        registry.http_addr(),
        registry.http_addr().port()
    );
    visit(&other, &[])
        .await
        .says("grpc", "warning", &["does not answer as Nacos does"]);
    let nobody = "nacos: { servers: ['no-such-host.invalid'] }\n";
    visit(nobody, &[])
        .await
        .says("name", "problem", &["has no address"]);

    let settings = settings(&registry, "");
    registry.stop().await;
    let seen = visit(&settings, &[]).await;
    seen.says("http", "warning", &["no answer"]);
    seen.says("grpc", "problem", &["no TCP connection"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_or_starts_does_not_hold_the_doctor_up() {
    let registry = registry().await;
    registry
        .faults()
        .answer("ServerCheckRequest", Answer::Error(300), 100);
    let seen = visit(&settings(&registry, ""), &[]).await;
    seen.says("grpc", "problem", &["still starting"]);
    registry.faults().hang(true);
    let began = Instant::now();
    let seen = visit(&settings(&registry, ", request_timeout: 500ms"), &[]).await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    seen.says(
        "grpc",
        "problem",
        &["does not answer as Nacos does", "within"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_the_login_is_named_and_no_secret_is() {
    let auth = Options {
        auth: Some(("nacos".to_owned(), "right-secret".to_owned())),
        ..Options::default()
    };
    let locked = Registry::start(auth.clone()).await.expect("a Nacos");
    let open = registry().await;
    let over_http = Options {
        block_grpc: true,
        ..auth
    };
    let over_http = Registry::start(over_http).await.expect("a Nacos");
    for registry in [&locked, &open, &over_http] {
        registry.publish_config(ROUTES, "routes: {}");
    }
    for (registry, user, password, result, words) in [
        (&locked, "nacos", "right-secret", "ok", "the login works"),
        (
            &locked,
            "nacos",
            "wrong-secret",
            "problem",
            "another password",
        ),
        (
            &locked,
            "nobody",
            "wrong-secret",
            "problem",
            "has not loaded the user yet",
        ),
        (&locked, "", "", "problem", "none is set"),
        (&open, "nacos", "right-secret", "warning", "lets anybody in"),
        (&open, "", "", "ok", "the server asks for none"),
        (&over_http, "nacos", "right-secret", "ok", "the login works"),
        (
            &over_http,
            "nacos",
            "wrong-secret",
            "problem",
            "another password",
        ),
        (&over_http, "", "", "problem", "none is set"),
    ] {
        let nacos = settings(registry, "");
        let seen = visit(
            &nacos,
            &[("NACOS_USERNAME", user), ("NACOS_PASSWORD", password)],
        )
        .await;
        seen.says("login", result, &[words]);
        assert_eq!(seen.is_well(), result != "problem", "{}", seen.text);
        let all = format!("{} {}", seen.text, seen.json);
        assert!(!all.contains("-secret"), "{all}");
    }
}

/// It said to open the port, which was open.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_answered_with_nonsense_is_shown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let answer = if head.contains("/auth/") {
                    "HTTP/1.1 0\r\n\r\n".to_owned()
                } else if head.contains("/cs/config") {
                    "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        .to_owned()
                } else {
                    let body = r#"{"version":"2.3.1"}"#;
                    format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    )
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    let nacos =
        format!("nacos: {{ servers: ['127.0.0.1:{port}'], grpc_port: 1, request_timeout: 1s }}\n");
    let variables = [
        ("NACOS_USERNAME", "nacos"),
        ("NACOS_PASSWORD", "right-secret"),
    ];
    let seen = visit(&nacos, &variables).await;
    seen.says(
        "login",
        "problem",
        &["the answer begins with", "HTTP/1.1 0", "The port is open"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_an_id_and_not_a_name() {
    let registry = registry().await;
    registry.create_namespace("5f1c", "dev");
    for namespace in ["5f1c", "dev", "typo"] {
        let key = ConfigKey::new(namespace, "DEFAULT_GROUP", ROUTES);
        registry.publish_config(key, "routes: {}");
    }
    for (namespace, result, words) in [
        ("5f1c", "ok", "named `dev`"),
        ("dev", "problem", "Write the id, 5f1c"),
        ("typo", "warning", "was never created"),
    ] {
        let seen = visit(
            &settings(&registry, &format!(", namespace: {namespace}")),
            &[],
        )
        .await;
        seen.says("namespace", result, &[words]);
    }
    let seen = visit(&settings(&registry, ", namespace: public"), &[]).await;
    assert!(seen.all("namespace").is_empty(), "{}", seen.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_elsewhere_is_found() {
    let registry = registry().await;
    registry.create_namespace("dev", "development");
    let missing = settings(&registry, "");
    visit(&missing, &[]).await.says(
        "document",
        "problem",
        &["does not exist", "pailou nacos config publish"],
    );
    for (key, words) in [
        (
            ConfigKey::new("dev", "DEFAULT_GROUP", ROUTES),
            "in namespace dev",
        ),
        (
            ConfigKey::new("", "DEFAULT_GROUP", "pailou-routes"),
            "as `pailou-routes`",
        ),
        (ConfigKey::new("", "shop", ROUTES), "in group shop"),
    ] {
        registry.publish_config(key.clone(), "routes: {}");
        let seen = visit(&missing, &[]).await;
        seen.says("document", "problem", &[words]);
        registry.remove_config(key);
    }
    for (text, words) in [
        (
            "routes: { /a/**: { servce: a } }",
            &["did you mean `service`?", "pailou check"][..],
        ),
        ("# nothing", &["no content", "routes: {}"]),
    ] {
        registry.publish_config(ROUTES, text);
        visit(&missing, &[])
            .await
            .says("document", "problem", words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_elsewhere_is_found() {
    let registry = registry().await;
    registry.create_namespace("dev", "development");
    registry.publish_config(ROUTES, "routes: { /a/**: user-service }");
    let settings = settings(&registry, "");
    visit(&settings, &[]).await.says(
        "service",
        "problem",
        &[
            "no instance, neither here nor in the other",
            "Start the service",
        ],
    );
    for (key, words) in [
        (
            ServiceKey::from("users-service"),
            &["there is a service `users-service`"][..],
        ),
        (
            ServiceKey::from("shop@@user-service"),
            &[
                "1 instance in group shop",
                "service: { name: user-service, group: shop }",
            ],
        ),
        (
            ServiceKey::from("User-Service"),
            &["there is a service `User-Service`"],
        ),
        (
            ServiceKey::new("dev", "DEFAULT_GROUP", "user-service"),
            &["in namespace dev"],
        ),
        (
            ServiceKey::new("", "DEFAULT_GROUP", "user-service"),
            &["literally called"],
        ),
    ] {
        registry.put_instance(key.clone(), Instance::new("127.0.0.1", 1));
        visit(&settings, &[])
            .await
            .says("service", "problem", words);
        registry.remove_instance(key, "127.0.0.1", 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_gets_no_request_says_why() {
    let upstream = Upstream::start("one");
    let good = local(&upstream);
    for (instance, words) in [
        (
            Instance {
                enabled: false,
                ..good.clone()
            },
            &["1 instance, all disabled", "console"][..],
        ),
        (
            Instance {
                healthy: false,
                ..good.clone()
            },
            &["unhealthy", "beats"],
        ),
        (
            Instance {
                weight: 0.0,
                ..good.clone()
            },
            &["weight 0"],
        ),
        (
            Instance::new("169.254.169.254", 80),
            &["link-local", "NACOS_SERVICE_IP"],
        ),
    ] {
        let registry = registry().await;
        registry.publish_config(ROUTES, "routes: { /a/**: user-service }");
        registry.put_instance("user-service", instance);
        let seen = visit(&settings(&registry, ""), &[]).await;
        seen.says("service", "problem", words);
        assert!(!seen.is_well());
        if let Some(other) = seen.all("instance").first() {
            panic!("nothing is connected to: {other}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subset_without_instances_and_an_instance_that_does_not_listen_are_told() {
    let registry = registry().await;
    let route = "routes: { /a/**: { service: { name: user-service, metadata: { version: v2 } } } }";
    registry.publish_config(ROUTES, route);
    let mut dead = Instance::new("127.0.0.1", 1);
    registry.put_instance("user-service", dead.clone());
    let seen = visit(&settings(&registry, ""), &[]).await;
    seen.says("subset", "problem", &["version"]);
    seen.says("instance", "problem", &["127.0.0.1:1"]);
    dead.metadata.insert("version".to_owned(), "v2".to_owned());
    registry.put_instance("user-service", dead);
    let seen = visit(&settings(&registry, ""), &[]).await;
    seen.says("subset", "ok", &["1 instance"]);
    let upstream = Upstream::start("one");
    registry.put_instance("user-service", local(&upstream));
    let seen = visit(&settings(&registry, ""), &[]).await;
    seen.says("instance", "warning", &["127.0.0.1:1"]);
    assert!(seen.is_well(), "{}", seen.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cluster_is_looked_at_for_what_it_has_to_have() {
    let (main, east) = (registry().await, registry().await);
    let upstream = Upstream::start("one");
    main.put_instance("user-service", local(&upstream));
    main.publish_config(
        ROUTES,
        "routes: { /a/**: user-service, /b/**: { service: { name: orders, nacos: east } } }",
    );
    east.publish_config("east.yaml", "routes: { /c/**: items }");
    east.put_instance("shop@@orders", local(&upstream));
    main.put_instance("items", local(&upstream));
    let settings = |more: &str| {
        let (address, port) = (east.http_addr(), east.grpc_addr().port());
        settings(&main, "")
            + &format!(
                "other_nacos: {{ east: {{ servers: [ '{address}' ], grpc_port: {port}{more} }} }}\n\
                 routes: [ {{ data_id: east.yaml, nacos: east }}, {{ data_id: {ROUTES} }} ]\n"
            )
    };
    let seen = visit(&settings(""), &[]).await;
    let of = |seen: &Visit, check: &str, result: &str| -> Vec<(String, String)> {
        let found = seen.all(check).into_iter();
        let found = found.filter(|one| one["result"] == result);
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        found
            .map(|one| (text(&one["server"]), text(&one["subject"])))
            .collect()
    };
    let pair = |server: &str, subject: &str| (server.to_owned(), subject.to_owned());
    let main_name = main.http_addr().to_string();
    let east_name = format!("{} (east)", east.http_addr());
    let documents = [
        pair(&main_name, "DEFAULT_GROUP/pailou-routes.yaml"),
        pair(&east_name, "DEFAULT_GROUP/east.yaml"),
    ];
    assert_eq!(of(&seen, "document", "ok"), documents, "{}", seen.text);
    // A document's services are looked for in the Nacos that its routes name.
    let services = [
        pair(&main_name, "DEFAULT_GROUP/items"),
        pair(&main_name, "DEFAULT_GROUP/user-service"),
    ];
    assert_eq!(of(&seen, "service", "ok"), services, "{}", seen.text);
    let missing = [pair(&east_name, "DEFAULT_GROUP/orders")];
    assert_eq!(of(&seen, "service", "problem"), missing, "{}", seen.text);
    let cure = "service: { name: orders, nacos: east, group: shop }";
    assert!(seen.text.contains(cure), "{}", seen.text);
    seen.says("gateway", "ok", &["no gateway is registered"]);

    east.put_instance("orders", local(&upstream));
    assert!(visit(&settings(""), &[]).await.is_well());
    east.faults().refuse_connections(true);
    let seen = visit(&settings(""), &[]).await;
    assert!(!seen.is_well(), "{}", seen.text);
    assert!(
        seen.text.contains("other_nacos.east.servers"),
        "{}",
        seen.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_disagree_are_told() {
    let (one, other) = (registry().await, registry().await);
    let upstream = Upstream::start("one");
    for registry in [&one, &other] {
        registry.publish_config(ROUTES, "routes: { /a/**: user-service }");
        registry.put_instance("user-service", local(&upstream));
    }
    let settings = format!(
        "nacos: {{ servers: ['{}', '{}'] }}\n",
        one.http_addr(),
        other.http_addr()
    );
    let seen = visit(&settings, &[]).await;
    assert!(seen.is_well(), "{}", seen.text);
    seen.says("servers", "ok", &["says the same"]);
    other.remove_config(ROUTES);
    let seen = visit(&settings, &[]).await;
    seen.says("servers", "warning", &["says something else"]);
    assert_eq!(seen.all("document").len(), 2, "{}", seen.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_refuses_a_document_is_named() {
    let registry = registry().await;
    registry.publish_config(ROUTES, "routes: {}");
    let mut gateway = Instance::new("10.0.0.1", 8080);
    gateway
        .metadata
        .insert("error".to_owned(), "line 3 is wrong".to_owned());
    registry.put_instance("pailou-gateway", gateway);
    let seen = visit(&settings(&registry, ""), &[]).await;
    seen.says("gateway", "warning", &["line 3 is wrong"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_settings_are_told_before_anything_is_looked_at() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(
        folder.path().join("gateway.yaml"),
        "nacos: { severs: [a] }\n",
    )
    .expect("a file");
    let output = command(&["doctor", "--config", "gateway.yaml"])
        .current_dir(folder.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("did you mean `servers`?"), "{said}");
}
