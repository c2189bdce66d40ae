//! Clients that are slow, that come and go, or that are too many.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::client::{Errand, OpenLoop};
use crate::figures::{Figure, milliseconds};
use crate::origin::{Manner, Origin};
use crate::stage::{Length, PATH, SERVICE, Stage, endpoints, instance, settings};
use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::{World, until_status};

/// What a client that is too slow may have, in every way of being slow.
const LIMITS: &str = "limits: { header_timeout: 5s, keepalive_timeout: 5s, body_timeout: 5s, body_min_rate_after: 4s, \
                      write_timeout: 5s, write_min_rate_after: 4s }";

/// After this time the last of them is gone: the limits, the time that a busy machine takes to look, and 2 s.
const ALL_GONE: Duration = Duration::from_secs(25);

/// How many there are of each kind. One that reads nothing costs kernel memory, so these are fewer.
const SLOW: [(Slow, usize); 4] = [
    (Slow::Silent, 800),
    (Slow::Head, 600),
    (Slow::Body, 500),
    (Slow::Reader, 100),
];

/// What slow clients may cost, of an unoptimised gateway too.
const SLOW_BYTES: u64 = 150 << 20;

/// Between two bytes of one that drips.
const DRIP: Duration = Duration::from_secs(2);

/// A way to be slow.
#[derive(Clone, Copy, PartialEq)]
enum Slow {
    /// Opens, and says nothing.
    Silent,
    /// Sends its head byte by byte.
    Head,
    /// Sends its body byte by byte.
    Body,
    /// Reads nothing of a long answer.
    Reader,
}

/// More file descriptors for this process and the gateway, as far as one may have without rights.
fn raise_limit() {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit).expect("the soft limit up to the hard one");
    let most = most.unwrap_or(u64::MAX);
    assert!(
        most >= 8_192,
        "2,000 clients need 8,192 file descriptors: ulimit -Hn says {most}"
    );
}

/// One slow client, until the gateway ends it.
async fn slow_client(address: SocketAddr, how: Slow) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(address).await.expect("a connection");
    let request = match how {
        Slow::Silent => "",
        Slow::Head => "GET /api/users/1 HTTP/1.1\r\nhost: a\r\nx-filler: ",
        Slow::Body => "POST /api/users/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n",
        Slow::Reader => "GET /big HTTP/1.1\r\nhost: a\r\n\r\n",
    };
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is taken");
    loop {
        tokio::time::sleep(DRIP).await;
        let drips = matches!(how, Slow::Head | Slow::Body);
        if drips && stream.write_all(b"x").await.is_err() {
            return;
        }
        match how {
            // It would read what it must not read; an error on the socket tells as well.
            Slow::Reader if stream.take_error().is_ok_and(|error| error.is_some()) => return,
            Slow::Reader => {}
            _ if has_ended(&stream) => return,
            _ => {}
        }
    }
}

