//! The words that label series. They are fixed lists, so that every label has a bound and every series exists before its first event.
//!
//! Dashboards and alerts depend on these words. A word that is in no list is counted under `other`. Tests in the crates that use the
//! words show that none is missing.

/// When a request can end for a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Only before a route is found.
    Unrouted,
    /// Only after that.
    Routed,
    /// Before and after.
    Anytime,
}

/// Why a request did not end with its endpoint's own answer.
pub const CAUSES: &[(&str, When)] = &[
    ("address_denied", When::Routed),
    ("ambiguous_framing", When::Unrouted),
    ("api_key_invalid", When::Routed),
    ("api_key_missing", When::Routed),
    ("body_timeout", When::Routed),
    ("body_too_large", When::Anytime),
    ("body_too_slow", When::Routed),
    ("circuit_open", When::Routed),
    ("circuit_timeout", When::Routed),
    ("claim_missing", When::Routed),
    ("client_gone", When::Anytime),
    ("client_too_slow", When::Routed),
    ("concurrency_limited", When::Routed),
    ("connect_failed", When::Routed),
    ("connect_timeout", When::Routed),
    ("consumer_denied", When::Routed),
    ("credentials_invalid", When::Routed),
    ("credentials_missing", When::Routed),
    ("endpoints_full", When::Routed),
    ("endpoints_tried", When::Routed),
    ("fault_injected", When::Routed),
    ("gate_failed", When::Routed),
    ("gate_timeout", When::Routed),
    ("head_timeout", When::Unrouted),
    ("head_too_large", When::Anytime),
    ("header_name", When::Unrouted),
    ("https_elsewhere", When::Unrouted),
    ("internal", When::Anytime),
    ("loop", When::Routed),
    ("malformed_body", When::Routed),
    ("malformed_connection", When::Unrouted),
    ("malformed_head", When::Unrouted),
    ("malformed_host", When::Unrouted),
    ("malformed_target", When::Anytime),
    ("method_denied", When::Routed),
    ("method_not_allowed", When::Unrouted),
    ("misdirected", When::Unrouted),
    ("no_eligible_endpoint", When::Routed),
    ("no_route", When::Unrouted),
    ("no_table", When::Unrouted),
    ("not_switched", When::Routed),
    ("origin_denied", When::Routed),
    ("overloaded", When::Routed),
    ("panic", When::Anytime),
    ("plain_http", When::Unrouted),
    ("rate_limited", When::Routed),
    ("read_timeout", When::Routed),
    ("request_line_too_long", When::Unrouted),
    ("response_timeout", When::Routed),
    ("service_empty", When::Routed),
    ("service_unknown", When::Routed),
    ("token_expired", When::Routed),
    ("token_invalid", When::Routed),
    ("token_missing", When::Routed),
    ("too_many_connections", When::Unrouted),
    ("total_timeout", When::Routed),
    ("unknown_transfer_encoding", When::Unrouted),
    ("upstream_malformed", When::Routed),
    ("upstream_reset", When::Routed),
    ("upstream_tls", When::Routed),
    ("upstream_too_large", When::Routed),
    ("upstream_write_timeout", When::Routed),
    ("websocket_accept", When::Routed),
];

/// Content codings that `compress` can make.
pub const CODINGS: &[&str] = &["br", "gzip", "zstd"];

/// Methods that are told apart; any other is `other`.
pub const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
];

/// Why a client's connection was turned away or cut.
pub const CONNECTION_REFUSALS: &[&str] = &[
    "client_certificate",
    "handshake_timeout",
    "header_timeout",
    "limit",
    "limit_per_ip",
    "plain_http",
    "proxy_header",
    "proxy_header_stranger",
    "tls_handshake",
];

/// What an endpoint did for which it was ejected.
pub const EJECTIONS: &[&str] = &[
    "connect_timeout",
    "gateway_errors",
    "latency",
    "refused",
    "reset",
    "success_rate",
    "timeout",
    "tls",
];

/// What was wrong with an endpoint's answer to an active check.
pub const CHECK_FAILURES: &[&str] = &[
    "broken",
    "connect_timeout",
    "grpc_status",
    "not_serving",
    "refused",
    "status",
    "timeout",
    "tls",
];

