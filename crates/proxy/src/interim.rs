//! Answers before the answer: what an endpoint says to a client that waits
//! with its body (RFC 9110 section 10.1.1).

use http::Request;
use http::header::CONTENT_LENGTH;

use crate::connection::Shared;
use crate::hops;
use crate::upload::Outgoing;

/// Passes the endpoint's interim answers on to the client, so that the endpoint decides
/// whether it wants the body.
pub(crate) fn pass_on(request: &mut Request<Outgoing>, connection: Shared) {
    hyper::ext::on_informational(request, move |interim| {
        let status = interim.status();
        let reason = status.canonical_reason().unwrap_or_default();
        let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
        let mut headers = interim.headers().clone();
        hops::clean_response(&mut headers, status);
        // It has no body (RFC 9110 section 15.2).
        headers.remove(CONTENT_LENGTH);
        for (name, value) in &headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        connection.send_interim(&bytes);
    });
}

/// Lets the client send its body. An HTTP/2 endpoint is not asked, since its window
/// holds the body back.
pub(crate) fn go_on(connection: &Shared) {
    connection.send_interim(b"HTTP/1.1 100 Continue\r\n\r\n");
}
