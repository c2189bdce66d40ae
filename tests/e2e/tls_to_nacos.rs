//! TLS to Nacos, both ports behind small proxies that terminate it.

use std::path::Path;

use pailou_nacos_lite::Options;
use tempfile::TempDir;

use self::front::{Authority, Front, Identity};
use crate::support::gateway::{Gateway, run};
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

#[path = "../../crates/nacos/tests/client/tls/front.rs"]
pub(crate) mod front;

/// The name in the certificates; the servers are reached by their address.
const NAME: &str = "nacos.internal";

/// The two ports of a world behind TLS.
struct Secured {
    http: Front,
    grpc: Front,
}

impl Secured {
    async fn new(world: &World, identity: &Identity, clients: Option<&Authority>) -> Secured {
        Secured {
            http: Front::start(world.http(), identity, clients).await,
            grpc: Front::start(world.grpc(), identity, clients).await,
        }
    }

    /// What `nacos` or one of `other_nacos` says of it.
    fn keys(&self, more: &str) -> String {
        let (http, grpc) = (self.http.address, self.grpc.address.port());
        format!("{{ servers: ['https://{http}'], grpc_port: {grpc}, {more} }}")
    }
}

/// The settings of a world's gateway with another `nacos`.
fn settings(world: &World, nacos: &str, more: &str) -> String {
    let plain = format!(
        "nacos: {{ servers: ['{}'], grpc_port: {} }}",
        world.http(),
        world.grpc().port()
    );
    let settings = world.settings(more);
    assert!(settings.contains(&plain), "{settings}");
    settings.replace(&plain, &format!("nacos: {nacos}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cluster_is_reached_over_tls_of_its_own() {
    let folder = TempDir::new().expect("a folder");
    let authority = |name: &str| Authority::new(folder.path(), name);
    let (main_ca, east_ca, clients) = (authority("main"), authority("east"), authority("clients"));
    let auth = Some(("gateway".to_owned(), "hunter2-of-main".to_owned()));
    let main = World::with(Options {
        auth,
        ..Options::default()
    })
    .await;
    let east = World::new().await;
    let secured_main = Secured::new(&main, &main_ca.identity(NAME), Some(&clients)).await;
    let secured_east = Secured::new(&east, &east_ca.identity("127.0.0.1"), None).await;
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let registry = main.registry();
    let address = one.address();
    registry.put_instance(
        "user-service",
        pailou_nacos_lite::Instance::new(address.ip().to_string(), address.port()),
    );
    let _two = east.register("order-service", two.address()).await;
    registry.publish_config(
        "pailou-routes.yaml",
        "routes:\n  /users/**: user-service\n  /orders/**: { service: { name: order-service, nacos: east } }\n",
    );
    let own = clients.identity("pailou");
    let main_keys = secured_main.keys(&format!(
        "username: gateway, password: hunter2-of-main, tls_ca_file: {}, tls_server_name: {NAME}, tls_cert_file: {}, \
         tls_key_file: {}",
        main_ca.ca_file().display(),
        own.cert_file.display(),
        own.key_file.display()
    ));
    let east_keys = secured_east.keys(&format!("tls_ca_file: {}", east_ca.ca_file().display()));
    let settings = settings(
        &main,
        &main_keys,
        &format!("other_nacos: {{ east: {east_keys} }}\n"),
    );
    let gateway = Gateway::start(&settings).await.ready().await;
    until_answered_by(&gateway.url("/users/1"), "one").await;
    until_answered_by(&gateway.url("/orders/1"), "two").await;
    let status = gateway.admin_json("/api/v1/status").await;
    for session in status["nacos"].as_array().expect("sessions") {
        assert_eq!(session["connection"]["transport"], "grpc", "{status}");
    }
    registry.publish_config("pailou-routes.yaml", "routes: { /more/**: user-service }");
    until_status(&gateway.url("/more/1"), 200).await;

    // The tools go the same way: over gRPC, and over HTTP where it must be.
    std::fs::write(folder.path().join("gateway.yaml"), &settings).expect("a file");
    let command = |args: &[&str]| {
        let args = [args, &["--config", "gateway.yaml"]].concat();
        run(&args, folder.path())
    };
    let (status, out, err) = command(&["doctor"]);
    assert!(status.success() && out.contains("(east)"), "{out}{err}");
    let (status, out, err) = command(&["nacos", "config", "history", "pailou-routes.yaml"]);
    assert!(status.success(), "{out}{err}");
}

/// What the doctor says; it must find something wrong.
fn doctor(folder: &Path, settings: &str) -> String {
    std::fs::write(folder.join("gateway.yaml"), settings).expect("a file");
    let (status, out, err) = run(&["doctor", "--config", "gateway.yaml"], folder);
    assert!(!status.success(), "{out}{err}");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_tls_is_said_with_its_file_and_its_cure() {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new(folder.path(), "ca");
    let clients = Authority::new(folder.path(), "clients");
    let stranger = Authority::new(folder.path(), "stranger");
    let world = World::new().await;
    let good = authority.identity(NAME);
    let secured = Secured::new(&world, &good, None).await;
    let expired = Secured::new(&world, &authority.expired_identity(NAME), None).await;
    let asking = Secured::new(&world, &good, Some(&clients)).await;
    let ca = format!(
        "tls_ca_file: {}, tls_server_name: {NAME}",
        authority.ca_file().display()
    );
    let foreign = format!("tls_ca_file: {}", stranger.ca_file().display());
    let nameless = format!("tls_ca_file: {}", authority.ca_file().display());
    let (http, grpc) = (secured.http.address, secured.grpc.address.port());
    let plain = format!("{{ servers: ['{http}'], grpc_port: {grpc} }}");
    let half = format!(
        "{{ servers: ['{}'], grpc_port: {grpc}, grpc_tls: true, {foreign} }}",
        world.http()
    );
    let overdone = format!(
        "{{ servers: ['https://{}'], grpc_port: {}, {ca} }}",
        world.http(),
        world.grpc().port()
    );
    let cases: [(&str, String, &[&str]); 7] = [
        (
            "an unknown authority",
            secured.keys(&foreign),
            &[
                "of an authority that is not in ",
                "stranger.pem",
                "nacos.tls_*",
            ],
        ),
        (
            "another name",
            secured.keys(&nameless),
            &[NAME, "not for 127.0.0.1: set the server name"],
        ),
        (
            "expired",
            expired.keys(&ca),
            &["certificate expired", "days ago"],
        ),
        (
            "no client certificate",
            asking.keys(&ca),
            &[
                "asks for a client certificate, and none is set",
                "nacos.grpc_tls and nacos.tls_*",
            ],
        ),
        (
            "plain to TLS",
            plain,
            &["speaks TLS on this port", "nacos.grpc_tls to true"],
        ),
        (
            "TLS to plain",
            overdone,
            &["does not speak TLS on this port"],
        ),
        ("gRPC alone", half, &["of an authority that is not in "]),
    ];
    for (case, nacos, expected) in cases {
        let settings = settings(&world, &nacos, "");
        let said = doctor(folder.path(), &settings);
        for words in expected {
            assert!(said.contains(words), "{case}: {words} is not in {said}");
        }
    }
    // The gateway says it too, and serves when the file is mended, without a restart.
    let upstream = Upstream::start("one");
    let _one = world.register("user-service", upstream.address()).await;
    world.publish("routes: { /users/**: user-service }").await;
    let file = folder.path().join("mounted.pem");
    std::fs::copy(stranger.ca_file(), &file).expect("a copy");
    let keys = format!("tls_ca_file: {}, tls_server_name: {NAME}", file.display());
    let gateway = Gateway::start(&settings(&world, &secured.keys(&keys), "")).await;
    gateway.logged(&["authority", "mounted.pem"]).await;
    std::fs::copy(authority.ca_file(), &file).expect("a copy");
    let gateway = gateway.ready().await;
    until_answered_by(&gateway.url("/users/1"), "one").await;
}
