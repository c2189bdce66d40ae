//! One HTTP request over a stream of its own: the login's, and those of tools.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::{
    error::{Error, reason},
    network::{Network, Owned, Tcp},
    options::{ClientOptions, ServerAddress},
};

/// Sends one request to a server's HTTP port, as the client would reach it, and reads the whole answer, whatever its
/// status: for tools that ask what the client does not. The target is a path with a query; `Host` and the connection's
/// headers are set here, a login's token is not. It takes the request timeout of the options at most.
///
/// # Errors
/// When the server cannot be reached, does not answer in time, or answers more than the options allow.
pub async fn http_request(
    options: &ClientOptions,
    server: &ServerAddress,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Error> {
    let network = Network::new(Arc::new(Tcp), options);
    let limit = options.request_timeout;
    let exchange = exchange(
        &network,
        server,
        request.map(Full::new),
        options.max_message_bytes,
    );
    match timeout(limit, exchange).await {
        Ok(result) => result.map_err(|error| Error::NotConnected(reason(&*error))),
        Err(_) => Err(Error::NotConnected(format!("no answer within {limit:?}"))),
    }
}

/// Connects, asks and reads the answer.
pub(crate) async fn exchange(
    network: &Network,
    server: &ServerAddress,
    mut request: Request<Full<Bytes>>,
    max_answer_bytes: usize,
) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
    let host = HeaderValue::try_from(server.to_string())?;
    request.headers_mut().insert(header::HOST, host);
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(header::CONNECTION, close);
    let stream = network.http(server).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = Owned(tokio::spawn(connection));
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, max_answer_bytes).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
