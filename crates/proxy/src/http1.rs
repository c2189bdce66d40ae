//! HTTP/1 on a client's connection: hyper's server above the edge.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pailou_config::{HeaderCase, LimitSettings};

use crate::buffers::Buffers;
use crate::connection::Shared;
use crate::edge::{Begun, Edge};
use crate::exchange;
use crate::server::Server;
use crate::tunnel::Tunnel;

/// The number of fields that the engine has room for by default.
const ENGINE_FIELDS: usize = 100;

/// Serves one connection until it ends.
pub(crate) async fn serve(server: Arc<Server>, mut edge: Edge, connection: Shared) {
    let _left = Left(connection.clone());
    // The engine takes some 10 KiB, and is in a box: a connection that waits for
    // its next request for long has none.
    while edge.begun().await == Begun::Yes {
        match Box::pin(requests(&server, &connection, edge)).await {
            After::Rest(rested) => edge = rested,
            After::Tunnel(tunnel, mut edge, read) => {
                edge.switch();
                return Box::pin(tunnel.run(edge, read)).await;
            }
            After::End => return,
        }
    }
    edge.end();
}

/// What comes after a run of requests.
enum After {
    /// The client has been silent for a while.
    Rest(Edge),
    /// The protocol was switched.
    Tunnel(Box<Tunnel>, Edge, Bytes),
    End,
}

async fn requests(server: &Arc<Server>, connection: &Shared, edge: Edge) -> After {
    let service = service_fn(|request| {
        let heading = connection.begin_exchange();
        exchange::serve(server.clone(), connection.clone(), heading, request)
    });
    let mut engine = server.http1.serve_connection(TokioIo::new(edge), service);
    let rests = poll_fn(|cx| {
        loop {
            if Pin::new(&mut engine).poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            // The engine waited for the client to go away. From now on it waits
            // for the next request, which may be here already.
            if !connection.has_ended() {
                break;
            }
        }
        match connection.rests() {
            true => Poll::Ready(true),
            false => Poll::Pending,
        }
    })
    .await;
    let parts = engine.into_parts();
    let edge = parts.io.into_inner();
    if rests {
        return After::Rest(edge);
    }
    match connection.take_tunnel() {
        Some(tunnel) => After::Tunnel(tunnel, edge, parts.read_buf),
        None => After::End,
    }
}

/// The engine's settings. Not `pipeline_flush`: with it hyper 1.12 buffers a
/// response without a bound while the client does not read.
pub(crate) fn engine(limits: &LimitSettings, buffers: Buffers, case: HeaderCase) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .header_read_timeout(None)
        .preserve_header_case(case == HeaderCase::AsSent)
        .max_buf_size(buffers.client);
    if limits.header_count > ENGINE_FIELDS {
        builder.max_headers(limits.header_count);
    }
    builder
}

/// Drops what a connection still holds of its last exchange, since that holds the
/// connection in turn.
struct Left(Shared);

impl Drop for Left {
    fn drop(&mut self) {
        drop(self.0.take_tunnel());
    }
}
