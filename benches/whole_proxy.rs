//! How much CPU does a proxied request cost in Pailou, beside a bare pingora proxy?
//!
//! Both run as processes of their own with the same build settings, the same accept loop of tokio and the same number
//! of workers, in front of the same upstream; load goes to one, then to the other, in turn. The figure is CPU time of
//! the proxy's process per request, read from `/proc`; what counts is the ratio of each pair, since absolute times of a
//! shared machine mean nothing.
//!
//! ```text
//! cargo bench -p pailou-gateway --bench whole_proxy -- [--connections 32] [--requests 20000] [--rounds 7]
//! ```

use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp as _;
use pingora::prelude::{HttpPeer, ProxyHttp, Session, http_proxy};
use pingora::protocols::Stream;
use pingora::server::configuration::ServerConf;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const BODY_BYTES: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("serve-upstream") => serve(upstream()),
        Some("serve-bare") => serve(bare(arguments[2].parse().expect("the upstream's address"))),
        _ => compare(&arguments),
    }
}

/// Each server process has one worker, so that its CPU time is not spread over idle threads.
fn serve(server: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(server);
}

fn announce(listener: &TcpListener) {
    println!(
        "listening {}",
        listener.local_addr().expect("a bound address")
    );
    std::io::stdout().flush().expect("standard output");
}

async fn upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    announce(&listener);
    let answer: Arc<[u8]> = [
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
        )
        .as_bytes(),
        &[b'x'; BODY_BYTES],
    ]
    .concat()
    .into();
    loop {
        let (mut stream, _) = listener.accept().await.expect("an accepted connection");
        let answer = answer.clone();
        tokio::spawn(async move {
            stream.set_nodelay(true).expect("a socket option");
            let mut buffer = [0; 4096];
            // The head of a GET fits one segment on loopback, and each client waits for its answer.
            while matches!(stream.read(&mut buffer).await, Ok(read) if read > 0) {
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The least that pingora's own proxy does: one fixed peer, no phase filled in.
struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}
    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

async fn bare(upstream: SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    announce(&listener);
    let app = Arc::new(http_proxy(&Arc::new(ServerConf::default()), Bare(upstream)));
    let (_keep, shutdown) = tokio::sync::watch::channel(false);
    loop {
        let (stream, _) = listener.accept().await.expect("an accepted connection");
        stream.set_nodelay(true).expect("a socket option");
        let (app, shutdown) = (app.clone(), shutdown.clone());
        tokio::spawn(async move {
            let stream: pingora::protocols::l4::stream::Stream = stream.into();
            let mut next: Option<Stream> = Some(Box::new(stream));
            while let Some(stream) = next {
                next = app.process_new(stream, &shutdown).await;
            }
        });
    }
}

/// A server process under measurement.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(command: &mut Command, marker: &str) -> Server {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child process");
        let (tx, rx) = std::sync::mpsc::channel();
        let pipes: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("a pipe")),
            Box::new(child.stderr.take().expect("a pipe")),
        ];
        for pipe in pipes {
            let (tx, marker) = (tx.clone(), marker.to_owned());
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    if let Some(address) = address_in(&line, &marker) {
                        // The receiver is gone once the address is known; the pipe must be read all the same.
                        let _ = tx.send(address);
                    }
                }
            });
        }
        let address = rx
            .recv_timeout(std::time::Duration::from_secs(20))
            .expect("the server says where it listens");
        Server { child, address }
    }

    /// User and system time so far, in clock ticks.
    fn cpu_ticks(&self) -> u64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("/proc");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
    }

    /// Resident memory in KiB.
    fn resident_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds `marker`, then the first thing behind it that is an address.
fn address_in(line: &str, marker: &str) -> Option<SocketAddr> {
    let (_, rest) = line
        .split_once(marker)
        .or_else(|| line.contains(marker).then_some(("", line)))?;
    let whole = if rest.contains("127.0.0.1:") {
        rest
    } else {
        line
    };
    let at = whole.find("127.0.0.1:")?;
    let end = whole[at..]
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))
        .unwrap_or(whole.len() - at);
    whole[at..at + end].parse().ok()
}

fn compare(arguments: &[String]) {
    let connections = option(arguments, "--connections", 32);
    let requests = option(arguments, "--requests", 20_000);
    let rounds = option(arguments, "--rounds", 7);
    let myself = std::env::current_exe().expect("this program");

    let upstream = Server::start(Command::new(&myself).arg("serve-upstream"), "listening");
    let bare = Server::start(
        Command::new(&myself).args(["serve-bare", &upstream.address.to_string()]),
        "listening",
    );
    let registry = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let registry = registry.expect("a runtime");
    let world = registry.block_on(world::World::start(upstream.address));
    let gateway = world.gateway();

    let client = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let client = client.expect("a runtime");
    println!(
        "idle memory of the gateway: {:.1} MiB",
        gateway.resident_kib() as f64 / 1024.0
    );
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let a = measure(&client, &gateway, "/api/bench/x", connections, requests);
        let b = measure(&client, &bare, "/bench/x", connections, requests);
        if round > 0 {
            ours.push(a);
            theirs.push(b);
            ratios.push(a / b);
        }
    }
    println!(
        "{connections} connections, {requests} requests a round, {rounds} rounds after one warm-up"
    );
    report("pailou, CPU µs per request", &mut ours);
    report("bare pingora, CPU µs per request", &mut theirs);
    report("ratio, pair by pair", &mut ratios);
}

