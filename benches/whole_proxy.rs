//! How much CPU does a proxied request cost in Pailou, beside a bare pingora proxy?
//!
//! Three processes with the same build settings, each with one worker on a multi-thread runtime, the same kind of accept
//! loop on tokio and the same upstream: the gateway without an access log, the gateway with it (JSON, into a pipe), and
//! `Bare`, the least that pingora-proxy can do. Load goes to one after the other, in turn. A figure is the CPU time of
//! the proxy's process per request, user and system, all its threads; what counts is the ratio within each round, since
//! absolute times of a shared machine mean nothing.
//!
//! ```text
//! cargo bench -p pailou-gateway --bench whole_proxy [-- --connections 32,256 --requests 5000 --rounds 25]
//! ```

mod process;
mod world;

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp as _;
use pingora::modules::http::HttpModules;
use pingora::prelude::{HttpPeer, ProxyHttp, Session, http_proxy};
use pingora::protocols::Stream;
use pingora::server::configuration::ServerConf;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use process::Server;
use world::{DATA, World};

const BODY_BYTES: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("serve-upstream") => runtime().block_on(upstream()),
        Some("serve-bare") => {
            runtime().block_on(bare(arguments[2].parse().expect("the upstream's address")))
        }
        _ if world::is_bench() => compare(&arguments),
        _ => {}
    }
}

/// One worker, as `workers: 1` gives the gateway.
fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!(
        "listening {}",
        listener.local_addr().expect("a bound address")
    );
    std::io::stdout().flush().expect("standard output");
    listener
}

/// Answers each read with the same bytes.
async fn upstream() {
    let listener = listen().await;
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

/// The least that pingora's own proxy does: one fixed peer, no module, no time limit, no phase filled in.
struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}
    fn init_downstream_modules(&self, _: &mut HttpModules) {}
    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

async fn bare(upstream: SocketAddr) {
    let listener = listen().await;
    // The gateway's pool; pingora's own 128 would make it connect anew all the time with 256 clients.
    let conf = ServerConf {
        upstream_keepalive_pool_size: 1024,
        ..ServerConf::default()
    };
    let app = Arc::new(http_proxy(&Arc::new(conf), Bare(upstream)));
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

/// A proxy under measurement.
struct Proxy {
    name: &'static str,
    server: Server,
    path: &'static str,
    /// Of each round.
    microseconds: Vec<f64>,
}

fn compare(arguments: &[String]) {
    let requests = number(option(arguments, "--requests").unwrap_or("5000"));
    let rounds = number(option(arguments, "--rounds").unwrap_or("25"));
    let myself = std::env::current_exe().expect("this program");
    let start =
        |arguments: &[&str]| Server::start(Command::new(&myself).args(arguments), &["listening"]);

    let upstream = start(&["serve-upstream"]);
    let upstream_address = upstream.address(0);
    let world = World::start();
    world.put_instance("bench-service", upstream_address);
    world.publish("routes:\n  /api/bench/**:\n    service: bench-service\n    strip_prefix: 1\n");
    let gateway = |log| {
        world.gateway(
            &format!("workers: 1\ndefaults: {{ connect_timeout: 30s }}\nlog: {{ access: {log}, format: json }}\n"),
            "/api/bench/x",
        )
    };
    let proxy = |name, server, path| Proxy {
        name,
        server,
        path,
        microseconds: Vec::new(),
    };
    let mut proxies = [
        proxy(
            "bare pingora",
            start(&["serve-bare", &upstream_address.to_string()]),
            "/bench/x",
        ),
        proxy("pailou", gateway(false), "/api/bench/x"),
        proxy("pailou with access log", gateway(true), "/api/bench/x"),
    ];

    let client = runtime();
    for connections in option(arguments, "--connections")
        .unwrap_or("32,256")
        .split(',')
        .map(number)
    {
        for round in 0..=rounds {
            // Each goes first in turn; round 0 warms up.
            for place in 0..proxies.len() {
                let proxy = &mut proxies[(round + place) % 3];
                let microseconds = measure(&client, proxy, connections, requests);
                if round > 0 {
                    proxy.microseconds.push(microseconds);
                }
            }
        }
        println!(
            "{connections} connections, {requests} requests a round, {rounds} rounds after one to warm up"
        );
        let bare = std::mem::take(&mut proxies[0].microseconds);
        report("bare pingora, CPU µs per request", bare.clone());
        for proxy in &mut proxies[1..] {
            let own = std::mem::take(&mut proxy.microseconds);
            let ratios = own
                .iter()
                .zip(&bare)
                .map(|(own, bare)| own / bare)
                .collect();
            report(&format!("{}, CPU µs per request", proxy.name), own);
            report(&format!("{} / bare pingora", proxy.name), ratios);
        }
    }
}

fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}

