//! TLS on clients' connections: what is served over it, which certificate is shown, and how clients get there.

use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::support::authority::Authority;
use crate::support::gateway::Gateway;
use crate::support::tls_client::{TlsClient, answer, ask};
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World};

/// A listener with these certificates of an authority.
fn listener(authority: &Authority, files: &[&str], more: &str) -> String {
    let pairs: Vec<_> = files.iter().map(|file| authority.pair(file)).collect();
    format!("tls: {{ certificates: [{}], {more} }}", pairs.join(", "))
}

/// A gateway with one certificate, for `shop.example`.
pub(crate) async fn shop(
    more: &str,
) -> (Authority, TlsClient, (World, Upstream, Registered), Gateway) {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let tls = listener(&authority, &["shop"], "");
    let (world, upstream, registered, gateway) = World::small_with_listeners(&[&tls], more).await;
    let client = TlsClient::new(&authority.file());
    (authority, client, (world, upstream, registered), gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_tls_are_served_as_others_are() {
    let (_authority, client, _world, gateway) = shop("").await;
    let mut stream = client
        .connect(gateway.data(), "shop.example")
        .await
        .expect("a connection");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));

    let head =
        "GET /api/users/headers HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-proto: http\r\n\r\n";
    let told = ask(&mut stream, head.as_bytes()).await.expect("an answer");
    assert_eq!(told.status, 200, "{told:?}");
    for (name, value) in [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(told.got(name).as_deref(), Some(value), "{name}");
    }
    // The same connection, a port in the host, an absolute target, and bodies beyond any buffer.
    let head = "GET /api/users/headers HTTP/1.1\r\nhost: shop.example:8443\r\n\r\n";
    let told = ask(&mut stream, head.as_bytes()).await.expect("an answer");
    assert_eq!(told.got("x-forwarded-port").as_deref(), Some("8443"));
    let head = "GET https://shop.example:443/api/users/7 HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let told = ask(&mut stream, head.as_bytes()).await.expect("an answer");
    assert_eq!(told.status, 200, "{told:?}");
    let sent = vec![b'x'; 1 << 20];
    let head = format!(
        "POST /api/users/read HTTP/1.1\r\nhost: shop.example\r\ncontent-length: {}\r\n\r\n",
        sent.len()
    );
    let told = ask(&mut stream, &[head.as_bytes(), &sent].concat())
        .await
        .expect("an answer");
    assert_eq!(told.body, sent.len().to_string());
    let head = "GET /api/users/big/3000000 HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let told = ask(&mut stream, head.as_bytes()).await.expect("an answer");
    assert_eq!(told.body.len(), 3_000_000);

    gateway
        .logged(&[
            "\"url.path\":\"/api/users/7\"",
            "\"http.response.status_code\":200",
        ])
        .await;
    let metrics = gateway.metrics().await;
    let handshakes = r#"pailou_tls_handshakes_total{version="1.3",resumed="false"} 1"#;
    assert!(metrics.contains(handshakes), "{metrics}");
    assert!(metrics.contains(r#"pailou_tls_handshakes_total{version="1.2",resumed="true"} 0"#));
}

/// A head in pieces, two heads in one record, and a pause that puts the engine away.
#[tokio::test(flavor = "multi_thread")]
async fn records_and_requests_need_not_begin_together() {
    let (_authority, client, _world, gateway) = shop("").await;
    let mut stream = client
        .connect(gateway.data(), "shop.example")
        .await
        .expect("a connection");
    for piece in [
        "GET /api/us",
        "ers/1 HTTP/1.1\r\nho",
        "st: shop.example\r\n\r\n",
    ] {
        stream.write_all(piece.as_bytes()).await.expect("written");
        stream.flush().await.expect("flushed");
    }
    assert_eq!(answer(&mut stream).await.expect("an answer").status, 200);
    let head = "GET /api/users/2 HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let two = format!("{head}{head}");
    assert_eq!(
        ask(&mut stream, two.as_bytes()).await.expect("one").status,
        200
    );
    assert_eq!(answer(&mut stream).await.expect("the other").status, 200);
    // Longer than a connection keeps its engine between requests.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(
        ask(&mut stream, head.as_bytes())
            .await
            .expect("an answer")
            .status,
        200
    );
    // What the gateway itself says of a head that it refuses comes over TLS too.
    let refused = ask(&mut stream, b"GET / HTTP/1.1\r\nbad header\r\n\r\n").await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status, 400, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_certificate_for_the_host_that_it_names() {
    let authority = Authority::new();
    authority.issue("one", &["one.example", "127.0.0.1"]);
    authority.issue("any", &["*.pay.example", "pay.example"]);
    let tls = listener(&authority, &["one", "any"], "");
    let lax = listener(&authority, &["one", "any"], "check_host: false");
    let (_world, _upstream, _registered, gateway) =
        World::small_with_listeners(&[&tls, &lax], "").await;
    let addresses = gateway.data_listeners().await;
    let client = TlsClient::new(&authority.file());
    // The client itself refuses a certificate for another host.
    for host in ["one.example", "a.pay.example", "pay.example", "127.0.0.1"] {
        let told = client.get(addresses[0], host, "/api/users/1").await;
        assert_eq!(told.expect("an answer").status, 200, "{host}");
    }
    let error = client
        .get(addresses[0], "elsewhere.test", "/api/users/1")
        .await;
    let error = error
        .expect_err("the first certificate is shown")
        .to_string();
    assert!(error.contains("one.example"), "{error}");

    // A request for a host of another certificate belongs on another connection.
    let request = |host: &str| format!("GET /api/users/1 HTTP/1.1\r\nhost: {host}\r\n\r\n");
    for (address, host, status) in [
        (addresses[0], "one.example", 200),
        (addresses[0], "ONE.example:443", 200),
        (addresses[0], "a.pay.example", 421),
        (addresses[0], "elsewhere.test", 421),
        (addresses[1], "a.pay.example", 200),
    ] {
        let mut stream = client.connect(address, "one.example").await.expect("TLS");
        let told = ask(&mut stream, request(host).as_bytes()).await;
        let told = told.expect("an answer");
        assert_eq!(told.status, status, "{host}: {told:?}");
        assert_eq!(told.header("connection"), Some("keep-alive"), "{host}");
    }
    let metrics = gateway.metrics().await;
    assert!(metrics.contains(r#"cause="misdirected""#), "{metrics}");
}

/// Every stream is a request like others: the host that it asks for, the scheme, the client's certificate.
#[tokio::test(flavor = "multi_thread")]
async fn http2_is_chosen_by_alpn_and_each_stream_is_held_to_the_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    authority.issue("one", &["one.example"]);
    authority.issue("two", &["two.example"]);
    clients.issue_client("alice", "alice", "spiffe://shop/alice");
    let asks = format!(
        "client_auth: required, client_ca: {}",
        clients.file().display()
    );
    let tls = listener(&authority, &["one", "two"], &asks);
    let (_world, _upstream, _registered, gateway) = World::small_with_listeners(&[&tls], "").await;
    let (cert, key) = clients.files("alice");
    let client = TlsClient::known(&authority.file(), &cert, &key).offering_http2();
    let stream = client
        .connect(gateway.data(), "one.example")
        .await
        .expect("a connection");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut requests, connection) =
        http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("a preface");
    tokio::spawn(connection);
    for (host, status) in [
        ("one.example", 200),
        ("two.example", 421),
        ("one.example", 200),
    ] {
        let request = Request::get(format!("https://{host}/api/users/headers"))
            .header("x-client-cert-subject", "CN=admin")
            .body(Empty::new())
            .expect("a request");
        let response = requests.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), status, "{host}");
        let body = response.into_body().collect().await.expect("a body");
        let body = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        if status == 200 {
            for expected in [
                r#"["x-forwarded-proto","https"]"#,
                r#"["x-forwarded-port","443"]"#,
                r#"["x-client-cert-subject","CN=alice,O=Shop"]"#,
            ] {
                assert!(body.contains(expected), "{expected}: {body}");
            }
            assert!(!body.contains("CN=admin"), "{body}");
        }
    }
}