/// Whether the gateway has answered or closed.
fn has_ended(stream: &TcpStream) -> bool {
    let mut byte = [0];
    match stream.try_read(&mut byte) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// Scenario 15: 2,000 slow clients of four kinds do not touch their neighbours, and are all gone in time.
pub(crate) async fn slow(length: Length) -> Vec<Figure> {
    raise_limit();
    let stage = Stage::set(2, Manner::default(), LIMITS).await;
    // An endpoint of its own: what it does for a hundred readers is not to disturb the others.
    let manner = Manner {
        big: vec![b'x'; 16 << 20].into(),
        ..Manner::default()
    };
    let big = Origin::start("big", &stage.ledger, manner);
    let _big = stage.world.register("big", big.address()).await;
    stage
        .world
        .publish(&format!(
            "routes: {{ /api/users/**: {SERVICE}, /big: big }}"
        ))
        .await;
    until_status(&stage.gateway.url("/big"), 200).await;
    let data = stage.gateway.data();
    let before = stage.gateway.resident_bytes().await;
    let load = OpenLoop::get(data, PATH, length.rate());
    load.goes_on_for(length.seconds(3, 30)).await;
    let quiet_to = load.elapsed();
    let mut clients = JoinSet::new();
    for (how, number) in SLOW {
        for n in 0..number {
            clients.spawn(slow_client(data, how));
            if n % 50 == 0 {
                // A burst of them would test the queue of the listener, not the gateway.
                load.goes_on_for(Duration::from_millis(40)).await;
            }
        }
    }
    let all: usize = SLOW.iter().map(|(_, number)| number).sum();
    let (from, mut most) = (load.elapsed(), 0);
    let mut peak = 0;
    // Readers end when the gateway says that it cut them: they do not read, so they see nothing. It is asked seldom, since a scrape
    // costs more than a request.
    loop {
        let metrics = stage.gateway.metrics().await;
        let value = |name: &str| value_of(&metrics, name);
        let open = value("pailou_connections_open");
        most = most.max(open);
        peak = peak.max(value("process_resident_memory_bytes"));
        if load.elapsed() > from + DRIP && open < 100 {
            break;
        }
        assert!(load.elapsed() < from + ALL_GONE, "{open} are still there");
        load.goes_on_for(Duration::from_millis(500)).await;
    }
    let gone = load.elapsed() - from;
    let to = load.elapsed();
    clients.abort_all();
    let outcome = load.finish().await;
    outcome.assert_clean();
    assert!(
        most as usize > all * 3 / 4,
        "only {most} of {all} were open at once"
    );
    let grown = peak.saturating_sub(before);
    assert!(grown < SLOW_BYTES, "{grown} bytes more");
    let quiet = outcome.between(Duration::ZERO, quiet_to);
    let beside = outcome.between(quiet_to, to);
    let (factor, slack) = length.pick((20, 1_000), (3, 10));
    let bound = quiet.percentile(99.0) * factor + Duration::from_millis(slack);
    assert!(
        beside.percentile(99.0) <= bound,
        "{quiet:?}, then {beside:?}"
    );
    let words = format!(
        "p99 before {}; the last was cut after {:.0} s; {} MiB more memory",
        milliseconds(quiet.percentile(99.0)),
        gone.as_secs_f64(),
        grown >> 20
    );
    vec![Figure::new("2,000 slow clients", &beside, words)]
}

/// A series without labels.
fn value_of(metrics: &str, name: &str) -> u64 {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.map_or(0, |value: f64| value as u64)
}

/// Scenario 16: many short connections, of which three in ten break off within the answer. Nothing is left behind.
pub(crate) async fn churn(length: Length) -> Vec<Figure> {
    raise_limit();
    let manner = Manner {
        big: vec![b'x'; 1 << 20].into(),
        ..Manner::default()
    };
    let stage = Stage::set(2, manner, "limits: { upstream_idle_timeout: 1s }").await;
    let data = stage.gateway.data();
    let rate = length.pick(70.0, 700.0);
    let warm = OpenLoop::get(data, PATH, 20.0);
    warm.goes_on_for(Duration::from_secs(1)).await;
    warm.finish().await.assert_clean();
    let open = async || stage.gateway.value("process_open_fds").await;
    let before = open().await;
    let memory = stage.gateway.resident_bytes().await;
    let load = OpenLoop::start(Errand {
        address: data,
        method: Method::GET,
        path: PATH.to_owned(),
        rate,
        is_fresh: true,
    });
    let end = length.seconds(5, 60);
    let mut aborted = 0;
    while load.elapsed() < end {
        tokio::spawn(break_off(data));
        aborted += 1;
        tokio::time::sleep(Duration::from_secs_f64(1.0 / (rate * 3.0 / 7.0))).await;
    }
    let outcome = load.finish().await;
    outcome.assert_clean();
    // A few idle connections to the endpoints more or less.
    until("the descriptors to come back", async || {
        (open().await <= before + 4).then_some(())
    })
    .await;
    let grown = stage.gateway.resident_bytes().await.saturating_sub(memory);
    assert!(grown < 64 << 20, "{grown} bytes more");
    let beside = format!(
        "{aborted} more broke off; {} KiB more memory after it",
        grown >> 10
    );
    vec![Figure::new(
        "connections that come and go",
        &outcome.all(),
        beside,
    )]
}

/// Reads a part of a long answer, and resets the connection.
async fn break_off(address: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return;
    };
    let request = b"GET /api/users/big HTTP/1.1\r\nhost: a\r\n\r\n";
    if stream.write_all(request).await.is_ok() {
        let _ = stream.read(&mut [0; 1024]).await;
    }
    let _ = stream.set_zero_linger();
}

/// Scenario 21: far more clients than file descriptors. Connections that are open are served on, probes answer, and the gateway is its old
/// self as soon as they leave.
pub(crate) async fn descriptors(length: Length) -> Vec<Figure> {
    raise_limit();
    let world = World::new().await;
    let ledger = std::sync::Arc::default();
    let one = instance(&world, &ledger, "i0", Manner::default()).await;
    world
        .publish(&format!("routes: {{ /api/users/**: {SERVICE} }}"))
        .await;
    let gateway = Gateway::start_limited(&world.settings(&settings("")), 512).await;
    let gateway = gateway.ready().await;
    endpoints(&gateway, 1).await;
    let load = OpenLoop::get(gateway.data(), PATH, length.rate());
    load.goes_on_for(length.seconds(2, 5)).await;
    let mut silent = Vec::new();
    for _ in 0..2_000 {
        // Refused ones are closed at once, or wait in the listener's queue until it is full.
        let open = TcpStream::connect(gateway.data());
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), open).await {
            silent.push(stream);
        }
    }
    let answer = reqwest::get(gateway.probes_url("/readyz")).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    gateway.admin_json("/api/v1/status").await;
    load.goes_on_for(length.seconds(2, 20)).await;
    let silent_clients = silent.len();
    drop(silent);
    let left = load.elapsed();
    until("new connections to be served", async || {
        let answer = reqwest::get(gateway.url("/nowhere")).await.ok()?;
        (answer.status() == 404).then_some(())
    })
    .await;
    let back = load.elapsed() - left;
    let outcome = load.finish().await;
    // A request that found every open connection busy had to open one, and was refused.
    let tally = outcome.all();
    let is_refusal = |cause: &String| cause == "503" || cause.starts_with("no ");
    assert!(tally.failures.keys().all(is_refusal), "{tally:?}");
    assert!(tally.failed() <= tally.sent / 10, "{tally:?}");
    assert!(one.origin.served() > 0);
    let beside = format!(
        "512 descriptors, {silent_clients} silent clients; back after {:.1} s",
        back.as_secs_f64()
    );
    vec![Figure::new("file descriptors run out", &tally, beside)]
}
