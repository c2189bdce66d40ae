//! What the gateway holds in memory, and gives back.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::world::{Registered, World, until_status};

/// Peers at once that take nothing of what they are sent.
const PEERS: u64 = 100;

/// What one of them may cost: 128 KiB and what a request and two connections need, twice for a busy allocator.
const MOST_BYTES: u64 = 256 << 10;

const BODY_BYTES: usize = 50_000_000;

/// One for all: a hundred of them are 5 GB, which keep a machine busy for a minute.
static BODY: LazyLock<Vec<u8>> = LazyLock::new(|| vec![b'x'; BODY_BYTES]);

/// An endpoint whose answers are 50 MB, and that reads nothing of a POST.
pub(crate) async fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    if head.starts_with(b"POST") {
        return std::future::pending().await;
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&BODY).await;
}

async fn gateway() -> (World, Registered, Gateway) {
    let world = World::new().await;
    let registered = world.register("big", endpoint().await).await;
    world.publish("routes: { /**: big }").await;
    let limits = "limits: { body_bytes: 1GiB, write_timeout: 10m, body_timeout: 10m, upstream_write_timeout: 10m }";
    let gateway = world.gateway_with(limits).await.ready().await;
    until_status(&gateway.url("/"), 200).await;
    (world, registered, gateway)
}

/// Once it has not changed for a while.
async fn settled_bytes(gateway: &Gateway) -> u64 {
    let mut before = 0;
    loop {
        let now = gateway.resident_bytes().await;
        if now.abs_diff(before) < 256 << 10 {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A connection that has sent this, and reads nothing.
pub(crate) async fn silent(gateway: &Gateway, request: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(gateway.data()).await.expect("a connection");
    stream.write_all(request).await.expect("it is taken");
    stream
}

/// A client that read nothing of a long answer cost 600 to 730 KiB.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_nothing_cost_little() {
    let window = (0x7fff_ffff_u32).to_be_bytes();
    let mut http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS with the widest window of a stream, that of the connection, and a GET (RFC 7541: indexed fields, two literals).
    http2.extend([&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4][..], &window].concat());
    http2.extend([0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 0]);
    http2.extend(b"\x00\x00\x0b\x01\x05\x00\x00\x00\x01\x82\x86\x04\x04/big\x01\x01a");
    let requests = [b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(), http2];
    for request in requests {
        let (_world, _registered, gateway) = gateway().await;
        let before = settled_bytes(&gateway).await;
        let mut clients = Vec::new();
        for _ in 0..PEERS {
            clients.push(silent(&gateway, &request).await);
        }
        gateway.in_flight(PEERS).await;
        let each = settled_bytes(&gateway).await.saturating_sub(before) / PEERS;
        assert!(each < MOST_BYTES, "{each} bytes each");
        let metrics = gateway.metrics().await;
        assert!(
            metrics.contains(&format!("pailou_requests_in_flight {PEERS}")),
            "{metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_nobody_reads_cost_little() {
    let (_world, _registered, gateway) = gateway().await;
    let before = settled_bytes(&gateway).await;
    let head = format!("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
    let mut uploads = Vec::new();
    for _ in 0..PEERS {
        let mut stream = silent(&gateway, head.as_bytes()).await;
        uploads.push(tokio::spawn(async move {
            let _ = stream.write_all(&BODY).await;
        }));
    }
    gateway.in_flight(PEERS).await;
    let each = settled_bytes(&gateway).await.saturating_sub(before) / PEERS;
    assert!(each < MOST_BYTES, "{each} bytes each");
    uploads.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A table of so many routes is large beside the gateway itself.
const ROUTES: u64 = 15_000;

/// What glibc's allocator had given to a large document stayed with the process for ever, and each further one added to it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_large_document_took_comes_back() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let first = settled_bytes(&gateway).await;
    let routes: String = (0..ROUTES)
        .map(|n| format!("  /api/v{n}/**: user-service\n"))
        .collect();
    world.publish(&format!("routes:\n{routes}")).await;
    within_minutes("the large table", async || {
        gateway.value("pailou_table_routes").await == ROUTES
    })
    .await;
    let large = gateway.resident_bytes().await;
    assert!(large > first / 2 * 3, "{large} is not much beside {first}");
    world.publish("routes: { /**: user-service }").await;
    within_minutes("the small table", async || {
        gateway.value("pailou_table_routes").await == 1
    })
    .await;
    within_minutes("the memory of the large table", async || {
        gateway.resident_bytes().await <= first / 2 * 3
    })
    .await;
}

/// An unoptimised gateway on a busy machine takes its time over such a table.
async fn within_minutes(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < 8 * PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What is kept of a body for another try was kept as it came: a byte with the buffer that it was read into.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_single_bytes_costs_little() {
    let (_world, _registered, gateway) = gateway().await;
    let before = settled_bytes(&gateway).await;
    let head = b"POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 20000\r\n\r\n";
    let mut stream = silent(&gateway, head).await;
    stream.set_nodelay(true).expect("no delay");
    for _ in 0..5_000 {
        stream.write_all(b"x").await.expect("it is taken");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let cost = settled_bytes(&gateway).await.saturating_sub(before);
    assert!(cost < 8 << 20, "{cost} bytes");
}
