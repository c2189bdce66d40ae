//! Serving requests: listeners and the exchange, with hyper for HTTP and pingora for
//! transport.
//!
//! One job: to carry each request to an endpoint and its answer back. In go
//! connections, the route table's cell and the settings; out come answers and
//! one event per request. The only crate that names hyper's server and client,
//! and pingora. It must not know where routes and endpoints come from.
//!
//! The way of a request: the `edge` lets only sound heads and bodies through
//! to hyper's server (`http1`). `exchange` is the order of all that follows.
//! `plan` finds the route and plans the head that every try sends. `tries`
//! picks endpoints and decides what may be tried again. `line` is a connection
//! to an endpoint with hyper's client on it, and the `pool` keeps idle ones.
//! `respond` and `download` pass the answer on. `answer` writes the gateway's
//! own answers, by the one mapping in `cause`.
//!
//! What a client may rely on:
//!
//! - Header names with an underscore are dropped, as in nginx, since WSGI and
//!   the like cannot tell `X_Forwarded_For` from `X-Forwarded-For`. Only
//!   upgrades of `forwarded.upgrades` pass, by default WebSocket.
//! - `X-Request-Id` is kept, whoever sent it, if it is 1 to 128 letters, digits
//!   or `-_.:+/=@`. Otherwise the gateway makes one. It is in the answer and in
//!   every problem.
//! - `X-Forwarded-For`, `-Proto`, `-Host` and `-Port` are written, or `Forwarded`,
//!   or all of them; from a peer that is not trusted, every `X-Forwarded-*`, `Forwarded` and `X-Real-IP` is
//!   dropped first. The Host header is passed on as it came.
//! - Lines of a head end with CR and LF. Chunked bodies are held to RFC 9112
//!   section 7.1 and written anew. Trailers that a `Trailer` field announces
//!   pass both ways.
//! - An endpoint may answer while it receives the request, at any size. After an
//!   early answer the upload goes on for as long as the endpoint takes it.
//! - The response's deadline runs from the last byte of the request, over all
//!   tries, so an upload that makes progress does not use it up. An upload below
//!   `limits.body_min_rate` ends with 408, and a client that takes an answer more
//!   slowly than `limits.write_min_rate` is cut.
//! - Interim answers (100, 103) pass to a client that sent
//!   `Expect: 100-continue` with a body, and are dropped for others.
//! - The version on the wire is the gateway's own, whatever the endpoint speaks.
//!
//! pingora's own server and proxy are not used: connections are accepted here,
//! so that the port is known, caps and deadlines have a home, and a drain is
//! ours.

mod account;
mod answer;
mod arrival;
mod ask;
mod authority;
mod base64;
mod breaker;
mod buffers;
mod cause;
mod checks;
mod connection;
mod connections;
mod deadline;
mod dial;
mod dispatch;
mod download;
mod each_try;
mod edge;
mod exchange;
mod failed_tries;
mod field_set;
mod flow;
mod forwarded;
mod framing;
#[cfg(test)]
mod fuzz;
mod grpc;
mod grpc_web;
mod hedge;
mod hops;
mod http1;
mod http2;
mod interim;
mod line;
mod listen;
mod listener;
#[cfg(test)]
mod lists;
mod mirror;
mod opening;
mod overload;
mod pace;
mod panics;
mod plan;
mod pool;
mod problem;
mod proxy_header;
mod published_keys;
mod redirect;
mod request_id;
mod respond;
mod retry_after;
mod rewrite;
mod serve;
mod server;
mod steps;
mod streams;
mod tls;
mod transport;
mod tries;
mod trunks;
mod tunnel;
mod tunnels;
mod underscores;
mod upload;
mod upstream_tls;
mod via;
mod websocket;
mod wire;
mod worker;

pub use listen::{BindError, Bound};
pub use listener::Listener;
pub use serve::{Proxy, Serving};
pub use server::ProxyOptions;
pub use tls::{CertificateView, Certificates};
pub use upstream_tls::{UpstreamTls, UpstreamTlsFault};
