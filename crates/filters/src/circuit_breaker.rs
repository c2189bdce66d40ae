//! The step that a circuit breaker is in a route.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::{Bindings, Breaker};

/// A breaker in a route, and what is done where it counts a failure.
#[derive(Debug)]
pub struct CircuitBreaker {
    /// The breaker, which other routes may share.
    pub breaker: Arc<Breaker>,
    /// Answers that count as failures.
    pub statuses: Vec<StatusCode>,
    /// How long the rest of the route may take to answer; `None` is the route's own
    /// time.
    pub timeout: Option<Duration>,
    /// What takes the place of the failure, if anything.
    pub fallback: Option<Fallback>,
}

/// Makes a path from the bound variables.
pub type FallbackPath = Box<dyn Fn(&Bindings) -> Option<String> + Send + Sync>;

/// What takes the place of a failure.
pub enum Fallback {
    /// The route that takes a path. This makes the path from the bound variables; `None`
    /// if a variable is missing.
    Forward(FallbackPath),
    /// An empty answer, 200.
    Nothing,
}

impl CircuitBreaker {
    /// Whether an answer of this status counts as a failure.
    pub fn is_failure(&self, status: StatusCode) -> bool {
        self.statuses.contains(&status)
    }
}

impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fallback::Forward(_) => "Forward",
            Fallback::Nothing => "Nothing",
        })
    }
}
