//! How HTTP/2 names what a request is for: in its target, where HTTP/1.1 has a `Host` (RFC 9113 section 8.3.1).

use http::uri::{self, Authority};
use http::{Request, Uri, header};

use crate::transport::Remote;

/// Changes what HTTP/2 writes in another way: the host, and the framing of the body.
pub(crate) fn name<B>(request: &mut Request<B>, remote: &Remote) {
    let headers = request.headers_mut();
    let host = headers.remove(header::HOST);
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::EXPECT);
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(match remote.tls {
        Some(_) => uri::Scheme::HTTPS,
        None => uri::Scheme::HTTP,
    });
    parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}
