//! From a request's head to its route and the head that every try sends.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use pailou_filters::{Answer, Effects, Facts, RequestHead};
use pailou_routing::{Host, Target};
use pailou_upstream::Http;

use crate::answer::METHODS;
use crate::authority;
use crate::breaker::Frame;
use crate::cause::Cause;
use crate::dispatch::{self, Draft};
use crate::edge::{Framing, Heading};
use crate::exchange::{Ended, Exchange};
use crate::forwarded::Scheme;
use crate::grpc;
use crate::grpc_web::{self, Web};
use crate::hops::{self, Asked};
use crate::redirect;
use crate::request_id::X_REQUEST_ID;
use crate::tls;
use crate::transport::Remote;
use crate::upload::{Outgoing, Upload, UploadRules};
use crate::via::Loop;

/// What every try sends.
#[derive(Debug)]
pub(crate) struct Planned {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// The spelling of header names, if the settings keep it.
    extensions: Extensions,
    /// Whether the client takes trailers, as gRPC asks for.
    wants_trailers: bool,
}

impl Planned {
    /// The header fields that every try sends.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What every try sends, as steps see it; `headers` is a copy of its fields.
    pub(crate) fn head<'a>(
        &'a self,
        facts: &'a Facts,
        headers: &'a mut HeaderMap,
    ) -> RequestHead<'a> {
        RequestHead {
            facts,
            method: &self.method,
            path: Cow::Borrowed(self.uri.path()),
            query: self.uri.query().map(Cow::Borrowed),
            headers,
            effects: Effects::default(),
        }
    }

    /// The request of one try. It is the last one if no other can come after.
    /// The endpoint gets `host` in place of the Host header, if there is one.
    pub(crate) fn request(
        &self,
        remote: &Remote,
        host: Option<HeaderValue>,
        body: Outgoing,
    ) -> Request<Outgoing> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(host) = host {
            request.headers_mut().insert(header::HOST, host);
        }
        *request.extensions_mut() = self.extensions.clone();
        if self.wants_trailers {
            ask_for_trailers(request.headers_mut(), remote.http);
        }
        if remote.http == Http::Http2 {
            authority::name(&mut request, remote);
        }
        request
    }
}

