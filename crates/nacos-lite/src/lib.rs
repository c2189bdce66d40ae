//! A small Nacos server in memory: for development, for demonstrations and for tests.
//!
//! It speaks what Nacos clients speak, gRPC (port + 1000) and HTTP v1, so that `curl`, the official Python SDK and
//! `pailou-nacos` work against it unmodified. Its answers, delays and errors follow a real 3.1.0 server.
//!
//! **It keeps nothing**: all services and configs are gone when it stops. **It is not for production**: it is one server,
//! without storage or a console, and its tokens have no signature.
//!
//! It takes the requests of Nacos clients, and those of the process that runs it, through [`Registry`]. It gives answers
//! and pushes. It must not know the gateway. It can be told to misbehave: see [`Faults`].
//!
//! ```
//! use pailou_nacos_lite::{Instance, Options, Registry};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), pailou_nacos_lite::StartError> {
//! let registry = Registry::start(Options::default()).await?; // 127.0.0.1, two free ports
//! registry.put_instance("user-service", Instance::new("10.0.0.1", 8000));
//! registry.publish_config("pailou-routes.yaml", "routes: {}");
//! assert_eq!(registry.instances("user-service").len(), 1);
//! registry.stop().await; // connections die, both ports are free again
//! # Ok(()) }
//! ```
//!
//! # Where it differs from a real server on purpose
//! - A client that answers the server's detection stays connected; real servers often close it all the same.
//! - Config changes are notified at once, not after 50 to 250 ms.
//! - Tokens are opaque. There is one user, and it may do everything.
//! - Persistent instances are gone when it stops, like everything, and are not probed: they are as healthy as they were
//!   registered.
//! - HTTP v2 is not there, and of v3 only what a client needs and what an operator does to namespaces, services,
//!   instances and configs.
//! - Version 1's forms of the namespaces, of the history, and of an operator's requests about services are there, whose
//!   switches are off on a real 3.1.0.

mod auth;
mod clock;
mod core;
mod faults;
mod grpc;
mod http;
mod instance;
mod line;
mod names;
mod options;
mod ports;
mod registry;
mod serve;
mod state;

pub use faults::{Answer, ClockMove, Faults};
pub use instance::Instance;
pub use names::{ConfigKey, DEFAULT_GROUP, PUBLIC, ServiceKey};
pub use options::Options;
pub use ports::StartError;
pub use registry::Registry;
