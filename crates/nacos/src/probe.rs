//! One look at one server's gRPC port, step by step. It is for diagnosis, since a session only says that it has no
//! connection.

use std::sync::Arc;

use tokio::time::timeout;

use crate::{
    core::Core,
    error::Error,
    link,
    login::Login,
    network::{Network, Tcp},
    options::{ClientOptions, ServerAddress},
    tls,
    wire::ServerCheckRequest,
};

/// What a server said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The server's name for our connection, as the first answer has it.
    pub connection: Option<String>,
    /// Whether a second question over the same connection was answered with the same name. If it was not, something in
    /// between distributes requests over several connections, and no session can work.
    pub is_one_connection: bool,
}

/// How far a [`probe`] came, and why no further.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProbeError {
    /// The port cannot be connected to: nothing listens there, or something drops the packets.
    #[error("no TCP connection: {0}")]
    Connect(String),
    /// Something listens there, and TLS with it failed; the text says what helps.
    #[error("{0}")]
    Tls(String),
    /// Something listens there and speaks TLS, which is not turned on for gRPC.
    #[error("the port speaks TLS, and TLS is off for gRPC")]
    WantsTls,
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
    let network = Network::new(Arc::new(Tcp), options);
    let at = network
        .grpc_address(server)
        .ok_or_else(|| ProbeError::Connect("no port is 1000 above the HTTP port".to_owned()))?;
    match ask_twice(options, &network, &at).await {
        Err(ProbeError::Speak(_)) if !at.is_https && wants_tls(options, &network, &at).await => {
            Err(ProbeError::WantsTls)
        }
        result => result,
    }
}

async fn ask_twice(
    options: &ClientOptions,
    network: &Network,
    at: &ServerAddress,
) -> Result<Probe, ProbeError> {
    let limit = options.request_timeout;
    let late = || format!("no answer within {limit:?}");
    let stream = match timeout(limit, network.tcp(at)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ProbeError::Connect(error.to_string())),
        Err(_) => return Err(ProbeError::Connect(late())),
    };
    let stream = match timeout(limit, network.speak_grpc(stream, at)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ProbeError::Tls(error.to_string())),
        Err(_) => return Err(ProbeError::Tls(late())),
    };
    let origin = format!("http://{at}")
        .parse()
        .map_err(|error: http::uri::InvalidUri| ProbeError::Connect(error.to_string()))?;
    let options = ClientOptions {
        credentials: None,
        ..options.clone()
    };
    let login = Arc::new(Login::new(&options));
    let core = Core::new(options, network.clone(), login);
    let opened = timeout(limit, link::open(stream, origin, &core, 0)).await;
    let opened = opened
        .map_err(|_| ProbeError::Speak(late()))?
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

async fn wants_tls(options: &ClientOptions, network: &Network, at: &ServerAddress) -> bool {
    let knock = async {
        let stream = network.tcp(at).await.ok()?;
        Some(tls::is_spoken(stream).await)
    };
    let answer = timeout(options.request_timeout, knock).await;
    matches!(answer, Ok(Some(true)))
}

/// What speaks gRPC and is no Nacos server answers with a status and not with an answer of its own.
fn judge(error: Error) -> ProbeError {
    match error {
        Error::Starting | Error::Overloaded | Error::Forbidden { .. } => ProbeError::Refused(error),
        other => ProbeError::Speak(other.to_string()),
    }
}
