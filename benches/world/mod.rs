//! The gateway in a process of its own, and the embedded registry in this one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use pailou_nacos_lite::{Options, Registry};
use tokio::runtime::{Builder, Runtime};

use crate::process::Server;

/// The data id that the gateway reads.
const ROUTES: &str = "pailou-routes.yaml";

/// Which of the gateway's addresses takes requests, as [`Server::address`] counts them.
pub(crate) const DATA: usize = 0;
/// The markers of its addresses.
const LISTENERS: [&str; 2] = ["\"listener\":\"data\"", "\"listener\":\"admin\""];

/// A registry and the folder of a gateway's settings.
pub(crate) struct World {
    registry: Registry,
    folder: tempfile::TempDir,
    /// The registry's; it goes last.
    runtime: Runtime,
}

impl World {
    /// An empty registry.
    pub(crate) fn start() -> World {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let registry = runtime
            .block_on(Registry::start(Options::default()))
            .expect("a registry");
        World {
            registry,
            folder: tempfile::TempDir::new().expect("a folder"),
            runtime,
        }
    }

    /// Lists one instance of a service.
    pub(crate) fn put_instance(&self, service: &str, address: SocketAddr) {
        let _runtime = self.runtime.enter();
        let instance = pailou_nacos_lite::Instance::new(address.ip().to_string(), address.port());
        self.registry.put_instance(service, instance);
    }

    /// Publishes the route document.
    pub(crate) fn publish(&self, document: &str) {
        let _runtime = self.runtime.enter();
        self.registry.publish_config(ROUTES, document);
    }

    /// Starts a gateway on free ports, with these settings beside, and waits until it answers `path` with something else
    /// than 404.
    pub(crate) fn gateway(&self, settings: &str, path: &str) -> Server {
        let file = self.folder.path().join("gateway.yaml");
        let text = format!(
            "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: '127.0.0.1:0' }}\n\
             probes: {{ address: '127.0.0.1:0' }}\nnacos: {{ servers: ['{}'], grpc_port: {} }}\n\
             routes: [{{ data_id: {ROUTES} }}]\nregistration: {{ enabled: false }}\n{settings}",
            self.registry.http_addr(),
            self.registry.grpc_addr().port()
        );
        std::fs::write(&file, text).expect("a written file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pailou"));
        let server = Server::start(command.args(["run", "--config"]).arg(&file), &LISTENERS);
        await_route(server.address(DATA), path);
        server
    }
}

/// Whether `cargo bench` started this program, and not `cargo test`, which only wants to know that it starts.
pub(crate) fn is_bench() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Waits until a path has a route.
pub(crate) fn await_route(address: SocketAddr, path: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while get(address, path).is_none_or(|answer| answer.starts_with("HTTP/1.1 404")) {
        assert!(Instant::now() < deadline, "{path} has no route");
        pause(Duration::from_millis(5));
    }
}

/// The whole answer to a GET on a connection of its own; `None` while nobody answers.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: www.example.com\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}

#[expect(
    clippy::disallowed_methods,
    reason = "called on the main thread, outside of every runtime"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
