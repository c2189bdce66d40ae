//! Why the gateway itself ended a request: one place maps each cause to the
//! status, the label in metrics and the words in the answer.

use pailou_filters::Refusal;

/// Why a request did not end with its endpoint's own answer.
///
/// [`Cause::answer`] is the only place where statuses are chosen; a step's refusal brings its
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    // The client's fault.
    MalformedHead,
    MalformedTarget(&'static str),
    MalformedHost,
    AmbiguousFraming,
    MalformedConnection,
    /// A header name has an underscore, and the settings say that none may.
    HeaderName,
    UnknownTransferEncoding,
    MethodNotAllowed,
    HeadTimeout,
    BodyTimeout,
    BodyTooSlow,
    BodyTooLarge,
    RequestLineTooLong,
    HeadTooLarge,
    MalformedBody,
    /// HTTP on a port for TLS.
    PlainHttp,
    /// The connection's certificate is not for the host.
    Misdirected,
    /// The listener sends everybody to https.
    HttpsElsewhere,
    /// The client went away, or stopped reading.
    ClientGone,
    /// The client read more slowly than it may.
    ClientTooSlow,
    // There is no endpoint to ask.
    NoRoute,
    /// The request has passed this gateway before.
    Loop,
    /// There is no route table yet, and the gateway ends before there is one.
    NoTable,
    ServiceUnknown,
    ServiceEmpty,
    NoEligibleEndpoint,
    EndpointsTried,
    /// Each has as many requests as it may have.
    EndpointsFull,
    TooManyConnections,
    // The upstream's fault.
    ConnectFailed,
    ConnectTimeout,
    UpstreamReset,
    UpstreamMalformed,
    UpstreamTls,
    /// It answered the request for a WebSocket with a plain success.
    NotSwitched,
    /// Its proof of the switch to a WebSocket is wrong.
    WebsocketAccept,
    ResponseTimeout,
    ReadTimeout,
    UpstreamWriteTimeout,
    TotalTimeout,
    /// The body is longer than a step takes that needs it whole.
    UpstreamTooLarge,
    /// A step of the route refused it.
    Refused(Refusal),
    // A gate's.
    GateFailed,
    GateTimeout,
    /// A circuit breaker's: too many requests failed before this one.
    CircuitOpen,
    /// A circuit breaker's own limit of time.
    CircuitTimeout,
    /// There are more requests than can be served well, and this one matters less than others.
    Overloaded,
    // Ours.
    Internal,
    Panic,
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The label in metrics, logs and the body: a fixed word.
    pub(crate) cause: &'static str,
    pub(crate) detail: &'static str,
}

