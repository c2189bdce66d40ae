//! The proxy over real sockets: scripted endpoints, raw clients, tables built
//! through routing's own API. Every port is 0; waits poll for a condition.

mod answers;
mod churn;
mod client;
mod drain;
mod each_try;
mod edge;
mod errors;
mod forwarding;
mod gateway;
mod grpc_retries;
mod grpc_web;
mod http2;
mod http2_endpoints;
mod limits;
mod measures;
mod mutations;
mod pairs;
mod proxy_header;
mod retries;
mod scg;
mod steps;
mod streaming;
mod upgrades;
mod uploads;
mod upstream;
mod upstream_tls;
mod websockets;
mod websockets_drain;
mod websockets_http2;
