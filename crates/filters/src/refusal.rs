//! Why a step refuses a request: one place maps each reason to the status, the
//! word in metrics and logs, and the words for the client.

use http::StatusCode;

/// A reason to refuse a request. The code that runs the steps makes an answer of it,
/// in the client's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client's address is on a deny list, or on no allow list.
    Address,
    /// The request may have been made by a page of another site.
    Origin,
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
        }
    }
}
