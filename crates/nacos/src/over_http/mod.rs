//! The same messages over HTTP, for servers without gRPC or without a way to their gRPC port.
//!
//! A request is translated into an HTTP request of the server's API, and the answer into the message that gRPC would
//! have brought. So everything above is the same on every transport, except what only a push or a poll can do.

mod answer;
mod asked;
mod pool;
mod v1;
mod v3;

use std::{fmt, sync::Arc};

use http::Method;

use self::{answer::Reply, pool::Pool};
use crate::{
    core::Core,
    error::Error,
    link::is_silence,
    model::{Instance, ServiceName},
    options::ServerAddress,
    state::Transport,
    wire::{self, HealthCheckRequest, Message, Payload},
};

pub(crate) use self::v1::{Held, LISTENER_HOLD};

/// A server that is spoken to over HTTP.
pub(crate) struct Http {
    api: Api,
    pool: Pool,
}

/// The APIs, in the order in which they are tried: only the first tells of changed configs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    V1,
    V3,
}

/// One HTTP request.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    method: Method,
    path: &'static str,
    query: Pairs,
    /// The body, as a form.
    form: Pairs,
    headers: Vec<(&'static str, String)>,
}

/// Parameters, in order.
type Pairs = Vec<(&'static str, String)>;

/// How a beat was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// The instance is alive until the next one, which is due after so long.
    Taken {
        interval_ms: Option<u64>,
        /// Whether the next one may leave the instance's data out.
        light: bool,
    },
    /// The server does not know the instance.
    Unknown,
}

/// What a message becomes.
enum Translated {
    /// To be asked for.
    Call(Call, Read),
    /// Nothing to ask for: over HTTP a server keeps no subscriptions.
    Done(Payload),
}

/// Makes the answer's message of what was replied.
type Read = fn(Reply) -> Result<Payload, Error>;

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("api", &self.api)
            .finish_non_exhaustive()
    }
}

impl Http {
    /// Finds an API that the server answers.
    ///
    /// # Errors
    /// When the server does not answer, is starting, or has none of them.
    pub(crate) async fn find(core: &Core, server: &ServerAddress) -> Result<Arc<Self>, Error> {
        let mut pool = Some(Pool::new(
            core.network.clone(),
            server.clone(),
            core.options.max_message_bytes,
        ));
        let access = core.login.access(core.options.request_timeout).await;
        let mut absent = None;
        for api in [Api::V1, Api::V3] {
            let Some(taken) = pool.take() else { break };
            let http = Self { api, pool: taken };
            let question = http.probe(access.token.as_deref());
            match tokio::time::timeout(core.options.request_timeout, question).await {
                Ok(Ok(())) => return Ok(Arc::new(http)),
                Ok(Err(Error::Refused { code, message, .. })) if answer::is_absent(code) => {
                    absent = Some(Error::NotConnected(format!("{server}: {message}")));
                    pool = Some(http.pool);
                }
                Ok(Err(error)) if is_silence(&error) => {
                    return Err(Error::NotConnected(format!("{server}: {error}")));
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let limit = core.options.request_timeout;
                    let problem = format!("{server}: no answer within {limit:?}");
                    return Err(Error::NotConnected(problem));
                }
            }
        }
        Err(absent.unwrap_or_else(|| Error::NotConnected(format!("{server}: no HTTP API"))))
    }

    pub(crate) fn transport(&self) -> Transport {
        match self.api {
            Api::V1 => Transport::HttpV1,
            Api::V3 => Transport::HttpV3,
        }
    }

    /// Asks what a message asks for.
    pub(crate) async fn exchange(
        &self,
        operation: &'static str,
        request: Payload,
    ) -> Result<Payload, Error> {
        if operation == HealthCheckRequest::KIND {
            return self.health(request.header(wire::ACCESS_TOKEN)).await;
        }
        let malformed = |error: wire::WireError| Error::Malformed {
            operation,
            problem: error.to_string(),
        };
        let translated = match self.api {
            Api::V1 => v1::translate(&request).map_err(malformed)?,
            Api::V3 => v3::translate(&request).map_err(malformed)?,
        };
        match translated {
            Translated::Done(answer) => Ok(answer),
            Translated::Call(call, read) => {
                let token = request.header(wire::ACCESS_TOKEN);
                read(self.pool.send(operation, &call, token).await?)
            }
        }
    }

    /// Sends a beat for an instance; a light one leaves its data out.
    pub(crate) async fn beat(
        &self,
        namespace: &str,
        name: &ServiceName,
        instance: &Instance,
        light: bool,
        token: Option<&str>,
    ) -> Result<Beat, Error> {
        let operation = "beat";
        match self.api {
            Api::V1 => {
                let call = v1::beat(namespace, name, instance, light);
                v1::read_beat(self.pool.send(operation, &call, token).await?)
            }
            Api::V3 => {
                let call = v3::instance(Method::POST, namespace, name, instance, true);
                v3::read_beat(self.pool.send(operation, &call, token).await?)
            }
        }
    }

    /// Waits until the server says that one of these configs has changed, or that none did while it held the question.
    /// `None` if the server cannot do that.
    pub(crate) async fn await_changes(
        &self,
        held: &[Held],
        token: Option<&str>,
    ) -> Option<Result<Vec<wire::ChangedConfig>, Error>> {
        if self.api != Api::V1 {
            return None;
        }
        let call = v1::listener(held, Some(LISTENER_HOLD));
        let reply = self.pool.send_unlimited(v1::LISTENER, &call, token).await;
        Some(reply.and_then(|reply| v1::read_changes(&reply)))
    }

    /// Whether the server is there and still has this API.
    async fn health(&self, token: Option<&str>) -> Result<Payload, Error> {
        match self.probe(token).await {
            Ok(()) => Ok(answer::success::<wire::HealthCheckResponse>()),
            Err(Error::Refused { code, message, .. }) if answer::is_absent(code) => {
                Err(Error::Lost(message))
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for a service that does not exist, the cheapest question that every server of this API answers. A server
    /// that refuses it for lack of rights is there too.
    async fn probe(&self, token: Option<&str>) -> Result<(), Error> {
        let call = match self.api {
            Api::V1 => v1::probe(),
            Api::V3 => v3::probe(),
        };
        let reply = self.pool.send("probe", &call, token).await?;
        match reply.status.as_u16() {
            401 | 403 => Ok(()),
            _ => match self.api {
                Api::V1 => v1::read_probe(reply),
                Api::V3 => v3::read_hosts(reply).map(drop),
            },
        }
    }
}

impl Call {
    fn new(method: Method, path: &'static str) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            form: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// With these parameters: in the body of a `POST`, which alone every server reads, in the query otherwise.
    fn with(mut self, pairs: Pairs) -> Self {
        if self.method == Method::POST {
            self.form = pairs;
        } else {
            self.query = pairs;
        }
        self
    }

    fn target(&self) -> String {
        if self.query.is_empty() {
            return self.path.to_owned();
        }
        format!("{}?{}", self.path, encode(&self.query))
    }
}

fn encode(pairs: &Pairs) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}
