//! Failures, in the two shapes that real servers have: Spring's JSON, and plain text with `caused:`.

use axum::{
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    clock::{epoch_millis, iso},
    state::Refusal,
};

/// A failure that Spring describes in JSON, with the path that it happened on.
pub(super) enum Problem {
    Forbidden(String),
    NoSuchPath(Method),
    WrongMethod(Method),
    Gone,
    Broken(&'static str),
}

/// The answer of a path of version 1 that is switched off, as 3.1.0 words it.
const GONE: &str = r#"{"code":40000,"message":"Current API will be deprecated, please use API(s) `/nacos/v3/client` instead.","data":null}"#;

#[derive(Serialize)]
struct Description<'a> {
    timestamp: String,
    status: u16,
    error: &'a str,
    message: String,
    path: &'a str,
}

impl Problem {
    pub(super) fn at(self, path: &str) -> Response {
        let (status, message) = match self {
            Problem::Forbidden(message) => (StatusCode::FORBIDDEN, message),
            Problem::NoSuchPath(method) => (
                StatusCode::NOT_FOUND,
                format!("No endpoint {method} {path}."),
            ),
            Problem::WrongMethod(method) => (
                StatusCode::METHOD_NOT_ALLOWED,
                format!("Method '{method}' is not supported."),
            ),
            Problem::Gone => (StatusCode::GONE, GONE.to_owned()),
            Problem::Broken(message) => (StatusCode::INTERNAL_SERVER_ERROR, message.to_owned()),
        };
        let description = Description {
            timestamp: iso(epoch_millis()),
            status: status.as_u16(),
            error: status.canonical_reason().unwrap_or_default(),
            message,
            path,
        };
        (status, axum::Json(description)).into_response()
    }
}

/// A failure that the handler itself reports: as `caused: …;`, but for one that says it all.
#[derive(Debug)]
pub(super) struct Caused {
    status: StatusCode,
    reason: String,
    is_bare: bool,
}

impl Caused {
    pub(super) fn bad_request(reason: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            reason: reason.into(),
            is_bare: false,
        }
    }

    pub(super) fn not_found(reason: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            reason: reason.into(),
            is_bare: false,
        }
    }
}

impl From<Refusal> for Caused {
    fn from(refusal: Refusal) -> Self {
        let is_bare = matches!(refusal, Refusal::OtherKind(_));
        let (status, reason) = match refusal {
            Refusal::Invalid(reason) | Refusal::OtherKind(reason) => {
                (StatusCode::BAD_REQUEST, reason)
            }
            Refusal::Full(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.to_owned()),
            Refusal::CasMismatch => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Cas publish fail, server md5 may have changed.".to_owned(),
            ),
        };
        Self {
            status,
            reason,
            is_bare,
        }
    }
}

impl IntoResponse for Caused {
    fn into_response(self) -> Response {
        let text = if self.is_bare {
            self.reason
        } else {
            format!("caused: {};", self.reason)
        };
        let headers = [(header::CONTENT_TYPE, super::params::TEXT)];
        (self.status, headers, text).into_response()
    }
}

/// A failure of version 3, in its own shape.
#[derive(Debug)]
pub(super) struct Rejected {
    code: i32,
    message: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct RejectedBody {
    code: i32,
    message: &'static str,
    data: String,
}

impl Rejected {
    pub(super) fn new(code: i32, message: &'static str, reason: impl Into<String>) -> Self {
        Self {
            code,
            message,
            reason: reason.into(),
        }
    }
}

impl From<Caused> for Rejected {
    fn from(caused: Caused) -> Self {
        Self::new(30_000, "server error", caused.reason)
    }
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Caused::from(refusal).into()
    }
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        let body = RejectedBody {
            code: self.code,
            message: self.message,
            data: self.reason,
        };
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    }
}