/// Tells an endpoint that the client takes trailers, since many servers send none
/// otherwise. In HTTP/1.1 `TE` counts for one hop, which `Connection` must say (RFC
/// 9110 section 10.1.4).
fn ask_for_trailers(headers: &mut HeaderMap, http: Http) {
    if http == Http::Http1 {
        if headers.contains_key(header::CONNECTION) {
            // After a switch of protocols there are no trailers.
            return;
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
}

/// Checks the head, finds the route, runs its steps, and plans the head of the
/// tries.
pub(crate) async fn plan(
    exchange: &mut Exchange,
    heading: Heading,
    request: Request<Incoming>,
) -> Result<Planned, Ended> {
    let (head, body) = request.into_parts();
    let mut headers = head.headers;
    let wants_trailers = hops::wants_trailers(&headers);
    clean(exchange, &heading, &head.method, &mut headers)?;
    take_body(exchange, &heading, body, &mut headers);

    let host_value = host_of(&headers, head.version, &heading.target)?;
    let host = match &host_value {
        Some(value) => Some(Host::parse(value.as_bytes()).map_err(|_| refusal_of(value))?),
        None => None,
    };
    let host_name = host.as_ref().map(Host::name);
    if head.method == Method::OPTIONS && heading.target == "*" {
        return Err(of_the_gateway());
    }
    let target =
        Target::parse(&heading.target).map_err(|error| Cause::MalformedTarget(detail(error)))?;
    let port = exchange.connection.scheme().port();
    if let (Some(authority), Some(host)) = (target.authority(), &host)
        && !authority.is_same(host, port)
    {
        return Err(Cause::MalformedHead.into());
    }
    if !exchange.connection.is_for(host_name.unwrap_or_default()) {
        return Err(Cause::Misdirected.into());
    }
    exchange.path = part_of(&heading.target, target.path().as_bytes());
    if let Some(value) = &host_value {
        exchange.host = value.clone();
    }
    believe(exchange, &mut headers, host.as_ref(), &target)?;
    tls::tell(exchange.connection.client_certificate(), &mut headers);
    let mut draft = Draft {
        path: Cow::Borrowed(target.forwarded_path()),
        query: target.query().map(Cow::Borrowed),
        headers,
    };
    let dispatched = dispatch::dispatch(exchange, host_name, &target, &mut draft).await;
    let frame = Frame {
        extensions: head.extensions,
        wants_trailers,
        target: heading.target.clone(),
    };
    if exchange.guards.iter().any(|guard| guard.saved.is_some()) {
        exchange.frame = Some(Box::new(frame.clone()));
    }
    dispatched?;
    translate(exchange, &mut draft.headers)?;
    Ok(planned(exchange, frame, draft)?)
}

/// Refuses what is refused on every route, and removes the headers of this hop.
fn clean(
    exchange: &mut Exchange,
    heading: &Heading,
    method: &Method,
    headers: &mut HeaderMap,
) -> Result<(), Cause> {
    check(exchange, heading, method, headers.len())?;
    let underscores = exchange.server.underscores.apply(headers);
    underscores.map_err(|_| Cause::HeaderName)?;
    let asked = Asked {
        method,
        version: exchange.version,
        has_body: heading.framing != Framing::Length(0),
        upgrades: &exchange.server.upgrades,
    };
    let cleaned = hops::clean_request(headers, asked);
    exchange.upgrade = cleaned.map_err(|_| Cause::MalformedConnection)?;
    Ok(())
}

/// Finds out who the client is and which scheme and host it used, from the headers of
/// a trusted proxy if there is one. Redirects to https if the listener wants that.
fn believe(
    exchange: &mut Exchange,
    headers: &mut HeaderMap,
    host: Option<&Host<'_>>,
    target: &Target<'_>,
) -> Result<(), Cause> {
    let (forwarded, connection) = (&exchange.server.forwarded, &exchange.connection);
    let told = forwarded.apply(headers, connection, host.zip(Some(&exchange.host)));
    exchange.client = told.client;
    exchange.scheme = told.scheme;
    if told.scheme == Scheme::Http
        && let Some(port) = exchange.connection.listener.redirect_to_https
    {
        let host = host.ok_or(Cause::MalformedHost)?;
        exchange.location = Some(redirect::location(host, port, target)?);
        return Err(Cause::HttpsElsewhere);
    }
    Ok(())
}

/// What every try sends, of a head that has passed the steps.
pub(crate) fn planned(
    exchange: &Exchange,
    frame: Frame,
    draft: Draft<'_>,
) -> Result<Planned, Cause> {
    let uri = uri(&frame.target, &draft.path, draft.query.as_deref())?;
    Ok(Planned {
        method: exchange.method.clone(),
        uri,
        headers: draft.headers,
        extensions: frame.extensions,
        wants_trailers: frame.wants_trailers || exchange.web.is_some(),
    })
}

/// Makes a call of gRPC-Web one of gRPC, where the route says so.
fn translate(exchange: &mut Exchange, headers: &mut HeaderMap) -> Result<(), Cause> {
    let mut passed = exchange.passed.iter();
    if !passed.any(|passed| passed.route.grpc_web) {
        return Ok(());
    }
    let Some((web, decoder)) = Web::begin(headers) else {
        return Ok(());
    };
    exchange.web = Some(web);
    if let (Some(decoder), Some(upload)) = (decoder, &mut exchange.upload) {
        let upload = Arc::get_mut(upload).ok_or(Cause::Internal)?;
        upload.decode(decoder);
    }
    Ok(())
}

/// Refuses what is refused on every route.
fn check(
    exchange: &Exchange,
    heading: &Heading,
    method: &Method,
    fields: usize,
) -> Result<(), Cause> {
    if let Some(fault) = heading.fault {
        return Err(fault);
    }
    let limits = &exchange.server.limits;
    if heading.line_bytes > limits.request_line_bytes {
        return Err(Cause::RequestLineTooLong);
    }
    if heading.bytes > limits.header_bytes {
        return Err(Cause::HeadTooLarge);
    }
    // The edge has counted the fields of an HTTP/1.1 request.
    if exchange.version == Version::HTTP_2 && fields > limits.header_count {
        return Err(Cause::HeadTooLarge);
    }
    if matches!(heading.framing, Framing::Length(bytes) if bytes > limits.body_bytes) {
        return Err(Cause::BodyTooLarge);
    }
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(Cause::MethodNotAllowed);
    }
    Ok(())
}

/// Takes the body, and says in the head how it is framed.
fn take_body(exchange: &mut Exchange, heading: &Heading, body: Incoming, headers: &mut HeaderMap) {
    let length = match heading.framing {
        Framing::Length(0) => return,
        Framing::Length(bytes) => Some(bytes),
        Framing::Chunked => {
            let chunked = HeaderValue::from_static("chunked");
            headers.insert(header::TRANSFER_ENCODING, chunked);
            None
        }
    };
    if heading.expects_continue {
        exchange.expects_continue = true;
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    }
    let rules = UploadRules {
        has_messages: exchange.grpc,
        ..exchange.server.upload_rules
    };
    exchange.upload = Some(Upload::new(
        body,
        length,
        exchange.version,
        rules,
        exchange.connection.clone(),
    ));
}

/// The answer to `OPTIONS *`, which asks about the server itself, here the gateway
/// (RFC 9110 section 9.3.7).
fn of_the_gateway() -> Ended {
    let mut answer = Answer {
        status: StatusCode::NO_CONTENT,
        ..Answer::default()
    };
    let methods = HeaderValue::from_static(METHODS);
    answer.headers.insert(header::ALLOW, methods);
    Ended::Answered(Box::new(answer))
}

/// The one Host of the request. A request of HTTP/1.0 may have none. A target that is a
/// URL takes precedence.
fn host_of(
    headers: &HeaderMap,
    version: Version,
    target: &[u8],
) -> Result<Option<HeaderValue>, Cause> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return match version {
            Version::HTTP_10 => Ok(authority_of(target)),
            _ => Err(Cause::MalformedHost),
        };
    };
    match hosts.next() {
        None => Ok(Some(host.clone())),
        Some(_) => Err(Cause::MalformedHead),
    }
}

