//! A sealed cookie keeps a client at the endpoint that answered it first.

use std::collections::BTreeSet;

use tokio::net::TcpStream;

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World, until_answered_by};

const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";

/// What a client sees of one answer.
#[derive(Debug)]
struct Seen {
    by: String,
    body: String,
    /// The cookie that it got: `name=value`, and the attributes.
    cookie: Option<(String, String)>,
}

async fn get(gateway: &Gateway, path: &str, cookie: &str) -> Seen {
    let mut asked = reqwest::Client::new().get(gateway.url(path));
    if !cookie.is_empty() {
        asked = asked.header("cookie", cookie);
    }
    let answer = asked.send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    let text = |name: &str| {
        let value = answer.headers().get(name)?;
        Some(value.to_str().expect("ASCII").to_owned())
    };
    let cookie = text("set-cookie").map(|set| {
        let (pair, rest) = set.split_once("; ").expect("attributes");
        (pair.to_owned(), rest.to_owned())
    });
    Seen {
        by: text("x-instance").expect("a name"),
        cookie,
        body: answer.text().await.expect("a body"),
    }
}

async fn first(gateway: &Gateway, path: &str) -> (String, String) {
    let seen = get(gateway, path, "").await;
    (seen.by, seen.cookie.expect("a cookie").0)
}

async fn three(world: &World) -> (Vec<Upstream>, Vec<Registered>) {
    let upstreams: Vec<_> = ["one", "two", "three"].map(Upstream::start).into();
    let mut registered = Vec::new();
    for upstream in &upstreams {
        registered.push(world.register("cart", upstream.address()).await);
    }
    (upstreams, registered)
}

async fn until_all_answer(gateway: &Gateway, path: &str) {
    for name in ["one", "two", "three"] {
        until_answered_by(&gateway.url(path), name).await;
    }
}

fn counted(outcome: &str) -> String {
    format!("pailou_sticky_requests_total{{outcome=\"{outcome}\"}}")
}

