//! Why a step refuses a request: one place maps each reason to the status, the
//! word in metrics and logs, and the words for the client.

use http::StatusCode;

/// A reason to refuse a request. Whoever runs the steps makes the answer of it,
/// in the client's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client's address is on a deny list, or on no allow list.
    Address,
    /// The request may have been made by a page of another site.
    Origin,
    /// There were more requests than the route allows.
    Rate,
    /// As many requests are under way as may be.
    Concurrency,
    /// The route makes faults on purpose.
    Injected(StatusCode),
}

impl Refusal {
    /// The status, the word, and the explanation.
    pub fn told(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Refusal::Address => (
                StatusCode::FORBIDDEN,
                "address_denied",
                "the route takes no requests of this address",
            ),
            Refusal::Origin => (
                StatusCode::FORBIDDEN,
                "origin_denied",
                "the route takes no such requests of pages of another site",
            ),
            Refusal::Rate => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "this client has sent more requests than the route allows",
            ),
            Refusal::Concurrency => (
                StatusCode::SERVICE_UNAVAILABLE,
                "concurrency_limited",
                "as many requests are under way as may be",
            ),
            Refusal::Injected(status) => (
                status,
                "fault_injected",
                "the route makes this fault on purpose",
            ),
        }
    }
}