fn number(text: &str) -> usize {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is not a number"))
}

fn report(what: &str, mut figures: Vec<f64>) {
    figures.sort_by(f64::total_cmp);
    let quartile = |part: usize| figures[(figures.len() - 1) * part / 4];
    let (low, median, high) = (quartile(1), quartile(2), quartile(3));
    println!("  {what:<44} median {median:>6.2}   half of all from {low:>6.2} to {high:>6.2}");
}

/// CPU microseconds of the proxy's process per request.
fn measure(client: &Runtime, proxy: &Proxy, connections: usize, requests: usize) -> f64 {
    let before = cpu_times(&proxy.server);
    let each = requests / connections;
    let load = load(proxy.server.address(DATA), proxy.path, connections, each);
    if let Err(problem) = client.block_on(load) {
        panic!("{}: {problem}", proxy.name);
    }
    let used: u64 = cpu_times(&proxy.server)
        .iter()
        .map(|(thread, time)| time - before.get(thread).unwrap_or(&0))
        .sum();
    used as f64 / 1_000.0 / (connections * each) as f64
}

/// Nanoseconds that each thread of the process has run so far: exact, unlike the hundredths of a second in `stat`.
fn cpu_times(server: &Server) -> HashMap<PathBuf, u64> {
    let threads = std::fs::read_dir(server.proc().join("task")).expect("Linux");
    let time = |thread: PathBuf| {
        // A thread may have ended since it was listed.
        let schedstat = std::fs::read_to_string(thread.join("schedstat")).ok()?;
        let time = schedstat.split_whitespace().next()?.parse().ok()?;
        Some((thread, time))
    };
    threads
        .flatten()
        .filter_map(|thread| time(thread.path()))
        .collect()
}

async fn load(
    address: SocketAddr,
    path: &str,
    connections: usize,
    each: usize,
) -> Result<(), String> {
    // What an HTTP client library sends.
    let request: Arc<str> = format!(
        "GET {path} HTTP/1.1\r\nhost: bench.local\r\nuser-agent: bench/1.0\r\naccept: application/json\r\n\
         accept-encoding: gzip\r\naccept-language: en\r\nauthorization: Bearer 0123456789abcdef\r\n\r\n"
    )
    .into();
    let clients: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(client(address, request.clone(), each)))
        .collect();
    for client in clients {
        client.await.map_err(|error| error.to_string())??;
    }
    Ok(())
}

async fn client(address: SocketAddr, request: Arc<str>, requests: usize) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    let mut buffer = [0; 8192];
    for _ in 0..requests {
        stream.write_all(request.as_bytes()).await.map_err(text)?;
        let mut held = 0;
        loop {
            let read = stream.read(&mut buffer[held..]).await.map_err(text)?;
            held += read;
            let head = buffer[..held]
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            if read == 0 || head.is_some_and(|end| held >= end + 4 + BODY_BYTES) {
                break;
            }
        }
        if !buffer.starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&buffer[..held]).into_owned());
        }
    }
    Ok(())
}