fn document() -> String {
    format!(
        "routes:\n  /a/**: {{ service: cart, sticky: {{ secret: {OLD} }} }}\n  \
         /b/**: {{ service: cart, sticky: {{ secret: {OLD} }} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stays_and_its_endpoint_does_not_see_the_cookie() {
    let world = World::new().await;
    let (_upstreams, _registered) = three(&world).await;
    world.publish(&document()).await;
    let gateway = world.gateway().await.ready().await;
    until_all_answer(&gateway, "/a/x").await;
    let seen = get(&gateway, "/a/x", "").await;
    let (pair, attributes) = seen.cookie.expect("a cookie");
    assert!(pair.starts_with("pailou_sticky="), "{pair}");
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    for turn in 0..50 {
        let cookies = format!("a=1; {pair}; b=2");
        let again = get(&gateway, "/a/headers", &cookies).await;
        assert_eq!(again.by, seen.by, "turn {turn}");
        assert!(again.cookie.is_none(), "it has one: {again:?}");
        assert!(again.body.contains("a=1; b=2"), "{}", again.body);
        assert!(!again.body.contains("pailou_sticky"), "{}", again.body);
    }
    assert_eq!(gateway.value(&counted("kept")).await, 50);
    assert!(gateway.value(&counted("new")).await > 0);
}

/// A client of HTTP/2 may send each cookie in a line of its own (RFC 9113 section 8.2.3).
#[tokio::test(flavor = "multi_thread")]
async fn over_http2_the_cookie_is_found_in_any_line() {
    let world = World::new().await;
    let (_upstreams, _registered) = three(&world).await;
    world.publish(&document()).await;
    let gateway = world.gateway().await.ready().await;
    until_all_answer(&gateway, "/a/x").await;
    let (by, pair) = first(&gateway, "/a/x").await;
    let stream = TcpStream::connect(gateway.data()).await.expect("connected");
    let (mut requests, connection) = h2::client::handshake(stream).await.expect("a handshake");
    let connection = tokio::spawn(connection);
    for _ in 0..20 {
        let request = http::Request::get(gateway.url("/a/x"))
            .header("cookie", "a=1")
            .header("cookie", &pair)
            .body(())
            .expect("a request");
        let (answer, _) = requests.send_request(request, true).expect("sent");
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.headers()["x-instance"], by.as_str());
        assert!(!answer.headers().contains_key("set-cookie"));
    }
    connection.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_is_none_of_the_routes_is_replaced() {
    let world = World::new().await;
    let (_upstreams, _registered) = three(&world).await;
    world.publish(&document()).await;
    let gateway = world.gateway().await.ready().await;
    until_all_answer(&gateway, "/a/x").await;
    let (_, good) = first(&gateway, "/a/x").await;
    let mut forged = good.clone().into_bytes();
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("ASCII");
    let cases = [
        ("/a/x", forged.as_str()),
        ("/a/x", &good[..good.len() - 4]),
        ("/a/x", "pailou_sticky=127.0.0.1:80"),
        ("/a/x", "pailou_sticky="),
        ("/b/x", good.as_str()),
    ];
    for (path, cookie) in cases {
        let seen = get(&gateway, path, cookie).await;
        assert!(seen.cookie.is_some(), "{path} {cookie}: {seen:?}");
    }
    assert_eq!(gateway.value(&counted("invalid")).await, 5);
    assert!(get(&gateway, "/a/x", &good).await.cookie.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_endpoint_dies_gets_another_one_without_an_error() {
    let world = World::new().await;
    let (mut upstreams, _registered) = three(&world).await;
    world.publish(&document()).await;
    let gateway = world.gateway().await.ready().await;
    until_all_answer(&gateway, "/a/x").await;
    let (by, old) = first(&gateway, "/a/x").await;
    let place = upstreams.iter().position(|one| one.name() == by);
    upstreams.remove(place.expect("one of them")).kill();
    // The first of these is a retry: the endpoint is still listed, and refuses.
    let moved = get(&gateway, "/a/x", &old).await;
    assert_ne!(moved.by, by);
    let new = moved.cookie.expect("a new cookie").0;
    for _ in 0..20 {
        let again = get(&gateway, "/a/x", &new).await;
        assert_eq!(again.by, moved.by);
        assert!(again.cookie.is_none());
    }
    assert_eq!(gateway.value(&counted("gone")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_endpoint_leaves_nacos_gets_another_one() {
    let world = World::new().await;
    let (upstreams, mut registered) = three(&world).await;
    world.publish(&document()).await;
    let gateway = world.gateway().await.ready().await;
    until_all_answer(&gateway, "/a/x").await;
    let (by, old) = first(&gateway, "/a/x").await;
    let place = upstreams.iter().position(|one| one.name() == by);
    registered
        .remove(place.expect("one of them"))
        .deregister()
        .await;
    let moved = until("another endpoint", async || {
        let seen = get(&gateway, "/a/x", &old).await;
        (seen.by != by).then_some(seen)
    })
    .await;
    assert!(moved.cookie.is_some());
}

/// Grey release: the cookie of a client that left a version does not bring it back there.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_never_widens_the_version_that_is_asked_for() {
    let world = World::new().await;
    let (stable, grey) = (
        ["s1", "s2"].map(Upstream::start),
        ["g1", "g2"].map(Upstream::start),
    );
    let mut registered = Vec::new();
    for upstream in &stable {
        registered.push(world.register("cart", upstream.address()).await);
    }
    for upstream in &grey {
        let address = upstream.address();
        let mut instance = pailou_nacos::Instance::new(address.ip().to_string(), address.port());
        let tag = ("version".to_owned(), "v2".to_owned());
        instance.metadata.extend([tag]);
        registered.push(world.register_instance("cart", instance).await);
    }
    world
        .publish(&format!(
            "routes:\n  /a/**: {{ service: {{ name: cart, canary: {{ query: v, metadata: version }} }}, sticky: {{ secret: {OLD} }} }}\n"
        ))
        .await;
    let gateway = world.gateway().await.ready().await;
    for (path, names) in [("/a/x", ["s1", "s2"]), ("/a/x?v=v2", ["g1", "g2"])] {
        for name in names {
            until_answered_by(&gateway.url(path), name).await;
        }
    }
    let (by, cookie) = first(&gateway, "/a/x?v=v2").await;
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        seen.insert(get(&gateway, "/a/x?v=v2", &cookie).await.by);
    }
    assert_eq!(seen, BTreeSet::from([by]), "it stays within its version");
    for _ in 0..20 {
        let seen = get(&gateway, "/a/x", &cookie).await;
        assert!(seen.by.starts_with('s'), "{seen:?}");
        assert!(seen.cookie.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_replaced_in_its_file_and_nobody_moves() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!("credentials: {{ folder: {} }}", folder.path().display());
    let world = World::new().await;
    let (_upstreams, _registered) = three(&world).await;
    world
        .publish(
            "routes:\n  /a/**: { service: cart, sticky: { secret_file: sticky.txt, ttl: 1h } }\n",
        )
        .await;
    let gateway = world.gateway_with(&settings).await.ready().await;
    until_all_answer(&gateway, "/a/x").await;
    let unsealed = get(&gateway, "/a/x", "").await;
    assert!(
        unsealed.cookie.is_none(),
        "there is no secret: {unsealed:?}"
    );
    assert!(gateway.value(&counted("no_key")).await > 0);

    let write = |text: &str| {
        let next = folder.path().join("next");
        std::fs::write(&next, text).expect("written");
        std::fs::rename(&next, folder.path().join("sticky.txt")).expect("renamed");
    };
    write(OLD);
    let got = until("a cookie", async || {
        let seen = get(&gateway, "/a/x", "").await;
        seen.cookie.map(|cookie| (seen.by, cookie))
    })
    .await;
    let (by, (old, attributes)) = got;
    assert!(attributes.contains("Max-Age=3600"), "{attributes}");
    write(&format!("{NEW}\n{OLD}\n"));
    let renewed = until("a cookie of the new secret", async || {
        let seen = get(&gateway, "/a/x", &old).await;
        assert_eq!(seen.by, by, "the old secret opens");
        seen.cookie
    })
    .await;
    write(NEW);
    until("the old secret to go", async || {
        let before = gateway.value(&counted("invalid")).await;
        get(&gateway, "/a/x", &old).await;
        (gateway.value(&counted("invalid")).await > before).then_some(())
    })
    .await;
    for _ in 0..20 {
        let seen = get(&gateway, "/a/x", &renewed.0).await;
        assert_eq!(seen.by, by);
        assert!(seen.cookie.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_key_is_said_and_no_secret_is() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    for (sticky, said) in [
        ("{}", "no secret, or two"),
        ("{ secret: hunter2 }", "32 are the least"),
        ("{ secret_file: a.txt }", "credentials.folder"),
    ] {
        let route = format!("routes: {{ /a/**: {{ service: user-service, sticky: {sticky} }} }}");
        world.publish(&route).await;
        gateway.logged(&[said]).await;
    }
    let other =
        format!("routes: {{ /a/**: {{ forward: /api/users/1, sticky: {{ secret: {OLD} }} }} }}");
    world.publish(&other).await;
    gateway.logged(&["no endpoint to stay at"]).await;
    let log = gateway.log().join("\n");
    assert!(!log.contains("hunter2") && !log.contains(OLD), "{log}");
}
