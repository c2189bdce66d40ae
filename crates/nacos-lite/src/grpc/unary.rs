//! One request, one answer.

use pailou_nacos::wire::{
    ACCESS_TOKEN, BatchInstanceRequest, ConfigBatchListenRequest, ConfigPublishRequest,
    ConfigQueryRequest, ConfigRemoveRequest, ErrorResponse, HealthCheckRequest,
    HealthCheckResponse, InstanceRequest, Message, Payload, PersistentInstanceRequest, Request,
    Response, ServerCheckRequest, ServerCheckResponse, ServiceListRequest, ServiceQueryRequest,
    SubscribeServiceRequest, code,
};
use serde::Deserialize;

use super::{config, connection::Connection, naming};
use crate::{faults::Answer, state::Refusal};

/// Why a request fails: `resultCode`, `errorCode` and the words.
pub(super) struct Failure {
    result: i32,
    error: i32,
    message: String,
    /// Whether the answer is an `ErrorResponse`; else it is of the operation's own type.
    generic: bool,
    /// Whether the answer is no answer at all.
    garbage: bool,
}

impl Failure {
    pub(super) fn new(error: i32, message: impl Into<String>) -> Self {
        Self {
            result: code::FAIL,
            error,
            message: message.into(),
            generic: false,
            garbage: false,
        }
    }

    fn of_garbage() -> Self {
        Self {
            garbage: true,
            ..Self::new(code::FAIL, "")
        }
    }

    /// A fault in a parameter, by Nacos's own check.
    pub(super) fn parameter(message: String) -> Self {
        Self::new(
            code::BAD_PARAMETER,
            format!("Param check invalid:{message}"),
        )
    }

    /// An operation that the server does not know.
    pub(super) fn unsupported(kind: &str) -> Self {
        Self {
            result: code::BAD_PARAMETER,
            generic: true,
            ..Self::new(
                code::BAD_PARAMETER,
                format!("Unsupported request type {kind}"),
            )
        }
    }

    fn ordered(error: i32) -> Self {
        let message = match error {
            code::STARTING_OR_NOT_FOUND => "Server is starting,please try later.",
            code::UNREGISTERED => "Connection is unregistered.",
            _ => "failure on command",
        };
        let generic = matches!(error, code::STARTING_OR_NOT_FOUND | code::UNREGISTERED);
        Self {
            generic,
            ..Self::new(error, message)
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(message) => Self::new(code::BAD_PARAMETER, message),
            Refusal::OtherKind(message) => Self {
                result: code::BAD_PARAMETER,
                generic: true,
                ..Self::new(code::BAD_PARAMETER, message)
            },
            Refusal::Full(message) => Self::new(code::OVER_THRESHOLD, message),
            Refusal::CasMismatch => {
                Self::new(code::FAIL, "Cas publish fail, server md5 may have changed.")
            }
        }
    }
}

/// Answers a request of a connection.
pub(super) fn answer(connection: &Connection, payload: &Payload) -> Payload {
    let call = Call {
        connection,
        payload,
    };
    match payload.kind() {
        ServerCheckRequest::KIND => {
            match connection.core.ordered_answer(ServerCheckRequest::KIND) {
                Some(Answer::Error(error)) => {
                    failed::<ServerCheckResponse>(Failure::ordered(error))
                }
                Some(Answer::Garbage) => failed::<ServerCheckResponse>(Failure::of_garbage()),
                _ => succeeded(ServerCheckResponse {
                    connection_id: Some(connection.name().to_owned()),
                    support_ability_negotiation: true,
                    ..ServerCheckResponse::default()
                }),
            }
        }
        HealthCheckRequest::KIND => {
            call.open::<HealthCheckRequest>(|_| Ok(HealthCheckResponse::default()))
        }
        InstanceRequest::KIND => call.guarded(|request| naming::instance(connection, request)),
        BatchInstanceRequest::KIND => call.guarded(|request| naming::batch(connection, request)),
        PersistentInstanceRequest::KIND => {
            call.guarded(|request| naming::persistent(connection, request))
        }
        ServiceQueryRequest::KIND => {
            call.guarded(|request| naming::query(connection, request, call.hosts_wanted()?))
        }
        SubscribeServiceRequest::KIND => {
            call.guarded(|request| naming::subscribe(connection, request, call.hosts_wanted()?))
        }
        ServiceListRequest::KIND => call.guarded(|request| naming::list(connection, &request)),
        ConfigQueryRequest::KIND => call.guarded(|request| config::query(connection, request)),
        ConfigPublishRequest::KIND => call.guarded(|request| config::publish(connection, request)),
        ConfigRemoveRequest::KIND => call.guarded(|request| config::remove(connection, request)),
        ConfigBatchListenRequest::KIND => {
            call.guarded(|request| config::listen(connection, request))
        }
        _ => failed::<ErrorResponse>(Failure::new(code::NO_HANDLER, "RequestHandler Not Found")),
    }
}

