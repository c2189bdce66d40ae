//! Rules of the session that real servers impose, one by one; those that have a place of their own are tested there.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use pailou_nacos::{
    ByteStream, Client, ClientOptions, Connecting, Connector, Error, Instance, Origin,
    wire::{HealthCheckRequest, HostInfo, NotifySubscriberRequest, Payload, ServiceInfo},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep, timeout},
};

use crate::script::{Net, Server, connected, kind, until, until_connected};

/// A push with this body as its `serviceInfo`.
fn raw_push(server: &Server, service_info: &str) {
    let body = format!(r#"{{"requestId":"1","serviceInfo":{service_info}}}"#);
    server.send(Payload::raw(
        "NotifySubscriberRequest",
        body,
        Default::default(),
    ));
}

/// A real server ends idle connections that answer its detection, too: only own requests keep one.
#[tokio::test(start_paused = true)]
async fn a_server_that_detects_is_answered_and_asked_as_often_as_ever() {
    let (server, client) = connected().await;
    let checks = || server.seen(kind::<HealthCheckRequest>()).len();
    let before = checks();
    for _ in 0..20 {
        sleep(Duration::from_secs(3)).await;
        server.detect();
    }
    until("all answered", || server.state().acks.len() == 20).await;
    assert_eq!(client.state().counts.detections, 20);
    assert!((11..=13).contains(&(checks() - before)), "{}", checks());
}

/// Two servers' clocks, or one that was set back, must not make the older state win.
#[tokio::test(start_paused = true)]
async fn order_is_by_arrival_whatever_the_servers_clock_says() {
    let (server, client) = connected().await;
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    for (ip, time) in [("10.0.0.1", 2_000), ("10.0.0.2", 1_000), ("10.0.0.3", 0)] {
        let info = ServiceInfo {
            name: "orders".into(),
            group_name: "DEFAULT_GROUP".into(),
            last_ref_time: time,
            hosts: Some(vec![HostInfo {
                ip: ip.into(),
                port: 80,
                ..HostInfo::default()
            }]),
            ..ServiceInfo::default()
        };
        server.send(Payload::new(&NotifySubscriberRequest {
            service_info: Some(info),
            request_id: Some("1".into()),
            ..Default::default()
        }));
        assert_eq!(watch.changed().await.instances[0].ip, ip);
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_finds_its_service_in_every_form_of_its_name() {
    let (server, client) = connected().await;
    let mut watch = client.watch_service("shop@@orders");
    watch.changed().await;
    for (n, names) in [
        r#""name":"orders","groupName":"shop""#,
        r#""name":"shop@@orders","groupName":"shop""#,
        r#""name":"shop@@orders","groupName":null,"checksum":"","allIPs":false,"clusters":null"#,
        r#""name":"shop@@orders","lastRefTime":"x1","newInSomeVersion":{"deep":[1,null]}"#,
    ]
    .into_iter()
    .enumerate()
    {
        // The last one has a field that cannot be read, and is refused whole.
        let is_good = n < 3;
        raw_push(
            &server,
            &format!(r#"{{{names},"hosts":[{{"ip":"10.0.0.{n}","port":80}}]}}"#),
        );
        let changed = timeout(Duration::from_secs(1), watch.changed()).await;
        let ip = changed.ok().map(|state| state.instances[0].ip.clone());
        assert_eq!(ip, is_good.then(|| format!("10.0.0.{n}")), "{names}");
    }
    assert_eq!(client.state().counts.malformed, 1);
    // Another group's service of this name is another service.
    raw_push(
        &server,
        r#"{"name":"orders","groupName":"DEFAULT_GROUP","hosts":[]}"#,
    );
    sleep(Duration::from_secs(1)).await;
    assert_eq!(watch.current().unwrap().instances.len(), 1);
}

/// What an operator edits in the console.
#[tokio::test(start_paused = true)]
async fn every_edit_of_an_instance_is_news() {
    let (server, client) = connected().await;
    server.put("orders", &["10.0.0.1"]);
    let mut watch = client.watch_service("orders");
    let mut last = watch.changed().await.instances[0].clone();
    type Edit = fn(&mut HostInfo);
    let edits: [(&str, Edit); 6] = [
        ("weight", |host| host.weight = 0.0),
        ("disabled", |host| host.enabled = false),
        ("enabled again", |host| host.enabled = true),
        ("unhealthy", |host| host.healthy = false),
        ("metadata", |host| {
            host.metadata.insert("version".into(), "v2".into());
        }),
        ("cluster", |host| host.cluster_name = "east".into()),
    ];
    for (edit, make) in edits {
        make(&mut server.state().services.get_mut("orders").unwrap()[0]);
        server.push("orders");
        let state = timeout(Duration::from_secs(1), watch.changed()).await;
        let state = state.unwrap_or_else(|_| panic!("{edit} was not told"));
        assert_eq!(state.origin, Origin::Push, "{edit}");
        assert_ne!(state.instances[0], last, "{edit}");
        last = state.instances[0].clone();
    }
    let expected = Instance {
        weight: 0.0,
        healthy: false,
        cluster: "east".into(),
        metadata: [("version".to_owned(), "v2".to_owned())].into(),
        ..Instance::new("10.0.0.1", 80)
    };
    assert_eq!(last, expected);
    server.state().is_protected = true;
    server.push("orders");
    assert!(watch.changed().await.protected);
}

fn hosts(count: u32) -> Vec<HostInfo> {
    let host = |n: u32| HostInfo {
        ip: format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255),
        port: 80,
        metadata: [("version".to_owned(), "2026.11.22-1".to_owned())].into(),
        ..HostInfo::default()
    };
    (0..count).map(host).collect()
}

#[tokio::test(start_paused = true)]
async fn fifty_thousand_instances_come_in_one_push() {
    let (server, client) = connected().await;
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    let hosts = hosts(50_000);
    server.state().services.insert("orders".into(), hosts);
    server.push("orders");
    let state = watch.changed().await;
    assert_eq!(
        (state.instances.len(), state.origin),
        (50_000, Origin::Push)
    );
    assert_eq!(client.state().counts.lost_connections, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_beyond_the_cap_is_an_error_and_disturbs_nothing_else() {
    let net = Net::new(&["one"]);
    let server = net.server("one").clone();
    server.put("users", &["10.0.0.1"]);
    let huge = hosts(2_000);
    server.state().services.insert("orders".into(), huge);
    let options = ClientOptions {
        max_message_bytes: 64 << 10,
        ..net.options()
    };
    let client = Client::connect_over(options, net.clone());
    let orders = client.watch_service("orders");
    until("told", || orders.last_error().is_some()).await;
    let error = orders.last_error().unwrap();
    assert!(
        matches!(&error, Error::Refused { message, .. } if message.contains("too large")),
        "{error:?}"
    );
    assert!(orders.current().is_none(), "no list is not an empty list");
    let mut users = client.watch_service("users");
    assert_eq!(users.changed().await.instances.len(), 1);
    assert_eq!(client.state().counts.lost_connections, 0);
    // It is asked for again, and taken as soon as it fits.
    server.put("orders", &["10.0.0.2"]);
    until("taken", || orders.current().is_some()).await;
}

/// Servers of gRPC count pings and send away who sends many: what keeps the connection is the health check.
#[tokio::test(start_paused = true)]
async fn no_http2_ping_is_ever_sent() {
    let net = Recorded {
        net: Net::new(&["one"]),
        written: Arc::default(),
    };
    let client = Client::connect_over(net.net.options(), net.clone());
    until_connected(&client, 1).await;
    let mut watch = client.watch_service("orders");
    watch.changed().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(120) {
        net.net.server("one").put("orders", &["10.0.0.1"]);
        net.net.server("one").push("orders");
        sleep(Duration::from_secs(1)).await;
    }
    let kinds = frame_kinds(&net.written.lock().unwrap());
    let (settings, headers, ping) = (4, 1, 6);
    assert!(
        kinds.contains(&settings) && kinds.contains(&headers),
        "{kinds:?}"
    );
    assert!(!kinds.contains(&ping), "{kinds:?}");
    assert_eq!(client.state().counts.lost_connections, 0);
}

/// The types of the frames that follow the preface, but for acknowledgements (RFC 9113, section 4.1).
fn frame_kinds(mut bytes: &[u8]) -> Vec<u8> {
    const PREFACE: usize = 24;
    bytes = &bytes[PREFACE..];
    let mut kinds = Vec::new();
    while let [a, b, c, kind, flags, _, _, _, _, rest @ ..] = bytes {
        if kinds.last() != Some(kind) && !(matches!(kind, 4 | 6) && flags & 1 == 1) {
            kinds.push(*kind);
        }
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        bytes = rest.get(length..).unwrap_or_default();
    }
    kinds
}

/// Writes down what is written to the gRPC port.
#[derive(Clone)]
struct Recorded {
    net: Net,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Connector for Recorded {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let stream = self.net.connect(host, port).await?;
            let written = self.written.clone();
            Ok(Box::new(Tapped { stream, written }) as Box<dyn ByteStream>)
        })
    }
}

struct Tapped {
    stream: Box<dyn ByteStream>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = result {
            self.written.lock().unwrap().extend(&bytes[..count]);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
