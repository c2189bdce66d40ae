//! A Nacos client: naming and config over one gRPC connection per namespace, or HTTP where there is no gRPC, and the
//! login.
//!
//! **Its one job**: to keep what a process wants of Nacos (watched services and configs, own registrations) in step
//! with a Nacos, through every kind of trouble, and to say honestly what it knows and since when. What goes in:
//! [`ClientOptions`], names and instances. What comes out: the newest whole [`ServiceState`] or [`ConfigState`] in a
//! cell that no slow reader can clog, and a [`SessionState`] for operators. What it must not know: routes, balancing,
//! the gateway's settings.
//!
//! A service registers itself and finds others:
//! ```
//! use pailou_nacos::{Client, ClientOptions, Instance};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let registry = pailou_nacos_lite::Registry::start(Default::default()).await?;
//! # let servers = registry.http_addr().to_string();
//! # let servers = servers.as_str();
//! let client = Client::connect(ClientOptions::new(servers)?); // servers: "10.0.0.1:8848,10.0.0.2:8848"
//! let registration = client.register("order-service", Instance::new("10.0.0.7", 8081)).await?;
//!
//! let mut users = client.watch_service("user-service");
//! let state = users.changed().await; // the first state, then each new one
//! println!("{} instances of {}", state.instances.len(), users.name());
//!
//! registration.deregister().await?; // on shutdown; a crash deregisters too
//! client.close().await;
//! # Ok(()) }
//! ```
//!
//! And reads its config, now and whenever it changes, whether or not it exists yet:
//! ```
//! # use pailou_nacos::{Client, ClientOptions, Publish};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let registry = pailou_nacos_lite::Registry::start(Default::default()).await?;
//! # let client = Client::connect(ClientOptions::new(&registry.http_addr().to_string())?);
//! let mut settings = client.watch_config("order-service.yaml");
//! assert!(settings.changed().await.config().is_none()); // absent so far
//! client.publish_config("order-service.yaml", "limit: 10", Publish::default()).await?;
//! assert_eq!(settings.changed().await.config().unwrap().content, "limit: 10");
//! # Ok(()) }
//! ```
//!
//! # What can be relied on
//! - **One connection per namespace**, over one byte stream: a push does not say which namespace it is for, and Nacos
//!   ties registrations to the TCP connection. It never redials unnoticed: each connection has a number (`epoch`), and
//!   each state names the one that brought it. Over HTTP a connection is a time in which one server answered.
//! - **All that is wanted is told to each new connection at once**: configs, then registrations, then subscriptions.
//! - **An error is not an empty list**, nor the absence of a config: a failure changes no state, it shows beside it.
//! - **The newest state wins**; states are ordered by arrival within a connection, never by a server's clock.
//! - **Lost pushes are found**: everything watched is compared with the server periodically.
//! - **Everything has a time limit**, and every retry a growing pause with jitter.
//!
//! # Servers and transports
//! Nacos 1.x to 3.x. Which [`Transport`] is used is decided by what answers, never by a version:
//!
//! | transport | where | services | configs | own instances |
//! |---|---|---|---|---|
//! | gRPC, at the HTTP port + 1000 unless set | since 2.0 | pushed | pushed | live with the connection |
//! | HTTP v1 | up to 3.1 | polled as often as the server advises, 1–10 s | long poll | beats every 5 s |
//! | HTTP v3 | since 3.0 | polled every 5 s | polled every 3 s | beats every 5 s |
//!
//! gRPC comes first. When two attempts in a row, and at least one at each server, find no gRPC, what HTTP API a server
//! answers is used; a server that only says that it is starting is waited for. From then on gRPC is tried again every
//! [`ClientOptions::grpc_retry_interval`], beside what works, which is let go only when the new connection is set up and
//! own instances are registered over it. Every change is logged and counted.
//!
//! What HTTP lacks: a change is seen when it is asked for; an instance that dies without a word is gone after 30 s, not
//! at once; v3 does not say that a service is [protected](ServiceState::protected). Behind a gRPC-aware
//! proxy, which mixes connections, only HTTP works.
//!
//! TLS is spoken over HTTP to addresses with `https://`, and over gRPC by [`ClientOptions::grpc_tls`]; [`TlsOptions`] say
//! whom to believe and who the client is. gRPC over TLS is never replaced by plain HTTP. It is rustls with ring, and no
//! provider is installed for the process.
//!
//! The client keeps one registration per service, since over gRPC the server keeps one instance per connection and
//! service: use a [`Client`] for each instance when a process has several.
//!
//! # Simulation
//! `cargo test -p pailou-nacos --test simulation` plays 1,000 random schedules of edits, lost and late pushes, dead
//! connections, restarts, error codes and expired tokens to a client and a model of a Nacos, in simulated time,
//! and holds the client to the above. `PAILOU_SCHEDULES=20000` plays more. A seed that fails prints its schedule;
//! `PAILOU_SEED=7 cargo test -p pailou-nacos --test simulation -- --nocapture` plays it again, with every message.

mod client;
mod core;
mod desired;
mod error;
mod exchange;
mod link;
mod login;
mod model;
mod network;
mod options;
mod over_http;
mod probe;
mod registration;
mod restart;
mod session;
mod state;
mod tls;
mod watch;
pub mod wire;

pub use client::Client;
pub use error::Error;
pub use exchange::http_request;
pub use model::{
    Config, ConfigName, ConfigState, DEFAULT_CLUSTER, DEFAULT_GROUP, Instance, Origin, Publish,
    ServiceName, ServicePage, ServiceState,
};
pub use network::{ByteStream, Connecting, Connector, Tcp};
pub use options::{AddressError, ClientOptions, Credentials, ServerAddress};
pub use probe::{Probe, ProbeError, probe};
pub use registration::Registration;
pub use state::{
    ConfigSync, ConnectionState, Counts, LoginState, RegistrationSync, ServiceSync, SessionState,
    Transport,
};
pub use tls::{TlsIdentity, TlsOptions};
pub use watch::{ConfigWatch, ServiceWatch};
