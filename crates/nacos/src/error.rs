//! Why an operation failed.

use std::time::Duration;

/// Why an operation failed. Cheap enough to clone, so that several waiters can share one cause.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no connection, and none came in time.
    #[error("not connected to Nacos: {0}")]
    NotConnected(String),
    /// Something takes connections at the gRPC port and does not answer as Nacos does.
    #[error("what answers at {at} does not speak Nacos's gRPC: {problem}")]
    NotNacos {
        /// The gRPC address.
        at: String,
        /// What came.
        problem: String,
    },
    /// The connection ended while the answer was awaited; whether the server acted is unknown.
    #[error("the connection to Nacos was lost: {0}")]
    Lost(String),
    /// No answer came in time; whether the server acted is unknown.
    #[error("Nacos did not answer {operation} within {after:?}")]
    Timeout {
        /// The request.
        operation: &'static str,
        /// The time limit.
        after: Duration,
    },
    /// The server does not know the connection any more; the client makes a new one.
    #[error("Nacos does not know this connection any more (code 301)")]
    Unregistered,
    /// The server is still starting.
    #[error("Nacos is still starting (code 300)")]
    Starting,
    /// The server has too much to do.
    #[error("Nacos is over its load limit (code 503)")]
    Overloaded,
    /// No right to do this, also after a new login.
    #[error("Nacos refused the right to {operation}: {message}")]
    Forbidden {
        /// The request.
        operation: &'static str,
        /// The server's words.
        message: String,
    },
    /// The server refused for another reason.
    #[error("Nacos refused {operation} with code {code}: {message}")]
    Refused {
        /// The request.
        operation: &'static str,
        /// The server's error code.
        code: i32,
        /// The server's words.
        message: String,
    },
    /// The answer cannot be understood. It is never taken for an empty one.
    #[error("Nacos answered {operation} with something unreadable: {problem}")]
    Malformed {
        /// The request.
        operation: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// This client already has a registration for the service. The server keeps one instance per connection and
    /// service, and a second would silently replace the first: use another [`Client`](crate::Client) for it.
    #[error(
        "this client already registered an instance of {0}; use another client for a second one"
    )]
    AlreadyRegistered(String),
    /// The arguments cannot be sent.
    #[error("{0}")]
    Invalid(&'static str),
    /// The client was closed.
    #[error("the Nacos client is closed")]
    Closed,
}

impl Error {
    /// A static label for counters and logs.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::NotConnected(_) => "not_connected",
            Self::NotNacos { .. } => "not_nacos",
            Self::Lost(_) => "lost",
            Self::Timeout { .. } => "timeout",
            Self::Unregistered => "unregistered",
            Self::Starting => "starting",
            Self::Overloaded => "overloaded",
            Self::Forbidden { .. } => "forbidden",
            Self::Refused { .. } => "refused",
            Self::Malformed { .. } => "malformed",
            Self::AlreadyRegistered(_) => "already_registered",
            Self::Invalid(_) => "invalid",
            Self::Closed => "closed",
        }
    }
}

/// What an error comes down to: its last cause, which is where the reason stands.
pub(crate) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().unwrap_or(error).to_string()
}