/// Frames both ways over a connection that stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_passes_over_tls() {
    let (_authority, client, (world, ..), gateway) = shop("").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepted");
        let mut socket = tokio_tungstenite::accept_async(stream)
            .await
            .expect("an upgrade");
        while let Some(Ok(message)) = socket.next().await {
            if message.is_binary() && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let _chat = world.register("chat", address).await;
    world.publish("routes: { /ws/**: chat }").await;
    gateway
        .admin_until("the route", "/api/v1/routes", |routes| {
            routes.to_string().contains("/ws/**")
        })
        .await;
    let stream = client
        .connect(gateway.data(), "shop.example")
        .await
        .expect("a connection");
    let (mut socket, _) = tokio_tungstenite::client_async("wss://shop.example/ws/room", stream)
        .await
        .expect("an upgrade");
    for size in [1, 100_000, 3] {
        let message = Message::binary(vec![b'x'; size]);
        socket.send(message.clone()).await.expect("sent");
        let echoed = socket.next().await.expect("an echo").expect("a frame");
        assert_eq!(echoed, message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_redirects_sends_everything_to_https() {
    let trusted = "forwarded: { trusted_proxies: 127.0.0.1 }";
    let listeners = ["redirect_to_https: 443", "redirect_to_https: 8443"];
    let (_world, upstream, _registered, gateway) =
        World::small_with_listeners(&listeners, trusted).await;
    let addresses = gateway.data_listeners().await;
    for (address, host, target, location) in [
        (
            0,
            "shop.example",
            "/api/users/1?a=b&c=/",
            "https://shop.example/api/users/1?a=b&c=/",
        ),
        (0, "Shop.example:8080", "/", "https://shop.example/"),
        (0, "[::1]:80", "/a%20b", "https://[::1]/a%20b"),
        (
            1,
            "shop.example:80",
            "/no/route",
            "https://shop.example:8443/no/route",
        ),
        (
            1,
            "a.example",
            "http://a.example/x?y",
            "https://a.example:8443/x?y",
        ),
    ] {
        let mut socket = TcpStream::connect(addresses[address])
            .await
            .expect("accepted");
        let request =
            format!("POST {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\nhi");
        let told = ask(&mut socket, request.as_bytes())
            .await
            .expect("an answer");
        assert_eq!(told.status, 308, "{told:?}");
        assert_eq!(told.header("location"), Some(location), "{told:?}");
    }
    assert_eq!(upstream.served(), 0);
    // Behind a proxy that speaks https with the client it would go round for ever.
    let mut socket = TcpStream::connect(addresses[0]).await.expect("accepted");
    let request =
        "GET /api/users/1 HTTP/1.1\r\nhost: a.example\r\nx-forwarded-proto: https\r\n\r\n";
    let told = ask(&mut socket, request.as_bytes())
        .await
        .expect("an answer");
    assert_eq!(told.status, 200, "{told:?}");
    gateway
        .logged(&["\"http.response.status_code\":308", "https_elsewhere"])
        .await;
}
