//! PROXY headers: who the client of a balancer is, whom they are believed of, what comes in their place, and what
//! endpoints are told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::authority::Authority;
use crate::support::tls_client::{Answer, TlsClient, ask};
use crate::support::until;
use crate::support::world::World;

const GET: &[u8] =
    b"GET /api/users/headers HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: 1.1.1.1\r\n\r\n";
const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 for a client with this address.
fn binary(command: u8, client: [u8; 4]) -> Vec<u8> {
    let addresses = [&client[..], &[10, 0, 0, 1, 0x12, 0x67, 1, 0xbb]].concat();
    // A no-op TLV follows the addresses.
    let body = [&addresses[..], &[0x04, 0, 2, 0, 0]].concat();
    let length = u8::try_from(body.len()).expect("short");
    [SIGNATURE, &[command, 0x11, 0, length], &body].concat()
}

async fn send(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Answer> {
    let mut socket = TcpStream::connect(address).await?;
    let asked = tokio::time::timeout(Duration::from_secs(10), ask(&mut socket, bytes));
    asked.await.expect("an answer or an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_a_balancer_is_the_client_everywhere() {
    let required = "proxy_protocol: required, proxy_protocol_from: 127.0.0.0/8";
    let optional = "proxy_protocol: optional, proxy_protocol_from: 127.0.0.0/8";
    let elsewhere = "proxy_protocol: optional, proxy_protocol_from: 192.0.2.0/24";
    let stranger = "proxy_protocol: required, proxy_protocol_from: 192.0.2.0/24";
    let listeners = [
        required,
        optional,
        "proxy_protocol: off",
        elsewhere,
        stranger,
    ];
    let (_world, _upstream, _registered, gateway) =
        World::small_with_listeners(&listeners, "").await;
    let addresses = gateway.data_listeners().await;
    let line6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
    let cases: [(usize, &[u8], Option<&str>); 15] = [
        (0, LINE, Some("203.0.113.7")),
        (0, line6, Some("2001:db8::7")),
        (0, b"PROXY UNKNOWN\r\n", Some("127.0.0.1")),
        (0, &binary(0x21, [203, 0, 113, 8]), Some("203.0.113.8")),
        // A health check of the balancer itself.
        (0, &binary(0x20, [203, 0, 113, 8]), Some("127.0.0.1")),
        (0, b"", None),
        (0, b"PROXY TCP4 nonsense\r\n", None),
        (0, &[SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(), None),
        (1, LINE, Some("203.0.113.7")),
        (1, b"", Some("127.0.0.1")),
        (1, b"PROXY TCP4 nonsense\r\n", None),
        (2, b"", Some("127.0.0.1")),
        (3, b"", Some("127.0.0.1")),
        (4, b"", None),
        (4, LINE, None),
    ];
    for (listener, header, client) in cases {
        let told = send(addresses[listener], &[header, GET].concat()).await;
        let seen = told.ok().and_then(|told| {
            assert_eq!(told.status, 200, "{listener} {header:?}");
            told.got("x-forwarded-for")
        });
        assert_eq!(
            seen.as_deref(),
            client,
            "{listener} {:?}",
            String::from_utf8_lossy(header)
        );
    }
    // A header that nobody asked for is no request.
    for listener in [2, 3] {
        let told = send(addresses[listener], &[LINE, GET].concat()).await;
        assert_eq!(told.expect("an answer").status, 400, "{listener}");
    }
    gateway
        .logged(&[
            "\"client.address\":\"203.0.113.8\"",
            "\"http.response.status_code\":200",
        ])
        .await;
    until("the counts", async || {
        let metrics = gateway.metrics().await;
        (metrics.contains(r#"reason="proxy_header"} 4"#)
            && metrics.contains(r#"reason="proxy_header_stranger"} 2"#))
        .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_may_come_in_pieces_but_not_for_ever() {
    let listener = "proxy_protocol: required, proxy_protocol_from: 127.0.0.1";
    let more = "limits: { handshake_timeout: 2s }";
    let (_world, _upstream, _registered, gateway) =
        World::small_with_listeners(&[listener], more).await;
    let mut socket = TcpStream::connect(gateway.data()).await.expect("accepted");
    socket.set_nodelay(true).expect("a socket");
    for byte in binary(0x21, [203, 0, 113, 9]) {
        socket.write_all(&[byte]).await.expect("written");
        tokio::task::yield_now().await;
    }
    let told = ask(&mut socket, GET).await.expect("an answer");
    assert_eq!(told.got("x-forwarded-for").as_deref(), Some("203.0.113.9"));

    let mut open = TcpStream::connect(gateway.data()).await.expect("accepted");
    open.write_all(b"PROXY TCP4 203.0.").await.expect("written");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), open.read_to_end(&mut rest));
    let _ = ended.await.expect("it is ended");
    assert!(rest.is_empty());
    until("the count", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains(r#"reason="handshake_timeout"} 1"#)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_before_tls_and_counts_for_the_clients_own_cap() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let listener = format!(
        "tls: {{ certificates: {} }}, proxy_protocol: required",
        authority.pair("shop")
    );
    // The networks of the proxies that are trusted are those that are believed.
    let more = "forwarded: { trusted_proxies: 127.0.0.1 }\nlimits: { connections_per_ip: 2 }";
    let (_world, _upstream, _registered, gateway) =
        World::small_with_listeners(&[&listener], more).await;
    let client = TlsClient::new(&authority.file());
    let connect = async |last: u8| {
        let mut socket = TcpStream::connect(gateway.data()).await?;
        socket.write_all(&binary(0x21, [203, 0, 113, last])).await?;
        let mut stream = client.secure(socket, "shop.example").await?;
        let told = ask(&mut stream, GET).await?;
        std::io::Result::Ok((stream, told))
    };
    let mut held = Vec::new();
    for last in [1, 1, 2, 2, 3] {
        let (stream, told) = connect(last).await.expect("a place");
        let address = IpAddr::V4(Ipv4Addr::new(203, 0, 113, last)).to_string();
        assert_eq!(told.got("x-forwarded-for"), Some(address));
        assert_eq!(told.got("x-forwarded-proto").as_deref(), Some("https"));
        held.push(stream);
    }
    assert!(
        connect(1).await.is_err(),
        "the client has as many as it may have"
    );
    held.remove(0);
    until("a place to be free again", async || connect(1).await.ok()).await;
}

/// An endpoint that answers each request with the header that its connection began with: the kind of it in hexadecimal,
/// the client and where it connected to.
async fn told() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tell(stream));
        }
    });
    address
}

async fn tell(mut stream: TcpStream) -> std::io::Result<()> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed).await?;
    assert_eq!(&fixed[..12], SIGNATURE);
    let mut rest = vec![0; usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))];
    stream.read_exact(&mut rest).await?;
    let said = match rest[..] {
        [a, b, c, d, e, f, g, h, i, j, k, l] => {
            let (client, here) = (u16::from_be_bytes([i, j]), u16::from_be_bytes([k, l]));
            format!("{a}.{b}.{c}.{d}:{client} {e}.{f}.{g}.{h}:{here}")
        }
        _ => String::new(),
    };
    let body = format!("{:02x}{:02x} {said}", fixed[12], fixed[13]);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut head = Vec::new();
    loop {
        head.push(stream.read_u8().await?);
        if head.ends_with(b"\r\n\r\n") {
            assert!(head.starts_with(b"GET "), "{}", head.escape_ascii());
            stream.write_all(answer.as_bytes()).await?;
            head.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_told_who_the_client_is_and_where_it_connected_to() {
    let world = World::new().await;
    let _registered = world.register("told", told().await).await;
    world
        .publish(
            "routes: { told: { path: /told/**, service: { name: told, proxy_protocol: v2 } } }",
        )
        .await;
    for (more, forwarded_for) in [
        ("", ""),
        ("", "x-forwarded-for: 203.0.113.9\r\n"),
        (
            "forwarded: { trusted_proxies: 127.0.0.1 }",
            "x-forwarded-for: 203.0.113.9\r\n",
        ),
    ] {
        let gateway = world.gateway_with(more).await.ready().await;
        let get = format!("GET /told/x HTTP/1.1\r\nhost: shop.example\r\n{forwarded_for}\r\n");
        // Clients that are here at the same time have a connection each.
        let mut sockets = Vec::new();
        for _ in 0..2 {
            sockets.push(TcpStream::connect(gateway.data()).await.expect("accepted"));
        }
        for _ in 0..2 {
            for socket in &mut sockets {
                let client = match more {
                    "" => socket.local_addr().expect("an address").to_string(),
                    _ => "203.0.113.9:0".to_owned(),
                };
                let answer = ask(socket, get.as_bytes()).await.expect("an answer");
                assert_eq!(
                    answer.body,
                    format!("2111 {client} {}", gateway.data()),
                    "{more}"
                );
            }
        }
    }
}
