//! `FallbackHeaders`: why a circuit breaker sent the request here.

use http::{HeaderName, HeaderValue};
use pailou_config::{ScgArgs, Shortcut};

use super::{edit, fields};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "FallbackHeaders",
    "-",
    "Says in request headers, `Execution-Exception-Type` and three more, why a circuit breaker sent the request here; other requests pass as they are.",
    Shortcut::Fields(&[]),
    compile,
);

/// Types are the Java classes that Spring would name, since services compare them;
/// messages are this gateway's own, without addresses.
#[derive(Debug)]
struct FallbackHeaders {
    kind: HeaderName,
    message: HeaderName,
    root_kind: HeaderName,
    root_message: HeaderName,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let name = |field, default| match args.get(field) {
        Some(name) => fields::request_name(&name),
        None => Some(HeaderName::from_static(default)),
    };
    let kind = name(
        "executionExceptionTypeHeaderName",
        "execution-exception-type",
    );
    let message = name(
        "executionExceptionMessageHeaderName",
        "execution-exception-message",
    );
    let root_kind = name(
        "rootCauseExceptionTypeHeaderName",
        "root-cause-exception-type",
    );
    let root_message = name(
        "rootCauseExceptionMessageHeaderName",
        "root-cause-exception-message",
    );
    edit(FallbackHeaders {
        kind: kind?,
        message: message?,
        root_kind: root_kind?,
        root_message: root_message?,
    })
}

/// What Spring throws, and what that comes from.
fn classes(cause: &str) -> (&'static str, &'static str) {
    const STATUS: &str = "org.springframework.cloud.gateway.filter.factory.SpringCloudCircuitBreakerFilterFactory$CircuitBreakerStatusCodeException";
    const CLOSED: &str = "reactor.netty.http.client.PrematureCloseException";
    const NOT_FOUND: &str = "org.springframework.cloud.gateway.support.NotFoundException";
    const OPEN: &str = "io.github.resilience4j.circuitbreaker.CallNotPermittedException";
    const LATE: &str = "java.util.concurrent.TimeoutException";
    match cause {
        "status" => (STATUS, STATUS),
        "connect_failed" => (
            "io.netty.channel.AbstractChannel$AnnotatedConnectException",
            "java.net.ConnectException",
        ),
        "connect_timeout" => (
            "io.netty.channel.ConnectTimeoutException",
            "io.netty.channel.ConnectTimeoutException",
        ),
        "upstream_reset" | "upstream_malformed" => (CLOSED, CLOSED),
        "upstream_tls" => (
            "javax.net.ssl.SSLHandshakeException",
            "javax.net.ssl.SSLHandshakeException",
        ),
        "response_timeout" | "total_timeout" | "upstream_write_timeout" => (
            "org.springframework.web.server.ResponseStatusException",
            "org.springframework.cloud.gateway.support.TimeoutException",
        ),
        "service_unknown"
        | "service_empty"
        | "no_eligible_endpoint"
        | "endpoints_full"
        | "endpoints_tried" => (NOT_FOUND, NOT_FOUND),
        "circuit_open" => (OPEN, OPEN),
        "circuit_timeout" => (LATE, LATE),
        _ => ("java.lang.RuntimeException", "java.lang.RuntimeException"),
    }
}

impl Edit for FallbackHeaders {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let Some(failure) = &head.facts.failure else {
            return Next::Continue;
        };
        let (kind, root) = classes(failure.cause);
        let message = HeaderValue::from_str(&failure.detail);
        let message = message.unwrap_or(HeaderValue::from_static("-"));
        for (name, value) in [
            (&self.kind, HeaderValue::from_static(kind)),
            (&self.message, message.clone()),
            (&self.root_kind, HeaderValue::from_static(root)),
            (&self.root_message, message),
        ] {
            head.headers.append(name, value);
        }
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{bound, edit, headers, send};
    use crate::{Facts, Failure};

    #[test]
    fn only_who_was_sent_here_says_why() {
        let failed = Facts {
            failure: Some(Failure {
                cause: "connect_failed",
                detail: "the endpoint refused the connection".to_owned(),
            }),
            ..bound(&[])
        };
        let step = edit("FallbackHeaders", "~", &[]).expect("legal");
        let sent = send(&*step, &failed, "/", headers(&[])).headers;
        assert_eq!(
            sent["execution-exception-type"],
            "io.netty.channel.AbstractChannel$AnnotatedConnectException"
        );
        assert_eq!(
            sent["root-cause-exception-type"],
            "java.net.ConnectException"
        );
        assert_eq!(
            sent["root-cause-exception-message"],
            "the endpoint refused the connection"
        );
        let args = "{ executionExceptionTypeHeaderName: X-T, executionExceptionMessageHeaderName: X-M, rootCauseExceptionTypeHeaderName: X-RT, rootCauseExceptionMessageHeaderName: X-RM }";
        let step = edit("FallbackHeaders", args, &[]).expect("legal");
        assert_eq!(send(&*step, &failed, "/", headers(&[])).headers.len(), 4);
        assert!(
            send(&*step, &bound(&[]), "/", headers(&[]))
                .headers
                .is_empty()
        );
    }
}
