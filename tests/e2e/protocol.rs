//! HTTP/1.1 itself: bodies, limits, upgrades, forwarded headers.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::support::raw::read_all;
use crate::support::until;
use crate::support::world::{World, until_status};

const BIG: usize = 100 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_are_cut_at_the_deadline() {
    let (_world, _upstream, _registered, gateway) =
        World::small_with("limits: { header_timeout: 1s }").await;
    let mut stream = TcpStream::connect(gateway.data())
        .await
        .expect("a connection");
    let began = Instant::now();
    stream
        .write_all(b"GET /api/users/1 HTTP/1.1\r\nhost: a\r\n")
        .await
        .expect("sent");
    // One header line at a time: a time-out per read would never end this.
    let (mut read, mut write) = stream.into_split();
    let drip = tokio::spawn(async move {
        while write.write_all(b"x-slow: 1\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(
        Duration::from_secs(10),
        tokio::io::AsyncReadExt::read_to_end(&mut read, &mut answer),
    )
    .await;
    assert!(ended.is_ok(), "the connection was left open");
    assert!(
        began.elapsed() >= Duration::from_millis(900),
        "cut too early: {:?}",
        began.elapsed()
    );
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    drip.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_holds_for_the_second_request_of_a_connection_too() {
    let (_world, _upstream, _registered, gateway) =
        World::small_with("limits: { header_timeout: 1s, keepalive_timeout: 2s }").await;
    let mut stream = TcpStream::connect(gateway.data())
        .await
        .expect("a connection");
    stream
        .write_all(b"GET /api/users/1 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("sent");
    let first = read_all(&mut stream, Duration::from_millis(500)).await;
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    stream
        .write_all(b"GET /api/users/1 HT")
        .await
        .expect("sent");
    let began = Instant::now();
    let rest = read_all(&mut stream, Duration::from_secs(10)).await;
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "the half-sent request was left open"
    );
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 408"),
        "{rest}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let (_world, _upstream, _registered, gateway) =
        World::small_with("limits: { keepalive_timeout: 1s }").await;
    let mut stream = TcpStream::connect(gateway.data())
        .await
        .expect("a connection");
    stream
        .write_all(b"GET /api/users/1 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("sent");
    let began = Instant::now();
    let answer = read_all(&mut stream, Duration::from_secs(10)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "the idle connection was left open"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_both_ways() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                    return;
                };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let _registered_too = world.register("chat", address).await;
    world.publish("routes: { /api/users/**: user-service, chat: { path: /ws/**, service: chat, read_timeout: 1s } }").await;
    gateway
        .admin_until("the route", "/api/v1/routes", |routes| {
            routes.to_string().contains("/ws/**")
        })
        .await;
    let url = format!("ws://{}/ws/room", gateway.data());
    let (mut socket, _) = tokio_tungstenite::connect_async(url)
        .await
        .expect("an upgrade");
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.expect("sent");
        let echoed = socket.next().await.expect("an echo").expect("a frame");
        assert_eq!(echoed.to_text().expect("text"), text);
        // Longer than the route's read time-out, which is not for upgraded connections.
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_arrive_one_by_one() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let response = reqwest::get(gateway.url("/api/users/events"))
        .await
        .expect("an answer");
    let mut stream = response.bytes_stream();
    let mut arrivals = Vec::new();
    while let Some(piece) = stream.next().await {
        arrivals.push((Instant::now(), piece.expect("a piece")));
    }
    let text: Vec<u8> = arrivals
        .iter()
        .flat_map(|(_, piece)| piece.to_vec())
        .collect();
    assert_eq!(
        String::from_utf8_lossy(&text),
        "data: 1\n\ndata: 2\n\ndata: 3\n\n"
    );
    assert!(
        arrivals.len() >= 3,
        "the events came in {} pieces",
        arrivals.len()
    );
    let spread = arrivals[arrivals.len() - 1].0 - arrivals[0].0;
    assert!(
        spread >= Duration::from_millis(250),
        "the events were held back: all within {spread:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_pass_both_ways() {
    let (_world, _upstream, _registered, gateway) =
        World::small_with("limits: { body_bytes: 200MiB }").await;
    let client = reqwest::Client::builder()
        // The client's own limit on unacknowledged data would end it on a machine that is busy elsewhere for long.
        .tcp_user_timeout(None::<Duration>)
        .build()
        .expect("a client");
    let piece = bytes::Bytes::from(vec![b'u'; 64 * 1024]);
    let pieces = futures_util::stream::iter(
        (0..BIG / piece.len()).map(move |_| Ok::<_, std::io::Error>(piece.clone())),
    );
    let response = client
        .post(gateway.url("/api/users/echo"))
        .body(reqwest::Body::wrap_stream(pieces))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    let mut stream = response.bytes_stream();
    let mut bytes = 0;
    while let Some(piece) = stream.next().await {
        let piece = piece.expect("a piece");
        assert!(piece.iter().all(|byte| *byte == b'u'));
        bytes += piece.len();
    }
    assert_eq!(bytes, BIG);
}

async fn head_seen_upstream(request: reqwest::RequestBuilder) -> Vec<(String, String)> {
    let seen: Value = request
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let headers = seen["headers"].as_array().expect("headers");
    headers
        .iter()
        .map(|pair| {
            (
                pair[0].as_str().expect("a name").to_owned(),
                pair[1].as_str().expect("a value").to_owned(),
            )
        })
        .collect()
}

fn values<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    headers
        .iter()
        .filter(|(n, _)| n == name)
        .map(|(_, value)| value.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_headers_of_a_stranger_are_replaced() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let request = reqwest::Client::new()
        .get(gateway.url("/api/users/headers"))
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "for=6.6.6.6")
        .header("x-real-ip", "6.6.6.6");
    let seen = head_seen_upstream(request).await;
    assert_eq!(values(&seen, "x-forwarded-for"), ["127.0.0.1"], "{seen:?}");
    assert_eq!(values(&seen, "x-forwarded-proto"), ["http"], "{seen:?}");
    assert!(!format!("{seen:?}").contains("6.6.6.6"), "{seen:?}");
    assert!(!format!("{seen:?}").contains("evil.example"), "{seen:?}");
    assert_eq!(values(&seen, "x-request-id").len(), 1, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_headers_of_a_trusted_proxy_are_continued() {
    let (_world, _upstream, _registered, gateway) =
        World::small_with("forwarded: { trusted_proxies: ['127.0.0.0/8'] }").await;
    let request = reqwest::Client::new()
        .get(gateway.url("/api/users/headers"))
        .header("x-forwarded-for", "203.0.113.7")
        .header("x-forwarded-proto", "https");
    let seen = head_seen_upstream(request).await;
    assert_eq!(
        values(&seen, "x-forwarded-for"),
        ["203.0.113.7, 127.0.0.1"],
        "{seen:?}"
    );
    assert_eq!(values(&seen, "x-forwarded-proto"), ["https"], "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_of_rfc_7239_takes_the_place_of_x_forwarded_or_stands_beside_it() {
    for (header, forwarded, forwarded_for) in [
        (
            "x_forwarded",
            "for=6.6.6.6;proto=https",
            &["203.0.113.7, 127.0.0.1"][..],
        ),
        (
            "forwarded",
            "for=6.6.6.6;proto=https, for=127.0.0.1;host=shop.example;proto=http",
            &[],
        ),
        (
            "both",
            "for=203.0.113.7;host=shop.example;proto=https, for=127.0.0.1;host=shop.example;proto=http",
            &["203.0.113.7, 127.0.0.1"],
        ),
    ] {
        let settings =
            format!("forwarded: {{ trusted_proxies: ['127.0.0.0/8'], header: {header} }}");
        let (world, _upstream, _registered, gateway) = World::small_with(&settings).await;
        let request = reqwest::Client::new()
            .get(gateway.url("/api/users/headers"))
            .header("host", "shop.example")
            .header("forwarded", "for=6.6.6.6;proto=https")
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-forwarded-proto", "https");
        let seen = head_seen_upstream(request).await;
        assert_eq!(values(&seen, "forwarded"), [forwarded], "{header}");
        assert_eq!(values(&seen, "x-forwarded-for"), forwarded_for, "{header}");
        let is_written = usize::from(header != "forwarded");
        for name in ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"] {
            assert_eq!(values(&seen, name).len(), is_written, "{header}: {name}");
        }
        let client = if header == "forwarded" {
            "6.6.6.6"
        } else {
            "203.0.113.7"
        };
        gateway
            .logged(&[
                "/api/users/headers",
                &format!("\"client.address\":\"{client}\""),
            ])
            .await;

        // Of a stranger nothing is believed.
        let settings = format!("forwarded: {{ header: {header} }}");
        let gateway = world.gateway_with(&settings).await.ready().await;
        let request = reqwest::Client::new()
            .get(gateway.url("/api/users/headers"))
            .header("host", "shop.example")
            .header("forwarded", "for=6.6.6.6;proto=https")
            .header("x-forwarded-for", "203.0.113.7");
        let seen = head_seen_upstream(request).await;
        let ours = ["for=127.0.0.1;host=shop.example;proto=http"];
        let expected = if header == "x_forwarded" {
            &[][..]
        } else {
            &ours[..]
        };
        assert_eq!(values(&seen, "forwarded"), expected, "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hop_by_hop_headers_stop_here() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let request = reqwest::Client::new()
        .get(gateway.url("/api/users/headers"))
        .header("connection", "x-private")
        .header("x-private", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic x");
    let seen = head_seen_upstream(request).await;
    for name in ["x-private", "keep-alive", "proxy-authorization"] {
        assert!(
            values(&seen, name).is_empty(),
            "{name} was forwarded: {seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_headers_are_edited_as_the_route_says() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world
        .publish(
            "routes:\n  /shop/orders/**:\n    service: user-service\n    strip_prefix: 1\n    prefix: /v2\n    filters:\n      \
             - set_request_header: { name: x-env, value: canary }\n      - remove_request_header: { name: x-drop }\n      \
             - set_response_header: { name: x-answer, value: edited }\n      - remove_response_header: { name: x-number }\n",
        )
        .await;
    until_status(&gateway.url("/shop/orders/headers"), 200).await;
    let response = reqwest::Client::new()
        .get(gateway.url("/shop/orders/headers?q=%2F"))
        .header("x-drop", "1")
        .header("x-number", "7")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["x-answer"], "edited");
    assert!(!response.headers().contains_key("x-number"));
    let seen: Value = response.json().await.expect("JSON");
    assert_eq!(seen["target"], "/v2/orders/headers?q=%2F");
    let text = seen["headers"].to_string();
    assert!(
        text.contains("canary") && !text.contains("x-drop"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_choose_the_route() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world
        .publish(
            "routes:\n  get-only: { path: /m/**, match: { methods: [GET] }, service: user-service }\n  \
             host: { path: /h/**, host: api.example.com, service: user-service }\n  \
             query: { path: /q/**, match: { query: { debug: 'on' } }, service: user-service }\n  \
             cookie: { path: /c/**, match: { cookies: { group: beta } }, service: user-service }\n",
        )
        .await;
    let client = reqwest::Client::new();
    until_status(&gateway.url("/m/x"), 200).await;
    let cases = [
        (client.post(gateway.url("/m/x")), 404),
        (client.get(gateway.url("/h/x")), 404),
        (
            client
                .get(gateway.url("/h/x"))
                .header("host", "API.example.com:8080"),
            200,
        ),
        (client.get(gateway.url("/q/x")), 404),
        (client.get(gateway.url("/q/x?a=1&debug=on")), 200),
        (
            client
                .get(gateway.url("/c/x"))
                .header("cookie", "a=b; group=beta"),
            200,
        ),
        (
            client
                .get(gateway.url("/c/x"))
                .header("cookie", "group=alpha"),
            404,
        ),
    ];
    for (request, status) in cases {
        let shown = format!("{request:?}");
        assert_eq!(
            request.send().await.expect("an answer").status(),
            status,
            "{shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_the_upstream() {
    let (_world, upstream, _registered, gateway) = World::small().await;
    let url = gateway.url("/api/users/slow/20000");
    let request = tokio::spawn(async move { reqwest::get(url).await });
    until("the request at the upstream", async || {
        (upstream.active() == 1).then_some(())
    })
    .await;
    request.abort();
    until("the upstream to be free", async || {
        (upstream.active() == 0).then_some(())
    })
    .await;
}
