//! The gRPC half: HTTP/2 on each accepted connection, since Nacos knows a client by its TCP connection.

mod config;
mod connection;
mod naming;
mod reset;
mod stream;
mod unary;

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pailou_nacos::wire::{Payload, STREAM_PATH, UNARY_PATH};
use tonic::{Request, Response, Status, Streaming, body::Body, server::Grpc};
use tonic_prost::ProstCodec;

use self::{
    connection::Connection,
    reset::{ResetSignal, Resettable},
    stream::ServerStream,
};
use crate::{core::Core, line::Line};

/// What a request may weigh: the bound of real servers. Answers and pushes have none.
const MAX_REQUEST_BYTES: usize = 10 << 20;

/// Room for large pushes on their way.
const WINDOW_BYTES: u32 = 16 << 20;

/// Frames large enough that a push of 16 MiB is not a thousand of them.
const FRAME_BYTES: u32 = 1 << 20;

/// Serves one TCP connection until it ends.
pub(crate) async fn serve(stream: Line, peer: SocketAddr, core: Arc<Core>) {
    core.while_hanging().await;
    let connection = Arc::new(Connection::new(core, peer));
    let served = connection.clone();
    let service = service_fn(move |request| answer(request, served.clone()));
    let done = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_send_buf_size(FRAME_BYTES as usize)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = done {
        tracing::debug!(connection = connection.name(), %error, "a gRPC connection broke");
    }
}

async fn answer(
    request: http::Request<Incoming>,
    connection: Arc<Connection>,
) -> Result<http::Response<Resettable>, Infallible> {
    let request = request.map(Body::new);
    let mut grpc = Grpc::new(ProstCodec::<Payload, Payload>::default())
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let (response, signal) = match request.uri().path() {
        UNARY_PATH => (
            grpc.unary(Unary(connection), request).await,
            ResetSignal::never(),
        ),
        STREAM_PATH => {
            let (reset, signal) = ResetSignal::new();
            (
                grpc.streaming(
                    Bidirectional {
                        connection,
                        reset: Some(reset),
                    },
                    request,
                )
                .await,
                signal,
            )
        }
        path => {
            let status = Status::unimplemented(format!(
                "Method not found: {}",
                path.trim_start_matches('/')
            ));
            (status.into_http(), ResetSignal::never())
        }
    };
    Ok(response.map(|body| Resettable::new(body, signal)))
}

type Answered<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

struct Unary(Arc<Connection>);

impl tonic::server::UnaryService<Payload> for Unary {
    type Response = Payload;
    type Future = Answered<Payload>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let connection = self.0.clone();
        Box::pin(async move {
            connection.core.while_hanging().await;
            Ok(Response::new(unary::answer(
                &connection,
                &request.into_inner(),
            )))
        })
    }
}

struct Bidirectional {
    connection: Arc<Connection>,
    /// Taken by the one stream that this request is.
    reset: Option<tokio::sync::oneshot::Sender<()>>,
}

impl tonic::server::StreamingService<Payload> for Bidirectional {
    type Response = Payload;
    type ResponseStream = ServerStream;
    type Future = Answered<ServerStream>;

    fn call(&mut self, request: Request<Streaming<Payload>>) -> Self::Future {
        let (connection, reset) = (self.connection.clone(), self.reset.take());
        Box::pin(async move {
            Ok(Response::new(ServerStream::new(
                connection,
                request.into_inner(),
                reset,
            )))
        })
    }
}