/// The host and port of a target that is a URL.
fn authority_of(target: &[u8]) -> Option<HeaderValue> {
    let target = std::str::from_utf8(target).ok()?;
    let (_, rest) = target.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    HeaderValue::from_str(&rest[..end]).ok()
}

/// A Host with user information is an attack rather than a slip.
fn refusal_of(host: &HeaderValue) -> Cause {
    match host.as_bytes().contains(&b'@') {
        true => Cause::MalformedHead,
        false => Cause::MalformedHost,
    }
}

/// The target to forward. It shares the bytes that the client sent if nothing
/// was changed.
fn uri(sent: &Bytes, path: &str, query: Option<&str>) -> Result<Uri, Cause> {
    let target = changed_target(sent, path, query).map_or_else(|| sent.clone(), Bytes::from);
    let target = PathAndQuery::from_maybe_shared(target)
        .map_err(|_| Cause::MalformedTarget("the target has a character that must be encoded"))?;
    Ok(Uri::from(target))
}

/// The target to forward, unless it is the one that was sent.
fn changed_target(sent: &[u8], path: &str, query: Option<&str>) -> Option<String> {
    let is_same = match query {
        None => sent == path.as_bytes(),
        Some(query) => {
            sent.len() == path.len() + 1 + query.len()
                && sent.starts_with(path.as_bytes())
                && sent[path.len()] == b'?'
                && sent.ends_with(query.as_bytes())
        }
    };
    if is_same {
        return None;
    }
    let mut target = String::with_capacity(path.len() + 1 + query.map_or(0, str::len));
    target.push_str(path);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    Some(target)
}

