//! What is tried again, and what never is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use pailou_upstream::{EndpointSet, EndpointSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gateway::{ANY, Gateway};
use crate::upstream::{Step, Upstream, nobody, ok, read_head, response};

#[tokio::test]
async fn a_refused_connection_goes_elsewhere_for_any_method() {
    for attempt in 0..6 {
        let upstream = Upstream::start(|_| ok("alive")).await;
        let gateway = Gateway::start(ANY, &[nobody().await, upstream.address]).await;
        let mut client = gateway.connect().await;
        let answer = client.post("/", b"body").await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "alive"),
            "attempt {attempt}"
        );
        assert_eq!(upstream.received()[0].body, b"body");
    }
}

#[tokio::test]
async fn a_dead_endpoint_is_asked_once() {
    let upstream = Upstream::start(|_| ok("alive")).await;
    let dead = [nobody().await, nobody().await];
    let gateway = Gateway::start(ANY, &[dead[0], upstream.address, dead[1]]).await;
    let mut client = gateway.connect().await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let view = gateway.service("users").view();
    let view = serde_json::to_string(&view).expect("JSON");
    assert!(view.contains("refused"), "{view}");
}

/// Resets the first connection of all after its request, then answers.
async fn breaks_once() -> (Upstream, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let upstream = Upstream::start(move |_| match count.fetch_add(1, Relaxed) {
        0 => vec![Step::Reset],
        _ => ok("again"),
    })
    .await;
    (upstream, requests)
}

