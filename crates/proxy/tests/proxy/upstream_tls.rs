//! TLS to endpoints.

use std::net::SocketAddr;
use std::path::Path;

use pailou_upstream::{EndpointSet, EndpointSpec, Transport};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::front::{Authority, Front, Identity};
use crate::gateway::{ANY, Gateway};
use crate::upstream::{Upstream, ok, read_head};

#[path = "../../../nacos/tests/client/tls/front.rs"]
pub(crate) mod front;

/// The host name that endpoints are registered by.
const NAME: &str = "orders.internal";

/// Authorities and certificates of one test.
struct Files {
    folder: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Files {
        let folder = TempDir::new().expect("a folder");
        let authority = Authority::new(folder.path(), "authority");
        Files { folder, authority }
    }

    fn other(&self, name: &str) -> Authority {
        Authority::new(self.folder.path(), name)
    }
}

fn text(path: &Path) -> &'static str {
    Box::leak(path.display().to_string().into_boxed_str())
}

type Setting = (&'static str, &'static str);

fn believes(authority: &Authority) -> Setting {
    ("PAILOU_UPSTREAM_TLS_CA_FILE", text(&authority.ca_file()))
}

fn shows(identity: &Identity) -> [Setting; 2] {
    [
        ("PAILOU_UPSTREAM_TLS_CERT_FILE", text(&identity.cert_file)),
        ("PAILOU_UPSTREAM_TLS_KEY_FILE", text(&identity.key_file)),
    ]
}

/// An endpoint that says that it speaks TLS, registered by its host name.
fn secured(address: SocketAddr) -> EndpointSpec {
    EndpointSpec {
        transport: Transport::HTTPS,
        host: Some(NAME.into()),
        ..EndpointSpec::new(address)
    }
}

/// A gateway whose `users` are these endpoints.
async fn gateway(settings: &[Setting], routes: &str, endpoints: &[EndpointSpec]) -> Gateway {
    let gateway = Gateway::with(settings, routes, &[]).await;
    let set = EndpointSet::of(endpoints.iter().cloned());
    gateway.service("users").update(set);
    gateway
}

#[tokio::test]
async fn a_trusted_endpoint_is_spoken_to_over_tls_and_its_connection_kept() {
    let files = Files::new();
    let upstream = Upstream::start(|_| ok("secret")).await;
    let front = Front::start(upstream.address, &files.authority.identity(NAME), None).await;
    let settings = [believes(&files.authority)];
    let gateway = gateway(&settings, ANY, &[secured(front.address)]).await;
    let mut client = gateway.connect().await;
    for _ in 0..3 {
        let answer = client.get("/").await;
        assert_eq!((answer.status, &*answer.body), (200, &b"secret"[..]));
        assert_eq!(client.post("/", b"x").await.status, 200);
    }
    let received = upstream.received();
    assert_eq!(received.len(), 6);
    assert!(received.iter().all(|it| it.connection == 0), "{received:?}");
}

