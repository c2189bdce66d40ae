//! What a filter is compiled to: one step of a route's chain.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use pailou_upstream::Destination;
use thiserror::Error;

use crate::{CircuitBreaker, Compress, Mirror, Refusal, RequestHead, ResponseHead, Rule};

/// One step of a chain, by what it needs.
#[derive(Debug)]
pub enum Step {
    /// Changes heads, or answers by itself; neither waits nor fails.
    Edit(Box<dyn Edit>),
    /// Asks another service, and waits.
    Gate(Box<dyn Gate>),
    /// Changes the body of a response.
    Body(Box<dyn Body>),
    /// Encodes the body of a response while it streams.
    Compress(Box<Compress>),
    /// Says how the request is sent.
    Rule(Rule),
    /// Lets requests through unless too many failed.
    Breaker(Box<CircuitBreaker>),
    /// Keeps copies of responses.
    Keep(Box<dyn Keep>),
    /// Sends copies of requests elsewhere.
    Mirror(Arc<Mirror>),
}

impl Step {
    /// Where the step asks, or has keys from, if it does.
    pub fn destinations(&self) -> Vec<&Destination> {
        match self {
            Step::Gate(gate) => gate.destinations(),
            Step::Mirror(mirror) => vec![mirror.destination()],
            Step::Edit(_)
            | Step::Body(_)
            | Step::Compress(_)
            | Step::Rule(_)
            | Step::Breaker(_)
            | Step::Keep(_) => Vec::new(),
        }
    }

    /// Whether the step acts for each try that a `Retry` in front of it makes. Others act once
    /// for a request, and each try sends what they made of it.
    pub fn acts_each_try(&self) -> bool {
        match self {
            Step::Breaker(_) => true,
            Step::Edit(edit) => edit.acts_each_try(),
            Step::Gate(gate) => gate.acts_each_try(),
            Step::Body(_) | Step::Compress(_) | Step::Rule(_) | Step::Keep(_) | Step::Mirror(_) => {
                false
            }
        }
    }
}

/// Whether a request goes on after a step.
#[derive(Debug)]
#[must_use]
pub enum Next {
    /// To the next step.
    Continue,
    /// No: this is the answer, which passes the response half of the steps before this
    /// one.
    Answer(Box<Answer>),
    /// It does not, for this reason. The answer is a problem in the client's protocol,
    /// with what the steps want of every response
    /// ([`Effects::response`](crate::Effects::response)); a step that refuses may add to that.
    Refuse(Refusal),
}

/// An answer that a step gives in the endpoint's place.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status code; 200 by default.
    pub status: StatusCode,
    /// The header fields. What frames the body is not among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A filter that changes heads and neither waits nor fails.
///
/// Cost per request: what it says on the filter; none allocates unless it
/// changes something.
pub trait Edit: Debug + Send + Sync {
    /// Changes the planned request, or answers it.
    fn request(&self, _head: &mut RequestHead<'_>) -> Next {
        Next::Continue
    }

    /// Changes the response.
    fn response(&self, _head: &mut ResponseHead<'_>) {}

    /// Whether it acts for each try that a `Retry` in front of it makes. Of what it does for a
    /// further try its answer counts, and what it wants of the response; no change of the head does.
    fn acts_each_try(&self) -> bool {
        false
    }
}

/// A filter that asks another service before a request may go on.
///
/// The code that runs it keeps its deadline, and drops it when the client goes away.
pub trait Gate: Debug + Send + Sync {
    /// Says at once what becomes of the request, where nobody needs to be asked. It may have changed the head all the same;
    /// [`request`](Gate::request) then goes on with that.
    fn at_once(&self, _head: &mut RequestHead<'_>) -> Option<Next> {
        None
    }

    /// The same as [`acts_each_try`](Edit::acts_each_try) of an edit.
    fn acts_each_try(&self) -> bool {
        false
    }

    /// Lets the request go on, changed perhaps, or answers it.
    ///
    /// # Errors
    /// There was no usable answer. The request is refused then, unless the gate
    /// [fails open](Gate::fails_open).
    fn request<'a>(
        &'a self,
        head: &'a mut RequestHead<'_>,
        ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>>;

    /// Looks at the response.
    fn response(&self, _head: &mut ResponseHead<'_>) {}

    /// How long it may take.
    fn timeout(&self) -> Duration;

    /// What it does, for people: `asks auth-service`.
    fn purpose(&self) -> String;

    /// The services that it asks, or has keys from.
    fn destinations(&self) -> Vec<&Destination> {
        Vec::new()
    }

    /// Whether a request goes on unchecked without a usable answer. By default it is
    /// refused.
    fn fails_open(&self) -> bool {
        false
    }
}

/// A filter that changes the body of a response. It gets the body whole.
pub trait Body: Debug + Send + Sync {
    /// Changes the planned request, so that the answer can be read: no
    /// compression, for instance.
    fn request(&self, head: &mut RequestHead<'_>);

    /// The most bytes of this response that it takes; `None` if it leaves the
    /// response alone, which then streams.
    fn wants(&self, head: &ResponseHead<'_>) -> Option<usize>;

    /// The body that takes the place of this one. The head's length is set to
    /// it afterwards.
    fn rewrite(&self, head: &mut ResponseHead<'_>, body: Bytes) -> Bytes;
}

/// A filter that keeps copies of responses, and answers with them.
pub trait Keep: Debug + Send + Sync {
    /// Answers the planned request with a copy, if there is one.
    fn request(&self, head: &mut RequestHead<'_>) -> Next;

    /// Looks at a response, and takes a copy if it is to be kept. The response goes on
    /// meanwhile.
    fn response(&self, head: &mut ResponseHead<'_>) -> Option<Box<dyn Copying>>;
}

/// A copy that is being made of a response's body.
pub trait Copying: Debug + Send + Sync {
    /// The most bytes that are kept. A longer body is not.
    fn most_bytes(&self) -> usize;

    /// Takes the whole body, once it has ended well.
    fn keep(self: Box<Self>, body: Bytes);
}

/// A future that a gate waits for.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The way out for gates: sends one request of their own.
pub trait Ask: Send + Sync {
    /// Sends `request`, whose target is a path, to an endpoint of `destination`,
    /// and reads the answer, whose body has at most `max_bytes` bytes.
    ///
    /// Another endpoint is tried when one refuses the connection.
    ///
    /// # Errors
    /// When no whole answer came.
    fn ask<'a>(
        &'a self,
        destination: &'a Destination,
        request: Request<Bytes>,
        max_bytes: usize,
    ) -> Waiting<'a, Result<Response<Bytes>, AskError>>;
}

/// Why a gate got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// No endpoint of the service may be picked.
    #[error("the service has no endpoint to ask")]
    NoEndpoint,
    /// None accepted the connection.
    #[error("no endpoint accepted the connection")]
    Refused,
    /// The connection ended, or what came was no HTTP.
    #[error("the endpoint gave no answer")]
    Broken,
    /// The answer is longer than it may be.
    #[error("the answer is too long")]
    TooLong,
    /// It was answered, and the answer says neither yes nor no.
    #[error("the answer says neither yes nor no")]
    Unclear,
    /// More wait to be judged than may.
    #[error("too many requests wait to be judged")]
    Busy,
    /// There are no keys or credentials to judge by.
    #[error("there are no keys to judge by")]
    NoKeys,
}