#[tokio::test]
async fn a_reset_is_tried_again_only_if_that_is_safe() {
    let cases: &[(&str, &str, u16, usize)] = &[
        ("GET", "", 200, 2),
        ("PUT", "body", 200, 2),
        ("DELETE", "", 200, 2),
        ("POST", "body", 502, 1),
        ("PATCH", "body", 502, 1),
    ];
    for (method, body, status, requests) in cases {
        let (one, count) = breaks_once().await;
        // The same endpoint under two addresses: the retry goes to the other.
        let relay = relay_to(one.address).await;
        let gateway = Gateway::start(ANY, &[one.address, relay.address]).await;
        let mut client = gateway.connect().await;
        let length = body.len();
        client
            .send(format!(
                "{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, count.load(Relaxed)),
            (*status, *requests),
            "{method}"
        );
        if *status == 200 {
            assert_eq!(
                one.received().last().expect("a request").body,
                body.as_bytes(),
                "{method}"
            );
        }
    }
}

async fn relay_to(address: std::net::SocketAddr) -> Upstream {
    Upstream::raw(move |mut near| async move {
        let Ok(mut far) = tokio::net::TcpStream::connect(address).await else {
            return;
        };
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    })
    .await
}

#[tokio::test]
async fn a_body_that_is_not_at_hand_any_more_is_not_sent_again() {
    let big = vec![b'a'; 200 << 10];
    let (one, count) = breaks_once().await;
    let relay = relay_to(one.address).await;
    let gateway = Gateway::start(ANY, &[one.address, relay.address]).await;
    let mut client = gateway.connect().await;
    client
        .send(format!(
            "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
            big.len()
        ))
        .await;
    client.send(&big).await;
    assert_eq!(client.answer().await.status, 502);
    assert_eq!(count.load(Relaxed), 1);

    let (one, count) = breaks_once().await;
    let relay = relay_to(one.address).await;
    let settings = [("PAILOU_RETRY_BUFFER_BYTES", "1KiB")];
    let gateway = Gateway::with(&settings, ANY, &[one.address, relay.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n")
        .await;
    client.send(&big[..1025]).await;
    assert_eq!(client.answer().await.status, 502);
    assert_eq!(count.load(Relaxed), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_get() {
    // One endpoint alone: the retry must be allowed to go back to it.
    let upstream = Upstream::raw(|mut stream| async move {
        if read_head(&mut stream).await.is_none() {
            return;
        }
        let _ = stream.write_all(&response("200 OK", "", "ok")).await;
        // The next request on this connection is met by a reset.
        let mut byte = [0];
        let _ = stream.read(&mut byte).await;
        stream.set_zero_linger().expect("linger");
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let view = serde_json::to_string(&gateway.service("users").view()).expect("JSON");
    assert!(
        !view.contains("\"reset\""),
        "it is no reason to eject: {view}"
    );
}

#[tokio::test]
async fn an_answer_that_has_begun_is_never_asked_for_again() {
    let broken = || {
        Upstream::start(|_| {
            let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec();
            vec![
                Step::Send(begun),
                Step::Wait(Duration::from_millis(50)),
                Step::Reset,
            ]
        })
    };
    let (one, other) = (broken().await, broken().await);
    let gateway = Gateway::start(ANY, &[one.address, other.address]).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head().await.0, 200);
    assert!(client.rest().await.len() < 10);
    assert_eq!(one.received().len() + other.received().len(), 1);
    assert_eq!(gateway.metric("cause=\"upstream_reset\""), Some(1.0));
}

#[tokio::test]
async fn tries_are_counted() {
    for (retries, expected) in [(0, 1), (1, 2), (3, 4)] {
        let mut breaking = Vec::new();
        for _ in 0..5 {
            breaking.push(Upstream::start(|_| vec![Step::Reset]).await);
        }
        let addresses: Vec<_> = breaking.iter().map(|one| one.address).collect();
        let routes =
            format!("routes: {{ any: {{ path: /**, service: users, retries: {retries} }} }}");
        let gateway = Gateway::start(&routes, &addresses).await;
        assert_eq!(gateway.connect().await.get("/").await.status, 502);
        let sent: usize = breaking.iter().map(|one| one.received().len()).sum();
        assert_eq!(sent, expected, "{retries} retries");
    }
}

#[tokio::test]
async fn a_refused_connection_goes_on_to_the_next_endpoint_until_one_answers() {
    let upstream = Upstream::start(|_| ok("alive")).await;
    let mut addresses = vec![upstream.address];
    for _ in 0..9 {
        addresses.push(nobody().await);
    }
    let routes = "routes: { any: { path: /**, service: users, retries: 1 } }";
    // Many times, since the first pick is a random one.
    for _ in 0..5 {
        let gateway = Gateway::start(routes, &addresses).await;
        let posted = gateway.connect().await.post("/", b"x").await;
        assert_eq!(posted.status, 200);
    }

    // Where nobody answers it ends with the last endpoint, and without retries with the first.
    for (retries, expected) in [(1, 9), (0, 1)] {
        let routes =
            format!("routes: {{ any: {{ path: /**, service: users, retries: {retries} }} }}");
        let gateway = Gateway::start(&routes, &addresses[1..]).await;
        assert_eq!(gateway.connect().await.get("/").await.status, 502);
        let view = serde_json::to_string(&gateway.service("users").view()).expect("JSON");
        assert_eq!(view.matches("\"refused\"").count(), expected, "{view}");
    }
}

/// Three endpoints that Nacos no longer lists are dead, three that it lists are alive: all three tries of the first request
/// went to dead ones.
#[tokio::test]
async fn a_retry_goes_to_a_listed_endpoint_before_a_held_one() {
    for _ in 0..10 {
        let gateway = Gateway::start(ANY, &[]).await;
        let upstream = [
            Upstream::start(|_| ok("alive")).await,
            Upstream::start(|_| ok("alive")).await,
            Upstream::start(|_| ok("alive")).await,
        ];
        let breaking = [
            Upstream::start(|_| vec![Step::Reset]).await,
            Upstream::start(|_| vec![Step::Reset]).await,
            Upstream::start(|_| vec![Step::Reset]).await,
        ];
        let listed = upstream.iter().map(|one| EndpointSpec::new(one.address));
        let held = breaking.iter().map(|one| EndpointSpec {
            held: true,
            ..EndpointSpec::new(one.address)
        });
        gateway
            .service("users")
            .update(EndpointSet::of(listed.chain(held)));
        assert_eq!(gateway.connect().await.get("/").await.status, 200);
        let sent: usize = breaking.iter().map(|one| one.received().len()).sum();
        assert!(sent <= 1, "{sent} tries went to held endpoints");
    }
}

#[tokio::test]
async fn a_budget_of_nothing_sends_nothing_twice() {
    let settings = [
        ("PAILOU_RETRY_BUDGET_PERCENT", "0"),
        ("PAILOU_RETRY_MIN_PER_SECOND", "0"),
    ];
    let (one, count) = breaks_once().await;
    let relay = relay_to(one.address).await;
    let gateway = Gateway::with(&settings, ANY, &[one.address, relay.address]).await;
    assert_eq!(gateway.connect().await.get("/").await.status, 502);
    assert_eq!(count.load(Relaxed), 1);

    // What was never sent needs no budget.
    let upstream = Upstream::start(|_| ok("alive")).await;
    let gateway = Gateway::with(&settings, ANY, &[nobody().await, upstream.address]).await;
    let mut client = gateway.connect().await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn a_broken_service_does_not_spend_what_others_have_saved() {
    let settings = [
        ("PAILOU_RETRY_BUDGET_PERCENT", "20"),
        ("PAILOU_RETRY_MIN_PER_SECOND", "0"),
    ];
    let routes = "routes: { any: { path: /**, service: users }, broken: { path: /broken/**, service: broken } }";
    let count = AtomicUsize::new(0);
    let sixth_breaks = Upstream::start(move |_| match count.fetch_add(1, Relaxed) {
        5 => vec![Step::Reset],
        _ => ok("alive"),
    })
    .await;
    let relay = relay_to(sixth_breaks.address).await;
    let gateway = Gateway::with(&settings, routes, &[sixth_breaks.address, relay.address]).await;
    let dead = [
        Upstream::start(|_| vec![Step::Reset]).await,
        Upstream::start(|_| vec![Step::Reset]).await,
    ];
    let endpoints = dead.iter().map(|one| EndpointSpec::new(one.address));
    gateway.service("broken").update(EndpointSet::of(endpoints));

    // Five requests save one retry, for the service that they are for.
    for _ in 0..5 {
        assert_eq!(gateway.connect().await.get("/").await.status, 200);
    }
    for _ in 0..5 {
        assert_eq!(gateway.connect().await.get("/broken/1").await.status, 502);
    }
    let sent: usize = dead.iter().map(|one| one.received().len()).sum();
    assert_eq!(sent, 6, "one retry is what its own requests have paid for");
    assert_eq!(gateway.connect().await.get("/").await.status, 200);
    assert_eq!(sixth_breaks.received().len(), 7);
}

/// An address where connections neither come about nor are refused, while the listener lives: a full accept queue,
/// at which the kernel drops what comes.
pub(crate) async fn black_hole() -> (tokio::net::TcpListener, SocketAddr) {
    let hole = tokio::net::TcpSocket::new_v4().expect("socket");
    hole.bind("127.0.0.1:0".parse().expect("address"))
        .expect("bind");
    let hole = hole.listen(1).expect("listen");
    let address = hole.local_addr().expect("address");
    for _ in 0..4 {
        tokio::spawn(tokio::net::TcpStream::connect(address));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    (hole, address)
}

#[tokio::test]
async fn a_black_hole_costs_the_connect_timeout_once() {
    let (_hole, address) = black_hole().await;
    let upstream = Upstream::start(|_| ok("alive")).await;
    let routes = "routes: { any: { path: /**, service: users, connect_timeout: 300ms } }";
    let gateway = Gateway::start(routes, &[address, upstream.address]).await;
    let mut client = gateway.connect().await;
    let begun = tokio::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(client.post("/", b"x").await.status, 200);
    }
    assert!(
        begun.elapsed() < Duration::from_millis(2000),
        "{:?}",
        begun.elapsed()
    );
    let view = serde_json::to_string(&gateway.service("users").view()).expect("JSON");
    assert!(view.contains("connect_timeout"), "{view}");
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_used_again() {
    let address = nobody().await;
    let gateway = Gateway::start(ANY, &[address]).await;
    assert_eq!(gateway.connect().await.get("/").await.status, 502);
    let alive = Upstream::start(|_| ok("alive")).await;
    gateway
        .service("users")
        .update(EndpointSet::of([EndpointSpec::new(alive.address)]));
    assert_eq!(gateway.connect().await.get("/").await.status, 200);
}
