//! One look at one server's gRPC port, step by step: for diagnosis, where the session only says that it has no
//! connection.

use std::sync::Arc;

use tokio::time::timeout;

use crate::{
    core::Core,
    error::Error,
    link,
    login::Login,
    network::{Connector, Tcp},
    options::{ClientOptions, ServerAddress},
    wire::ServerCheckRequest,
};

/// What a server said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The server's name for our connection, as the first answer has it.
    pub connection: Option<String>,
    /// Whether a second question over the same connection was answered with the same name. It is not where something
    /// between distributes requests over several connections, and then nothing works that a session needs.
    pub is_one_connection: bool,
}

/// How far a [`probe`] came, and why no further.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProbeError {
    /// The port cannot be connected to: nothing listens there, or something drops the packets.
    #[error("no TCP connection: {0}")]
    Connect(String),
    /// Something listens there and does not speak HTTP/2, or says nothing at all.
    #[error("no gRPC: {0}")]
    Speak(String),
    /// A Nacos server answered, and refused.
    #[error("{0}")]
    Refused(Error),
}

/// Connects to a server's gRPC port (`grpc_port` of the options, or its HTTP port + 1000) and asks twice whether it is
/// up. Needs no login. Each step takes the request timeout of the options at most.
///
/// # Errors
/// How far it came, and why no further.
pub async fn probe(options: &ClientOptions, server: &ServerAddress) -> Result<Probe, ProbeError> {
    let port = options.grpc_port.or_else(|| server.grpc_port());
    let port =
        port.ok_or_else(|| ProbeError::Connect("no port is 1000 above the HTTP port".to_owned()))?;
    let at = ServerAddress {
        host: server.host.clone(),
        port,
    };
    let limit = options.request_timeout;
    let stream = match timeout(limit, Tcp.connect(&at.host, at.port)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ProbeError::Connect(error.to_string())),
        Err(_) => return Err(ProbeError::Connect(format!("no answer within {limit:?}"))),
    };
    let origin = format!("http://{at}")
        .parse()
        .map_err(|error: http::uri::InvalidUri| ProbeError::Connect(error.to_string()))?;
    let options = ClientOptions {
        credentials: None,
        ..options.clone()
    };
    let login = Arc::new(Login::new(&options));
    let core = Core::new(options, Arc::new(Tcp), login);
    let opened = timeout(limit, link::open(stream, origin, &core, 0)).await;
    let opened = opened
        .map_err(|_| ProbeError::Speak(format!("no answer within {limit:?}")))?
        .map_err(|error| ProbeError::Speak(error.to_string()))?;
    let ask = async || {
        opened
            .link
            .attempt(ServerCheckRequest::default(), None)
            .await
    };
    let first = ask().await.map_err(judge)?.connection_id;
    let second = ask().await.map_err(judge)?.connection_id;
    Ok(Probe {
        is_one_connection: first == second,
        connection: first,
    })
}

/// What speaks gRPC and is no Nacos server answers with a status and not with an answer of its own.
fn judge(error: Error) -> ProbeError {
    match error {
        Error::Starting | Error::Overloaded | Error::Forbidden { .. } => ProbeError::Refused(error),
        other => ProbeError::Speak(other.to_string()),
    }
}