#[tokio::test]
async fn certificates_are_verified_by_authority_and_name() {
    let files = Files::new();
    let (good, wrong) = (&files.authority, files.other("wrong"));
    let by_ip = |address| EndpointSpec {
        host: None,
        ..secured(address)
    };
    let named = ("PAILOU_UPSTREAM_TLS_SERVER_NAME", "front.internal");
    let unverified = ("PAILOU_UPSTREAM_TLS_VERIFY", "false");
    let name = good.identity(NAME);
    let front_name = good.identity("front.internal");
    let ip = good.identity("127.0.0.1");
    let expired = good.expired_identity(NAME);
    type Case<'a> = (
        &'a str,
        &'a Identity,
        Vec<Setting>,
        fn(SocketAddr) -> EndpointSpec,
        u16,
    );
    let cases: [Case<'_>; 9] = [
        ("its name", &name, vec![believes(good)], secured, 200),
        (
            "wrong authority",
            &name,
            vec![believes(&wrong)],
            secured,
            502,
        ),
        ("no authority of ours", &name, vec![], secured, 502),
        (
            "wrong name",
            &front_name,
            vec![believes(good)],
            secured,
            502,
        ),
        (
            "name set",
            &front_name,
            vec![believes(good), named],
            secured,
            200,
        ),
        ("its address", &ip, vec![believes(good)], by_ip, 200),
        ("no address in it", &name, vec![believes(good)], by_ip, 502),
        ("expired", &expired, vec![believes(good)], secured, 502),
        ("unverified", &expired, vec![unverified], by_ip, 200),
    ];
    for (what, identity, settings, endpoint, status) in cases {
        let upstream = Upstream::start(|_| ok("alive")).await;
        let front = Front::start(upstream.address, identity, None).await;
        let gateway = gateway(&settings, ANY, &[endpoint(front.address)]).await;
        let answer = gateway.connect().await.get("/").await;
        assert_eq!(answer.status, status, "{what}");
        if status == 502 {
            let body = String::from_utf8(answer.body).expect("text");
            assert!(body.contains("\"upstream_tls\""), "{what}: {body}");
            assert!(upstream.received().is_empty(), "{what}");
            let view = serde_json::to_string(&gateway.service("users").view()).expect("JSON");
            assert!(view.contains("\"cause\":\"tls\""), "{what}: {view}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_certificate_gets_it() {
    let files = Files::new();
    let clients = files.other("clients");
    let own = clients.identity("pailou");
    let stranger = files.other("strangers").identity("pailou");
    let server = files.authority.identity(NAME);
    for (identity, status) in [(Some(&own), 200), (None, 502), (Some(&stranger), 502)] {
        let upstream = Upstream::start(|_| ok("alive")).await;
        let front = Front::start(upstream.address, &server, Some(&clients)).await;
        let mut settings = vec![believes(&files.authority)];
        settings.extend(identity.map(shows).into_iter().flatten());
        let gateway = gateway(&settings, ANY, &[secured(front.address)]).await;
        let answer = gateway.connect().await.get("/").await;
        assert_eq!(
            answer.status,
            status,
            "{identity:?}",
            identity = identity.is_some()
        );
        if status == 502 {
            let body = String::from_utf8(answer.body).expect("text");
            assert!(body.contains("\"upstream_tls\""), "{body}");
        }
    }
}

#[tokio::test]
async fn a_request_goes_on_to_an_endpoint_whose_certificate_is_good() {
    let files = Files::new();
    let wrong = files.other("wrong");
    let upstream = Upstream::start(|_| ok("alive")).await;
    let good = Front::start(upstream.address, &files.authority.identity(NAME), None).await;
    let bad = Front::start(upstream.address, &wrong.identity(NAME), None).await;
    // It speaks no TLS at all.
    let plain = Upstream::start(|_| ok("plain")).await;
    let endpoints = [good.address, bad.address, plain.address].map(secured);
    let settings = [believes(&files.authority)];
    for _ in 0..5 {
        let gateway = gateway(&settings, ANY, &endpoints).await;
        let mut client = gateway.connect().await;
        for _ in 0..4 {
            assert_eq!(client.post("/", b"x").await.status, 200);
        }
    }
    assert!(plain.received().is_empty());
}

#[tokio::test]
async fn what_a_route_says_of_the_protocol_wins() {
    let files = Files::new();
    let upstream = Upstream::start(|_| ok("alive")).await;
    let front = Front::start(upstream.address, &files.authority.identity(NAME), None).await;
    let settings = [believes(&files.authority)];
    let https = "routes: { any: { path: /**, service: { name: users, protocol: https } } }";
    let http = "routes: { any: { path: /**, service: { name: users, protocol: http } } }";
    let plain = |address| EndpointSpec {
        host: Some(NAME.into()),
        ..EndpointSpec::new(address)
    };
    let by_https = gateway(&settings, https, &[plain(front.address)]).await;
    assert_eq!(by_https.connect().await.get("/").await.status, 200);
    let by_http = gateway(&settings, http, &[secured(upstream.address)]).await;
    assert_eq!(by_http.connect().await.get("/").await.status, 200);
}

#[tokio::test]
async fn a_websocket_passes_through_tls() {
    let files = Files::new();
    let upstream = Upstream::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";
        stream.write_all(head).await.expect("written");
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.expect("read");
        stream.write_all(&word).await.expect("written");
    })
    .await;
    let front = Front::start(upstream.address, &files.authority.identity(NAME), None).await;
    let settings = [believes(&files.authority)];
    let gateway = gateway(&settings, ANY, &[secured(front.address)]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(client.head().await.0, 101);
    client.send("ping").await;
    assert_eq!(client.rest().await, b"helloping");
}
