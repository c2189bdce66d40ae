//! A Nacos client: naming and config over one gRPC connection per namespace, and the login.
//!
//! **Its one job**: to keep what a process wants of Nacos (watched services and configs, own registrations) in step
//! with a Nacos cluster, through every kind of trouble, and to say honestly what it knows and since when. What goes in:
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
//!   each state names the one that brought it.
//! - **All that is wanted is told to each new connection at once**: configs, then registrations, then subscriptions.
//! - **An error is not an empty list**, nor the absence of a config: a failure changes no state, it shows beside it.
//! - **The newest state wins**; states are ordered by arrival within a connection, never by a server's clock.
//! - **Lost pushes are found**: everything watched is compared with the server periodically.
//! - **Everything has a time limit**, and every retry a growing pause with jitter.
//!
//! # Servers
//! Nacos 2.0 to 3.x over gRPC, at the HTTP port + 1000 unless set; the HTTP port is used for the login alone. Servers
//! without gRPC (1.x) and TLS are not supported. A gRPC-aware proxy must not stand between: it would mix connections.
//!
//! The client keeps one registration per service, since the server keeps one instance per connection and service: use
//! a [`Client`] for each instance when a process has several.

mod client;
mod core;
mod desired;
mod error;
mod link;
mod login;
mod model;
mod network;
mod options;
mod probe;
mod registration;
mod session;
mod state;
mod watch;
pub mod wire;

pub use client::Client;
pub use error::Error;
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
};
pub use watch::{ConfigWatch, ServiceWatch};