#[derive(Clone, Copy)]
struct Call<'a> {
    connection: &'a Connection,
    payload: &'a Payload,
}

impl Call<'_> {
    /// A request that needs a known connection and a valid token.
    fn guarded<R>(self, act: impl FnOnce(R) -> Result<R::Response, Failure>) -> Payload
    where
        R: Request,
        R::Response: Default,
    {
        self.open(|request| {
            if let Err(message) = self.connection.core.tokens.check(self.token().as_deref()) {
                return Err(Failure::new(code::FORBIDDEN, message));
            }
            act(request)
        })
    }

    /// A request that needs a known connection only.
    fn open<R>(self, act: impl FnOnce(R) -> Result<R::Response, Failure>) -> Payload
    where
        R: Request,
        R::Response: Default,
    {
        let id = self.connection.id;
        if !self.connection.core.with(|state, now| state.touch(id, now)) {
            return failed::<ErrorResponse>(Failure::ordered(code::UNREGISTERED));
        }
        let request = match self.payload.decode::<R>() {
            Ok(request) => request,
            Err(error) => {
                return failed::<R::Response>(Failure::new(code::BAD_PARAMETER, error.to_string()));
            }
        };
        // Subscriptions and queries look for an ordered answer themselves: it may be an empty one.
        let ordered = if is_about_hosts(R::KIND) {
            None
        } else {
            self.connection.core.ordered_answer(R::KIND)
        };
        let result = match ordered {
            Some(Answer::Error(error)) => Err(Failure::ordered(error)),
            Some(Answer::Garbage) => Err(Failure::of_garbage()),
            Some(Answer::Empty) | None => act(request),
        };
        result.map_or_else(failed::<R::Response>, succeeded)
    }

    /// Whether the true hosts are answered, or none on command.
    fn hosts_wanted(self) -> Result<bool, Failure> {
        match self.connection.core.ordered_answer(self.payload.kind()) {
            None => Ok(true),
            Some(Answer::Empty) => Ok(false),
            Some(Answer::Error(error)) => Err(Failure::ordered(error)),
            Some(Answer::Garbage) => Err(Failure::of_garbage()),
        }
    }

    /// The token, wherever a client may put it.
    fn token(self) -> Option<String> {
        let header = |name| self.payload.header(name).map(str::to_owned);
        header(ACCESS_TOKEN)
            .or_else(|| {
                header("Authorization")?
                    .strip_prefix("Bearer ")
                    .map(str::to_owned)
            })
            .or_else(|| {
                serde_json::from_slice::<JsonHeaders>(self.payload.json())
                    .ok()?
                    .headers
                    .access_token
            })
    }
}

fn is_about_hosts(kind: &str) -> bool {
    matches!(
        kind,
        SubscribeServiceRequest::KIND | ServiceQueryRequest::KIND
    )
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonHeaders {
    headers: TokenHeader,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TokenHeader {
    access_token: Option<String>,
}

fn succeeded<R: Response>(mut response: R) -> Payload {
    // Real servers leave the request's number out of answers to unary requests.
    response.succeed(None);
    Payload::new(&response)
}

fn failed<R: Response + Default>(failure: Failure) -> Payload {
    let Failure {
        result,
        error,
        message,
        generic,
        garbage,
    } = failure;
    if garbage {
        return Payload::raw(R::KIND, "\u{0}{not json", Default::default());
    }
    if generic {
        let mut response = ErrorResponse::default();
        response.fail(None, result, error, message);
        return Payload::new(&response);
    }
    let mut response = R::default();
    response.fail(None, result, error, message);
    Payload::new(&response)
}