/// Why a try failed: it did not come to an answer, or the answer has a status that the route tries again.
pub const FAILED_TRIES: &[&str] = &[
    "connect_failed",
    "connect_timeout",
    "overtaken",
    "response_timeout",
    "stale_connection",
    "status",
    "total_timeout",
    "upstream_malformed",
    "upstream_reset",
    "upstream_tls",
    "upstream_write_timeout",
];

/// What becomes of a hedged try: it comes to nothing, another one is answered first, or its answer counts.
pub const HEDGES: &[&str] = &["failed", "lost", "won"];

/// How much a request matters.
pub const PRIORITIES: &[&str] = &["high", "low", "normal"];

/// What becomes of a request of a route whose clients stick to endpoints.
pub const STICKY_OUTCOMES: &[&str] = &["expired", "gone", "invalid", "kept", "new", "no_key"];

/// What comes of a question to Redis: an answer, no connection, no answer in time, an error.
pub const REDIS_OUTCOMES: &[&str] = &["answered", "down", "failed", "late"];

/// What came of reading keys or credentials.
pub const CREDENTIAL_LOADS: &[&str] = &["failed", "refused", "taken"];

/// What becomes of a copy that a mirror makes of a request.
pub const MIRROR_OUTCOMES: &[&str] = &[
    "answered",
    "body_incomplete",
    "body_too_long",
    "broken",
    "cut",
    "no_endpoint",
    "panicked",
    "refused",
    "timed_out",
    "too_many",
];

/// How the answer to a copy compares with the one to its original, by their statuses.
pub const AGREEMENTS: &[&str] = &["different", "not_compared", "same_class", "same_status"];

/// Why endpoints are held that are no longer listed: the label, and how the log says it.
pub const HOLDS: &[(&str, &str)] = &[("empty_push", "empty push"), ("reconnect", "reconnect")];

/// Why an endpoint that is listed is not used: the label, and how the log says it.
pub const ENDPOINT_REFUSALS: &[(&str, &str)] = &[
    ("broadcast", "broadcast address"),
    ("host_name_not_resolved", "host name not resolved"),
    ("link_local", "link-local address"),
    (
        "loopback",
        "loopback address, not allowed by discovery.allow_loopback",
    ),
    ("metadata_service", "metadata service of a cloud"),
    ("multicast", "multicast address"),
    ("no_address", "neither an address nor a host name"),
    ("not_allowed", "outside discovery.allow_addresses"),
    ("own_listener", "a listener of this gateway"),
    ("port_zero", "port 0"),
    ("unspecified", "unspecified address"),
    ("weight_infinite", "weight is infinite"),
    ("weight_negative", "weight is negative"),
    ("weight_not_a_number", "weight is not a number"),
];

/// What is counted for a word that no list has.
pub(crate) const OTHER: &str = "other";

/// The label of what the log says, by a list of both.
pub(crate) fn label(list: &[(&'static str, &str)], said: &str) -> &'static str {
    let found = list.iter().find(|(_, phrase)| *phrase == said);
    found.map_or(OTHER, |(label, _)| label)
}

/// The words of a list, of this length, that says more of each.
pub(crate) const fn words<T: Copy, const N: usize>(
    list: &[(&'static str, T)],
) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = list[at].0;
        at += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alerts contain these labels, so all have one spelling.
    #[test]
    fn labels_are_snake_case_sorted_and_told_once() {
        let lists: [&[&str]; 13] = [
            AGREEMENTS,
            CHECK_FAILURES,
            &words::<_, { CAUSES.len() }>(CAUSES),
            CONNECTION_REFUSALS,
            EJECTIONS,
            FAILED_TRIES,
            HEDGES,
            MIRROR_OUTCOMES,
            PRIORITIES,
            REDIS_OUTCOMES,
            STICKY_OUTCOMES,
            &words::<_, { HOLDS.len() }>(HOLDS),
            &words::<_, { ENDPOINT_REFUSALS.len() }>(ENDPOINT_REFUSALS),
        ];
        for list in lists {
            assert!(list.is_sorted_by(|a, b| a < b), "{list:?}");
            for word in list {
                let is_snake = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
                assert!(word.bytes().all(is_snake) && *word != OTHER, "{word}");
            }
        }
    }
}
