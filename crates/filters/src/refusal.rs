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
    /// There were more requests than the route allows.
    Rate,
    /// It carries no token.
    TokenMissing,
    /// Its token is not one that is taken.
    TokenInvalid,
    /// Its token was good once.
    TokenExpired,
    /// Its token is good, and does not say what the route asks for.
    ClaimMissing,
    /// Its method is none that the route takes.
    Method,
    /// Its body is longer than the route takes.
    BodyTooLarge,
    /// Its headers are longer than the route takes.
    HeadersTooLarge,
    /// It carries no API key.
    KeyMissing,
    /// Its API key is of nobody.
    KeyInvalid,
    /// Its API key is of a consumer that may not in here.
    ConsumerDenied,
    /// It carries no name and password.
    CredentialsMissing,
    /// Its name and password are of nobody.
    CredentialsInvalid,
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
            Refusal::TokenMissing => (
                StatusCode::UNAUTHORIZED,
                "token_missing",
                "the route takes requests with a token only",
            ),
            Refusal::TokenInvalid => (
                StatusCode::UNAUTHORIZED,
                "token_invalid",
                "the token of the request is not valid here",
            ),
            Refusal::TokenExpired => (
                StatusCode::UNAUTHORIZED,
                "token_expired",
                "the token of the request has expired",
            ),
            Refusal::ClaimMissing => (
                StatusCode::FORBIDDEN,
                "claim_missing",
                "the token of the request lacks a claim that the route asks for",
            ),
            Refusal::KeyMissing => (
                StatusCode::UNAUTHORIZED,
                "api_key_missing",
                "the route takes requests with an API key only",
            ),
            Refusal::KeyInvalid => (
                StatusCode::UNAUTHORIZED,
                "api_key_invalid",
                "the API key of the request is not valid here",
            ),
            Refusal::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_denied",
                "the route takes no requests of this method",
            ),
            Refusal::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "the request body is larger than the route takes",
            ),
            Refusal::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "the request headers are larger than the route takes",
            ),
            Refusal::CredentialsMissing => (
                StatusCode::UNAUTHORIZED,
                "credentials_missing",
                "the route takes requests with a name and a password only",
            ),
            Refusal::CredentialsInvalid => (
                StatusCode::UNAUTHORIZED,
                "credentials_invalid",
                "the name and the password of the request are not valid here",
            ),
            Refusal::ConsumerDenied => (
                StatusCode::FORBIDDEN,
                "consumer_denied",
                "the route takes no requests of this consumer",
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
