//! Doing it: the accept loop and the proxy phases on pingora.
//!
//! One job: to carry each request to an endpoint and its answer back. In go
//! connections, the route table's cell and the settings; out come answers and
//! one event per request. The only crate that names pingora. It must not know
//! where routes and endpoints come from.
//!
//! The way of a request: the `Edge` stream reads the head under its own
//! limits and deadlines; `plan` checks it, finds the route and plans the head
//! that every try sends; `tries` picks endpoints and says what may be tried
//! again; `answer` writes what the gateway says itself, by the one mapping in
//! `cause`; `phases` is the thin layer between them and pingora.
//!
//! pingora's own server is not used: connections are accepted here, so that
//! the port is known, caps and deadlines have a home, and a drain is ours.

mod answer;
mod budget;
mod cause;
mod connection;
mod connections;
mod duplex;
mod edge;
mod exchange;
mod forwarded;
mod framing;
mod heads;
mod hops;
mod listen;
mod out;
mod phases;
mod plan;
mod problem;
mod request_id;
mod serve;
mod server;
mod tries;

pub use listen::{BindError, Bound};
pub use serve::{Proxy, Serving};
pub use server::ProxyOptions;
