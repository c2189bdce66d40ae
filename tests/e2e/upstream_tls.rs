//! TLS to endpoints.

use std::collections::BTreeMap;

use pailou_nacos::Instance;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::gateway::run;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};
use crate::tls_to_nacos::front::{Authority, Front};

fn instance(front: &Front, metadata: &[(&str, &str)]) -> Instance {
    let pairs = metadata.iter().copied();
    let metadata: BTreeMap<_, _> = pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Instance {
        metadata,
        ..Instance::new(front.address.ip().to_string(), front.address.port())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_reached_over_tls_by_what_they_say_and_by_what_routes_say() {
    let folder = TempDir::new().expect("a folder");
    let authority = |name: &str| Authority::new(folder.path(), name);
    let (usual, internal, clients) = (
        authority("usual"),
        authority("internal"),
        authority("clients"),
    );
    let world = World::new().await;
    let (one, two, three) = (
        Upstream::start("one"),
        Upstream::start("two"),
        Upstream::start("three"),
    );
    // As Spring registers; by a protocol; one that says nothing, is in another authority's care and asks who comes.
    let spring = Front::start(one.address(), &usual.identity("127.0.0.1"), None).await;
    let https = Front::start(two.address(), &usual.identity("127.0.0.1"), None).await;
    let name = "orders.internal";
    let silent = Front::start(three.address(), &internal.identity(name), Some(&clients)).await;
    let _registered = [
        world
            .register_instance("spring", instance(&spring, &[("secure", "true")]))
            .await,
        world
            .register_instance("https", instance(&https, &[("protocol", "https")]))
            .await,
        world
            .register_instance("silent", instance(&silent, &[]))
            .await,
    ];
    world
        .publish(
            "routes:\n  /spring/**: spring\n  /https/**: https\n  /silent/**: { service: { name: silent, \
             tls: internal } }\n  /plain/**: silent\n",
        )
        .await;
    let own = clients.identity("pailou");
    let more = format!(
        "upstream_tls: {{ ca_file: {} }}\nother_upstream_tls: {{ internal: {{ ca_file: {}, server_name: {name}, \
         cert_file: {}, key_file: {} }} }}",
        usual.ca_file().display(),
        internal.ca_file().display(),
        own.cert_file.display(),
        own.key_file.display()
    );
    let gateway = world.gateway_with(&more).await.ready().await;
    until_answered_by(&gateway.url("/spring/x"), "one").await;
    until_answered_by(&gateway.url("/https/x"), "two").await;
    until_answered_by(&gateway.url("/silent/x"), "three").await;
    // Without TLS that endpoint closes the connection.
    until_status(&gateway.url("/plain/x"), 502).await;

    let view = gateway.admin_json("/api/v1/services/spring").await;
    assert_eq!(view["endpoints"][0]["transport"], "https", "{view}");
    let latency = view["endpoints"][0]["latency_ms"].as_f64();
    assert!(latency.is_some_and(|latency| latency > 0.0), "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_accepted_is_told_in_the_answer_the_log_and_the_view() {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new(folder.path(), "usual");
    let other = Authority::new(folder.path(), "other");
    let world = World::new().await;
    let one = Upstream::start("one");
    let front = Front::start(one.address(), &other.identity("127.0.0.1"), None).await;
    let _registered = world
        .register_instance("user-service", instance(&front, &[("secure", "true")]))
        .await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let more = format!(
        "upstream_tls: {{ ca_file: {} }}",
        authority.ca_file().display()
    );
    let gateway = world.gateway_with(&more).await.ready().await;
    let answer = reqwest::get(gateway.url("/api/users/1"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 502);
    let problem: serde_json::Value = answer.json().await.expect("a problem");
    assert_eq!(problem["cause"], "upstream_tls", "{problem}");
    gateway
        .logged(&["TLS to an endpoint failed", "into upstream_tls.ca_file"])
        .await;
    gateway
        .logged(&["an endpoint was ejected", "\"tls\""])
        .await;
    let view = gateway.admin_json("/api/v1/services/user-service").await;
    assert_eq!(view["endpoints"][0]["ejection"]["cause"], "tls", "{view}");
    assert_eq!(one.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_says_so_is_spoken_to_over_http_2() {
    let world = World::new().await;
    let version = async |request: axum::extract::Request| {
        ([("x-instance", format!("{:?}", request.version()))], "")
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = axum::Router::new().fallback(version);
    tokio::spawn(async move { axum::serve(listener, service).await });
    let instance = Instance {
        metadata: [("protocol".to_owned(), "h2c".to_owned())].into(),
        ..Instance::new(address.ip().to_string(), address.port())
    };
    let _registered = world.register_instance("user-service", instance).await;
    world
        .publish("routes:\n  /api/users/**: user-service\n  /plain/**: { service: { name: user-service, protocol: http } }\n")
        .await;
    let gateway = world.gateway().await.ready().await;
    until_answered_by(&gateway.url("/api/users/1"), "HTTP/2.0").await;
    until_answered_by(&gateway.url("/plain/1"), "HTTP/1.1").await;
    let view = gateway.admin_json("/api/v1/services/user-service").await;
    assert_eq!(view["endpoints"][0]["transport"], "h2c", "{view}");
}

#[test]
fn what_is_wrong_with_tls_to_endpoints_is_found_by_check_and_at_the_start() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("a file");
    write("empty.pem", "nothing");
    write(
        "routes.yaml",
        "routes: { /a/**: { service: { name: a, tls: internl } } }",
    );
    write(
        "gateway.yaml",
        "routes: [{ file: ./routes.yaml }]\nother_upstream_tls:\n  internal: { ca_file: empty.pem }\n  lab: { ca_file: gone.pem }\n",
    );
    let (status, out, _) = run(&["check", "gateway.yaml"], path);
    assert!(!status.success());
    assert!(
        out.contains("gateway.yaml:4:") && out.contains("other_upstream_tls.lab.ca_file"),
        "{out}"
    );
    write(
        "gateway.yaml",
        "routes: [{ file: ./routes.yaml }]\nother_upstream_tls: { internal: { ca_file: empty.pem } }\n",
    );
    let (status, out, _) = run(&["check", "gateway.yaml"], path);
    assert!(!status.success());
    for expected in [
        "other_upstream_tls.internal.ca_file: ",
        "empty.pem: there is no PEM certificate in it",
        "routes.yaml:1:",
        "service.tls: gateway.yaml has no `other_upstream_tls.internl`; expected one of internal; did you mean `internal`?",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    let (status, _, err) = run(&["run", "--config", "gateway.yaml"], path);
    assert!(!status.success());
    assert!(err.contains("no PEM certificate in it"), "{err}");
}