fn option(arguments: &[String], name: &str, default: usize) -> usize {
    let value = arguments
        .iter()
        .position(|a| a == name)
        .and_then(|at| arguments.get(at + 1));
    value.map_or(default, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} takes a number"))
    })
}

fn report(what: &str, figures: &mut [f64]) {
    figures.sort_by(f64::total_cmp);
    let (min, median, max) = (
        figures[0],
        figures[figures.len() / 2],
        figures[figures.len() - 1],
    );
    println!("{what:<36} min {min:>7.2}  median {median:>7.2}  max {max:>7.2}");
}

/// CPU microseconds of `server` per request.
fn measure(
    client: &tokio::runtime::Runtime,
    server: &Server,
    path: &str,
    connections: usize,
    requests: usize,
) -> f64 {
    // Linux counts process time in hundredths of a second on every architecture that this runs on.
    const TICK_MICROSECONDS: f64 = 10_000.0;
    let before = server.cpu_ticks();
    client.block_on(load(server.address, path, connections, requests));
    (server.cpu_ticks() - before) as f64 * TICK_MICROSECONDS / requests as f64
}

async fn load(address: SocketAddr, path: &str, connections: usize, requests: usize) {
    let request: Arc<str> =
        format!("GET {path} HTTP/1.1\r\nhost: bench.local\r\nuser-agent: bench\r\n\r\n").into();
    let clients: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(client(address, request.clone(), requests / connections)))
        .collect();
    for client in clients {
        client.await.expect("a client");
    }
}

async fn client(address: SocketAddr, request: Arc<str>, requests: usize) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket option");
    let mut buffer = [0; 8192];
    for _ in 0..requests {
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a sent request");
        let mut held = 0;
        loop {
            let read = stream.read(&mut buffer[held..]).await.expect("an answer");
            assert!(
                read > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&buffer[..held])
            );
            held += read;
            let head = buffer[..held]
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            if head.is_some_and(|end| held >= end + 4 + BODY_BYTES) {
                break;
            }
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buffer[..held])
        );
    }
}

/// The gateway with its embedded registry, one service and one route.
mod world {
    use super::{Command, Server, SocketAddr};
    use pailou_nacos::{Client, ClientOptions, Instance, Publish, Registration};
    use pailou_nacos_lite::{Options, Registry};

    pub(super) struct World {
        _registry: Registry,
        _client: Client,
        _registration: Registration,
        _folder: tempfile::TempDir,
        settings: std::path::PathBuf,
    }

    impl World {
        pub(super) async fn start(upstream: SocketAddr) -> World {
            let registry = Registry::start(Options::default())
                .await
                .expect("a registry");
            let client = Client::connect(options(&registry));
            let instance = Instance::new(upstream.ip().to_string(), upstream.port());
            let registration = client
                .register("bench-service", instance)
                .await
                .expect("a registration");
            let document =
                "routes:\n  /api/bench/**:\n    service: bench-service\n    strip_prefix: 1\n";
            client
                .publish_config("pailou-routes.yaml", document, Publish::default())
                .await
                .expect("published");
            let folder = tempfile::TempDir::new().expect("a folder");
            let settings = folder.path().join("gateway.yaml");
            let text = format!(
                "listeners: [{{ address: '127.0.0.1:0' }}]\nworkers: 1\nadmin: {{ address: '127.0.0.1:0' }}\n\
                 probes: {{ address: '127.0.0.1:0' }}\nnacos: {{ servers: ['{}'], grpc_port: {} }}\n\
                 routes: [{{ data_id: pailou-routes.yaml }}]\nregistration: {{ enabled: false }}\nlog: {{ access: false }}\n",
                registry.http_addr(),
                registry.grpc_addr().port()
            );
            std::fs::write(&settings, text).expect("a written file");
            World {
                _registry: registry,
                _client: client,
                _registration: registration,
                _folder: folder,
                settings,
            }
        }

        pub(super) fn gateway(&self) -> Server {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pailou"));
            command.args(["run", "--config"]).arg(&self.settings);
            let server = Server::start(&mut command, "\"listener\":\"data\"");
            self.wait_until_it_serves(server.address);
            server
        }

        fn wait_until_it_serves(&self, address: SocketAddr) {
            use std::io::{Read as _, Write as _};
            for _ in 0..500 {
                if let Ok(mut stream) = std::net::TcpStream::connect(address) {
                    let request = b"GET /api/bench/x HTTP/1.1\r\nhost: bench.local\r\nconnection: close\r\n\r\n";
                    let mut answer = String::new();
                    if stream.write_all(request).is_ok()
                        && stream.read_to_string(&mut answer).is_ok()
                        && answer.starts_with("HTTP/1.1 200")
                    {
                        return;
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            panic!("the gateway did not serve");
        }
    }

    fn options(registry: &Registry) -> ClientOptions {
        let mut options =
            ClientOptions::new(&registry.http_addr().to_string()).expect("an address");
        options.grpc_port = Some(registry.grpc_addr().port());
        options
    }
}