impl Cause {
    /// The status, the label and the explanation.
    ///
    /// `ClientGone` has no status, since there is no client to answer.
    /// `ClientTooSlow` has none, since its client has one already.
    pub(crate) fn answer(self) -> Answer {
        let (status, cause, detail) = match self {
            Cause::MalformedHead => (
                400,
                "malformed_head",
                "the request line or a header is malformed",
            ),
            Cause::MalformedTarget(detail) => (400, "malformed_target", detail),
            Cause::MalformedHost => (
                400,
                "malformed_host",
                "exactly one Host is needed, and it must be a host name or an IP address",
            ),
            Cause::AmbiguousFraming => (
                400,
                "ambiguous_framing",
                "the request has both Content-Length and Transfer-Encoding",
            ),
            Cause::MalformedConnection => (
                400,
                "malformed_connection",
                "the Connection header names a header that it must not name",
            ),
            Cause::HeaderName => (400, "header_name", "a header name has an underscore"),
            Cause::UnknownTransferEncoding => (
                501,
                "unknown_transfer_encoding",
                "the only transfer coding understood is chunked",
            ),
            Cause::MethodNotAllowed => (
                405,
                "method_not_allowed",
                "CONNECT and TRACE are not served",
            ),
            Cause::HeadTimeout => (
                408,
                "head_timeout",
                "the request head did not arrive in time",
            ),
            Cause::BodyTimeout => (408, "body_timeout", "the request body stopped arriving"),
            Cause::BodyTooSlow => (
                408,
                "body_too_slow",
                "the request body arrived more slowly than it may",
            ),
            Cause::BodyTooLarge => (
                413,
                "body_too_large",
                "the request body is larger than the limit",
            ),
            Cause::RequestLineTooLong => (
                414,
                "request_line_too_long",
                "the request line is longer than the limit",
            ),
            Cause::HeadTooLarge => (
                431,
                "head_too_large",
                "the request headers exceed the limit, in size or in number",
            ),
            Cause::MalformedBody => (
                400,
                "malformed_body",
                "the request body is malformed or ends too soon",
            ),
            Cause::PlainHttp => (400, "plain_http", "TLS is spoken on this port: use https"),
            Cause::Misdirected => (
                421,
                "misdirected",
                "the certificate of this connection is not for this host",
            ),
            Cause::HttpsElsewhere => (308, "https_elsewhere", "this is served over https"),
            Cause::ClientGone => (0, "client_gone", "the client closed the connection"),
            Cause::ClientTooSlow => (
                0,
                "client_too_slow",
                "the client took the answer more slowly than it may",
            ),
            Cause::NoRoute => (404, "no_route", "no route takes this request"),
            Cause::Loop => (
                508,
                "loop",
                "the request has passed this gateway before: a service behind it sends it back",
            ),
            Cause::NoTable => (503, "no_table", "the gateway has no routes yet"),
            Cause::ServiceUnknown => (
                503,
                "service_unknown",
                "Nacos has not said yet which endpoints the service has",
            ),
            Cause::ServiceEmpty => (503, "service_empty", "the service has no endpoint"),
            Cause::NoEligibleEndpoint => (
                503,
                "no_eligible_endpoint",
                "every endpoint of the service is disabled, unhealthy, ejected or not selected",
            ),
            Cause::EndpointsTried => (
                503,
                "endpoints_tried",
                "every eligible endpoint of the service was tried",
            ),
            Cause::EndpointsFull => (
                503,
                "endpoints_full",
                "every eligible endpoint of the service has as many requests as it may have",
            ),
            Cause::TooManyConnections => (
                503,
                "too_many_connections",
                "the gateway has as many connections as it may have",
            ),
            Cause::ConnectFailed => (502, "connect_failed", "the endpoint refused the connection"),
            Cause::ConnectTimeout => (
                504,
                "connect_timeout",
                "the endpoint did not accept the connection in time",
            ),
            Cause::UpstreamReset => (
                502,
                "upstream_reset",
                "the endpoint closed the connection before it answered",
            ),
            Cause::UpstreamMalformed => (
                502,
                "upstream_malformed",
                "the endpoint's answer is not HTTP, or its framing has two meanings",
            ),
            Cause::UpstreamTls => (
                502,
                "upstream_tls",
                "TLS to the endpoint failed: a certificate is not accepted, or the endpoint does not speak TLS",
            ),
            Cause::NotSwitched => (
                502,
                "not_switched",
                "the endpoint answered with a success, but did not switch to WebSocket",
            ),
            Cause::WebsocketAccept => (
                502,
                "websocket_accept",
                "the endpoint's switch to WebSocket has a wrong Sec-WebSocket-Accept",
            ),
            Cause::ResponseTimeout => (
                504,
                "response_timeout",
                "the endpoint did not answer in time",
            ),
            Cause::ReadTimeout => (
                504,
                "read_timeout",
                "the endpoint stopped sending its answer",
            ),
            Cause::UpstreamWriteTimeout => (
                504,
                "upstream_write_timeout",
                "the endpoint stopped reading the request",
            ),
            Cause::TotalTimeout => (504, "total_timeout", "the exchange took longer than it may"),
            Cause::UpstreamTooLarge => (
                502,
                "upstream_too_large",
                "the endpoint's answer is longer than a filter of the route takes",
            ),
            Cause::Refused(refusal) => {
                let (status, cause, detail) = refusal.told();
                (status.as_u16(), cause, detail)
            }
            Cause::GateFailed => (
                503,
                "gate_failed",
                "nobody could say whether the request may pass",
            ),
            Cause::GateTimeout => (
                503,
                "gate_timeout",
                "nobody said in time whether the request may pass",
            ),
            Cause::CircuitOpen => (
                503,
                "circuit_open",
                "too many of the last requests failed, so none is let through for a while",
            ),
            Cause::CircuitTimeout => (
                504,
                "circuit_timeout",
                "the endpoint did not answer within the time that the circuit breaker gives it",
            ),
            Cause::Overloaded => (
                503,
                "overloaded",
                "there are more requests than can be served well",
            ),
            Cause::Internal => (500, "internal", "the gateway failed"),
            Cause::Panic => (500, "panic", "the gateway failed"),
        };
        Answer {
            status,
            cause,
            detail,
        }
    }

    /// Whether the connection can serve another request after the answer.
    pub(crate) fn keeps_connection(self) -> bool {
        matches!(
            self,
            Cause::NoRoute
                | Cause::Loop
                | Cause::Misdirected
                | Cause::HttpsElsewhere
                | Cause::ServiceUnknown
                | Cause::ServiceEmpty
                | Cause::NoEligibleEndpoint
                | Cause::EndpointsFull
                | Cause::Refused(_)
                | Cause::GateFailed
                | Cause::GateTimeout
                | Cause::CircuitOpen
                | Cause::Overloaded
        )
    }

    /// Whether the fault is that of a service or the network to it. A circuit breaker
    /// counts these.
    pub(crate) fn is_of_upstream(self) -> bool {
        matches!(
            self,
            Cause::ServiceUnknown
                | Cause::ServiceEmpty
                | Cause::NoEligibleEndpoint
                | Cause::EndpointsTried
                | Cause::ConnectFailed
                | Cause::ConnectTimeout
                | Cause::UpstreamReset
                | Cause::UpstreamMalformed
                | Cause::UpstreamTls
                | Cause::ResponseTimeout
                | Cause::UpstreamWriteTimeout
                | Cause::TotalTimeout
                | Cause::GateFailed
                | Cause::GateTimeout
                | Cause::CircuitOpen
                | Cause::CircuitTimeout
        )
    }
}

/// The title of a status, as RFC 9110 has it.
pub(crate) fn title(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error")
}