/// Adds the headers that introduce the client, and sets the deadlines, once the first
/// route is known.
pub(crate) fn introduce(exchange: &mut Exchange, headers: &mut HeaderMap) -> Result<(), Cause> {
    headers.insert(&X_REQUEST_ID, exchange.request_id.value());
    if let Some(via) = &exchange.server.via {
        let marked = via.mark(headers, exchange.version);
        marked.map_err(|Loop| Cause::Loop)?;
    }
    let call_timeout = (exchange.grpc || grpc_web::is_call(headers))
        .then(|| grpc::timeout(headers))
        .flatten();
    set_deadlines(exchange, call_timeout);
    Ok(())
}

/// Sets the deadlines of the exchange by its route, which may be one that another route
/// has forwarded to. `call_timeout` is the client's own deadline in a gRPC call.
pub(crate) fn set_deadlines(exchange: &mut Exchange, call_timeout: Option<Duration>) {
    let Some(route) = &exchange.route else {
        return;
    };
    let timeouts = route.timeouts;
    let total = match (timeouts.total, call_timeout) {
        (Some(total), Some(call)) => Some(total.min(call)),
        (total, call) => total.or(call),
    };
    if let Some(selection) = route.target.selection() {
        let budget = selection.service().retry_budget();
        budget.pay_in(exchange.server.retry.budget_percent, exchange.began);
    }
    if let Some(total) = total
        && exchange.upgrade.is_none()
    {
        let due = exchange.began + total;
        exchange.total_due = Some(exchange.total_due.map_or(due, |before| before.min(due)));
        exchange.connection.cut_at(exchange.total_due);
    }
    if exchange.upload.is_none() {
        exchange.response_due = Some(exchange.began + timeouts.response);
    }
}

pub(crate) fn detail(error: pailou_routing::TargetError) -> &'static str {
    use pailou_routing::TargetError::*;
    match error {
        Form => "the request target is neither a path nor an absolute http URL",
        Authority => "the authority of the request target is not a host",
        Fragment => "the request target has a fragment",
        Control | EncodedControl => "the request target has a space or a control character",
        Backslash | EncodedBackslash => "the path has a backslash",
        EncodedSlash => "the path has an encoded slash",
        Percent | PercentU => "the path has a malformed escape",
        NotUtf8 => "the request target is not UTF-8",
        AboveRoot => "the path climbs above the root",
        DotParameters | OnlyParameters => "the path has a segment that servers read in two ways",
    }
}

/// `part` as a piece of `whole` if it lies in it, else as a copy.
fn part_of(whole: &Bytes, part: &[u8]) -> Bytes {
    let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if offset
        .checked_add(part.len())
        .is_some_and(|end| end <= whole.len())
    {
        whole.slice(offset..offset + part.len())
    } else {
        Bytes::copy_from_slice(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_written_only_when_it_changes() {
        let cases = [
            ("/a?b=1", "/a", Some("b=1"), None),
            ("/a", "/a", None, None),
            ("/a?", "/a", Some(""), None),
            ("/a/../b?x", "/b", Some("x"), Some("/b?x")),
            ("/api/a", "/a", None, Some("/a")),
            ("/api?/a", "/a", Some("/a"), Some("/a?/a")),
            ("http://host/a?b", "/a", Some("b"), Some("/a?b")),
        ];
        for (sent, path, query, expected) in cases {
            let changed = changed_target(sent.as_bytes(), path, query);
            assert_eq!(changed.as_deref(), expected, "{sent}");
        }
    }

    #[test]
    fn a_part_shares_the_bytes_it_lies_in() {
        let whole = Bytes::from_static(b"GET /a HTTP/1.1");
        let part = part_of(&whole, &whole[4..6]);
        assert_eq!(part, "/a");
        assert_eq!(part.as_ptr(), whole[4..].as_ptr());
        assert_eq!(part_of(&whole, b"elsewhere"), "elsewhere");
        assert_eq!(part_of(&whole, b""), "");
    }
}
