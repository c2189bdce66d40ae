//! What is measured of a request: its times, and whether it was a stream.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Step, Upstream, nobody, ok, read_head};

const ROUTE: &str = "route=\"any\",nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"users\"";

/// The number of a series of the only route, by its name and the labels behind the route's.
fn value(gateway: &Gateway, name: &str, more: &str) -> f64 {
    let series = format!("{name}{{{ROUTE}{more}}} ");
    gateway.metric(&series).unwrap_or_default()
}

async fn until_counted(gateway: &Gateway, requests: f64) {
    let counted = || gateway.metric("pailou_requests_total{route=\"any\"");
    until("the request to be counted", || counted() == Some(requests)).await;
}

fn grpc(messages: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for text in messages {
        body.push(0);
        body.extend((text.len() as u32).to_be_bytes());
        body.extend(text.as_bytes());
    }
    body
}

/// Which part of the time was whose: 300 ms until the head, and as long until the end.
#[tokio::test]
async fn the_first_byte_and_the_end_have_times_of_their_own() {
    let upstream = Upstream::start(|_| {
        let (head, rest) = ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "ok");
        vec![
            Step::Wait(Duration::from_millis(300)),
            Step::Send(head.as_bytes().to_vec()),
            Step::Wait(Duration::from_millis(300)),
            Step::Send(rest.as_bytes().to_vec()),
        ]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    assert_eq!(gateway.connect().await.get("/").await.text(), "ok");
    until_counted(&gateway, 1.0).await;
    let sum = |name: &str| value(&gateway, &format!("pailou_{name}_seconds_sum"), "");
    let (whole, first) = (sum("request_duration"), sum("request_first_byte"));
    let upstream = sum("upstream_duration");
    assert!((0.3..0.55).contains(&first), "{first}");
    assert!((0.6..5.0).contains(&upstream), "{upstream}");
    assert!(whole >= upstream && whole >= first + 0.25, "{whole}");
    for status in [200, 404] {
        let series = format!(",method=\"GET\",status_code=\"{status}\"");
        let expected = if status == 200 { 1.0 } else { 0.0 };
        let counted = value(&gateway, "pailou_requests_total", &series);
        assert_eq!(counted, expected);
    }
}

#[tokio::test]
async fn an_answer_of_the_gateways_own_counts_the_tries_before_it_as_the_upstreams_time() {
    let gateway = Gateway::start(ANY, &[nobody().await]).await;
    assert_eq!(gateway.connect().await.get("/").await.status, 502);
    until_counted(&gateway, 1.0).await;
    let count = |name: &str| value(&gateway, &format!("pailou_{name}_seconds_count"), "");
    assert_eq!(count("request_first_byte"), 1.0);
    assert_eq!(count("upstream_duration"), 1.0);
    let cause = ",cause=\"connect_failed\"";
    assert_eq!(value(&gateway, "pailou_request_causes_total", cause), 1.0);

    // Nobody was asked.
    let gateway = Gateway::start(ANY, &[]).await;
    assert_eq!(gateway.connect().await.get("/").await.status, 503);
    until_counted(&gateway, 1.0).await;
    let count = |name: &str| value(&gateway, &format!("pailou_{name}_seconds_count"), "");
    assert_eq!(count("request_duration"), 1.0);
    assert_eq!(count("upstream_duration"), 0.0);
}

/// Streams stay open for hours: among requests they would hide how fast those are.
#[tokio::test]
async fn streams_are_measured_apart() {
    let upstream = Upstream::start(|request| {
        let body = match request.line() {
            line if line.contains("/events") => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                return vec![Step::Send(
                    format!("{head}9\r\ndata: 1\n\n\r\n0\r\n\r\n").into_bytes(),
                )];
            }
            line if line.contains("/watch") => grpc(&["one", "two"]),
            _ => grpc(&["one"]),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        vec![Step::Send([head.into_bytes(), body].concat())]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.get("/events").await.body, b"data: 1\n\n");
    for (path, messages) in [
        ("/call", grpc(&["one"])),
        ("/watch", grpc(&["one"])),
        ("/upload", grpc(&["one", "two", "three"])),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: {}\r\n\r\n",
            messages.len()
        );
        client.send([head.into_bytes(), messages].concat()).await;
        assert_eq!(client.answer().await.status, 200, "{path}");
    }
    let open = |kind: &str| {
        let kind = format!(",kind=\"{kind}\"");
        value(&gateway, "pailou_stream_duration_seconds_count", &kind)
    };
    let plain = || value(&gateway, "pailou_request_duration_seconds_count", "");
    until("all to be counted", || {
        (open("event_stream"), open("grpc"), plain()) == (1.0, 2.0, 1.0)
    })
    .await;
    // How long a stream's head took says something of the service all the same.
    let first = value(&gateway, "pailou_request_first_byte_seconds_count", "");
    assert_eq!(first, 4.0);
    let upstream = value(&gateway, "pailou_upstream_duration_seconds_count", "");
    assert_eq!(upstream, 1.0);
}

#[tokio::test]
async fn a_grpc_call_that_stays_open_is_a_stream_whatever_it_says() {
    let upstream = Upstream::start(|_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n";
        vec![
            Step::Send(head.as_bytes().to_vec()),
            Step::Wait(Duration::from_millis(1_200)),
            Step::Send(b"0\r\n\r\n".to_vec()),
        ]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
    let open = || {
        value(
            &gateway,
            "pailou_stream_duration_seconds_count",
            ",kind=\"grpc\"",
        )
    };
    until("it to be counted", || open() == 1.0).await;
}

#[tokio::test]
async fn a_tunnel_is_measured_apart() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(head).await.expect("head");
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(client.head().await.0, 101);
    client.rest().await;
    drop(client);
    let open = || {
        value(
            &gateway,
            "pailou_stream_duration_seconds_count",
            ",kind=\"tunnel\"",
        )
    };
    until("it to be counted", || open() == 1.0).await;
    let plain = value(&gateway, "pailou_request_duration_seconds_count", "");
    assert_eq!(plain, 0.0);
    let series = ",method=\"GET\",status_code=\"101\"";
    assert_eq!(value(&gateway, "pailou_requests_total", series), 1.0);
}

/// A client may name its method as it likes; it must not make a series by it.
#[tokio::test]
async fn a_method_that_nobody_knows_is_other() {
    let upstream = Upstream::start(|_| ok("brewed")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    for method in ["BREW", "PROPFIND", "X1"] {
        client
            .send(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.text(), "brewed");
    }
    until_counted(&gateway, 3.0).await;
    let series = ",method=\"other\",status_code=\"200\"";
    assert_eq!(value(&gateway, "pailou_requests_total", series), 3.0);
}
