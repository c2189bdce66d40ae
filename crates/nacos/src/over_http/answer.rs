//! What a reply's status means, and the messages that answers become.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::{
    error::Error,
    wire::{self, Message, Payload, Response, code},
};

/// How much of a server's words is shown.
const MAX_SHOWN_CHARS: usize = 200;

/// A whole HTTP response.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) operation: &'static str,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    /// The reply when it is a success, what its status means otherwise.
    pub(super) fn success(self) -> Result<Self, Error> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(self.failure())
        }
    }

    /// What the status of a failure means.
    pub(super) fn failure(&self) -> Error {
        let (operation, status) = (self.operation, self.status.as_u16());
        let message = format!("HTTP {status}: {}", self.words());
        match status {
            401 | 403 => Error::Forbidden { operation, message },
            429 => Error::Overloaded,
            // A proxy in between says that the server is not there.
            502 | 504 => Error::Lost(message),
            503 => Error::Starting,
            500 if message.contains(NO_PATH) => refused(operation, 404, message),
            // A code of gRPC's must not come of a redirection.
            status if status < 400 => refused(operation, code::FAIL, message),
            status => refused(operation, i32::from(status), message),
        }
    }

    pub(super) fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.body).map_err(|error| self.malformed(error))
    }

    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.malformed(error))
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?.to_str().ok()?;
        (!value.is_empty()).then(|| value.to_owned())
    }

    pub(super) fn malformed(&self, problem: impl ToString) -> Error {
        Error::Malformed {
            operation: self.operation,
            problem: problem.to_string(),
        }
    }

    /// The server's words, short and printable.
    fn words(&self) -> String {
        #[derive(Deserialize)]
        struct Fault {
            message: String,
        }
        let text = String::from_utf8_lossy(&self.body);
        let words = serde_json::from_str(&text).map_or_else(
            |_| text.trim().to_owned(),
            |fault: Fault| fault.message.clone(),
        );
        words
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_SHOWN_CHARS)
            .collect()
    }
}

/// How Spring says, with a 500, that there is no such path.
const NO_PATH: &str = "No static resource";

/// Whether a status says that the server does not have this API: not there, not any more, or not this method.
pub(super) fn is_absent(code: i32) -> bool {
    matches!(code, 404 | 405 | 410 | 501)
}

pub(super) fn refused(operation: &'static str, code: i32, message: String) -> Error {
    Error::Refused {
        operation,
        code,
        message,
    }
}

/// A success that has nothing to say.
pub(super) fn success<R: Response + Default>() -> Payload {
    let mut response = R::default();
    response.succeed(None);
    Payload::new(&response)
}

/// A success whose one field is this JSON, which is read with the message.
pub(super) fn success_with<R: Message>(field: &str, json: &str) -> Payload {
    let json = format!(
        r#"{{"resultCode":{},"success":true,"{field}":{json}}}"#,
        code::SUCCESS
    );
    Payload::raw(R::KIND, json, Default::default())
}

/// The answer that there is no such config.
pub(super) fn no_config() -> Payload {
    let mut response = wire::ConfigQueryResponse::default();
    let code = code::STARTING_OR_NOT_FOUND;
    response.fail(None, code::FAIL, code, "config data not exist".into());
    Payload::new(&response)
}

/// The answer to what cannot be asked over HTTP.
pub(super) fn no_handler(kind: &str) -> Payload {
    let mut response = wire::ErrorResponse::default();
    let message = format!("there is no {kind} over HTTP");
    response.fail(None, code::FAIL, code::NO_HANDLER, message);
    Payload::new(&response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            operation: "test",
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn a_status_means_what_real_servers_mean_by_it() {
        let gone = r#"{"status":410,"error":"Gone","message":"{\"code\":40000,\"message\":\"Current API will be deprecated\"}"}"#;
        for (status, body, cause, absent) in [
            (
                403,
                r#"{"status":403,"message":"token expired!"}"#,
                "forbidden",
                false,
            ),
            (401, "", "forbidden", false),
            (404, "<html>", "refused", true),
            (405, "", "refused", true),
            (410, gone, "refused", true),
            (501, "", "refused", true),
            (
                500,
                "No static resource nacos/v1/ns/instance/list.",
                "refused",
                true,
            ),
            (500, "caused: no such service;", "refused", false),
            (400, "caused: Param 'ip' is required.;", "refused", false),
            (
                503,
                "server is STARTING now, please try again later!",
                "starting",
                false,
            ),
            (502, "", "lost", false),
            (504, "", "lost", false),
            (429, "", "overloaded", false),
            (301, "", "refused", false),
            (302, "", "refused", false),
        ] {
            let error = reply(status, body).success().unwrap_err();
            assert_eq!(error.cause(), cause, "{status}");
            let is_so = matches!(error, Error::Refused { code, .. } if is_absent(code));
            assert_eq!(is_so, absent, "{status}");
        }
        assert!(reply(200, "").success().is_ok());
    }
}
