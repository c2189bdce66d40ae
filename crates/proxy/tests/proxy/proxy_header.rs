//! Endpoints that are told in a PROXY header who the client is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;
use pailou_upstream::{EndpointSet, EndpointSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gateway::Gateway;
use crate::http2_endpoints::H2C;
use crate::upstream::{Upstream, read_head, response};

const ROUTES: &str = "routes: { any: { path: /**, service: { name: users, proxy_protocol: v2 } } }";

/// A header of version 2 for IPv4: the source and the destination.
async fn read_header(stream: &mut TcpStream) -> (SocketAddr, SocketAddr) {
    let mut header = [0; 28];
    stream.read_exact(&mut header).await.expect("a header");
    assert_eq!(&header[..12], b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(&header[12..16], b"\x21\x11\0\x0c", "PROXY, TCP over IPv4");
    let address = |ip: usize, port: usize| {
        let ip: [u8; 4] = header[ip..ip + 4].try_into().expect("four bytes");
        let port = u16::from_be_bytes([header[port], header[port + 1]]);
        SocketAddr::from((ip, port))
    };
    (address(16, 24), address(20, 26))
}

/// What the headers of an endpoint's connections said.
type Told = Arc<Mutex<Vec<(SocketAddr, SocketAddr)>>>;

/// An endpoint that answers each request with the source it was told of.
async fn endpoint() -> (Upstream, Told) {
    let told = Told::default();
    let noted = told.clone();
    let upstream = Upstream::raw(move |mut stream| {
        let noted = noted.clone();
        async move {
            let header = read_header(&mut stream).await;
            noted.lock().expect("no panic under it").push(header);
            while read_head(&mut stream).await.is_some() {
                let answer = response("200 OK", "", &header.0.to_string());
                stream.write_all(&answer).await.expect("sent");
            }
        }
    })
    .await;
    (upstream, told)
}

#[tokio::test]
async fn each_client_connection_has_its_own_and_keeps_it() {
    let (upstream, told) = endpoint().await;
    let gateway = Gateway::start(ROUTES, &[upstream.address]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(gateway.connect().await);
    }
    for _ in 0..4 {
        for client in &mut clients {
            let own = client.stream.local_addr().expect("an address");
            assert_eq!(client.get("/").await.text(), own.to_string());
        }
    }
    let told = told.lock().expect("no panic under it").clone();
    assert_eq!(told.len(), 3, "one for each: {told:?}");
    assert!(told.iter().all(|(_, to)| *to == gateway.address()));
}

#[tokio::test]
async fn behind_a_trusted_proxy_it_is_the_client_that_the_proxy_names() {
    let (upstream, told) = endpoint().await;
    let settings = [("PAILOU_FORWARDED_TRUSTED_PROXIES", "127.0.0.0/8")];
    let gateway = Gateway::with(&settings, ROUTES, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    for source in ["192.0.2.7", "192.0.2.8", "192.0.2.7"] {
        let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {source}\r\n\r\n");
        client.send(head).await;
        assert_eq!(client.answer().await.text(), format!("{source}:0"));
    }
    assert_eq!(told.lock().expect("no panic under it").len(), 2);
}

#[tokio::test]
async fn http2_is_spoken_behind_it_and_shared_by_one_client_alone() {
    let told = Told::default();
    let noted = told.clone();
    let upstream = Upstream::raw(move |mut stream| {
        let noted = noted.clone();
        async move {
            let header = read_header(&mut stream).await;
            noted.lock().expect("no panic under it").push(header);
            let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let respond: &mut SendResponse<Bytes> = &mut respond;
                let stream = respond.send_response(Response::new(()), false);
                let text = header.0.to_string();
                let sent = stream.expect("sent").send_data(text.into(), true);
                sent.expect("sent");
            }
        }
    })
    .await;
    let gateway = Gateway::start(ROUTES, &[]).await;
    let endpoint = EndpointSpec {
        transport: H2C,
        ..EndpointSpec::new(upstream.address)
    };
    gateway.service("users").update(EndpointSet::of([endpoint]));
    let (mut one, mut other) = (gateway.connect().await, gateway.connect().await);
    for _ in 0..3 {
        for client in [&mut one, &mut other] {
            let own = client.stream.local_addr().expect("an address");
            assert_eq!(client.get("/").await.text(), own.to_string());
        }
    }
    assert_eq!(told.lock().expect("no panic under it").len(), 2);
}

/// What a filter asks is no client's.
#[tokio::test]
async fn a_question_of_a_filter_comes_from_the_gateway() {
    let upstream = Upstream::raw(|mut stream| async move {
        let mut header = [0; 16];
        stream.read_exact(&mut header).await.expect("a header");
        assert_eq!(&header[12..], b"\x20\0\0\0", "LOCAL");
        while read_head(&mut stream).await.is_some() {
            let refusal = response("403 Forbidden", "", "who are you?");
            stream.write_all(&refusal).await.expect("sent");
        }
    })
    .await;
    let routes = "
routes:
  any:
    path: /**
    service: users
    filters: [ { forward_auth: { service: { name: users, proxy_protocol: v2 }, path: /check } } ]";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let answer = gateway.connect().await.get("/").await;
    assert_eq!((answer.status, answer.text()), (403, "who are you?"));
}
