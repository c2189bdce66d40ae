//! From a request's head to its route and the head that every try sends.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Method, Version, header};
use pailou_filters::RequestHead;
use pailou_routing::{Host, Request, Target};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::cause::Cause;
use crate::connection::{Body, Shared, Wait};
use crate::edge::Edge;
use crate::exchange::Exchange;
use crate::heads::RequestFields;
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::server::Server;
use crate::{duplex, framing, hops, tries};

/// Checks the head, finds the route, plans the head of the tries and picks
/// the first endpoint.
///
/// The planned head takes the place of the client's in the session: pingora
/// copies it for each try, so that no edit happens twice.
pub(crate) fn plan(
    server: &Server,
    session: &mut Session,
    exchange: &mut Exchange,
) -> Result<(), Cause> {
    exchange.in_flight = Some(server.metrics.request_started());
    let connection = session
        .stream()
        .and_then(|stream| Edge::connection_of(&**stream))
        .cloned()
        .ok_or(Cause::Internal)?;
    // From here on answers may be written.
    connection.begin_exchange(Body::Length(0));
    exchange.connection = Some(connection.clone());
    exchange.client = Some(connection.peer.address);

    let raw = session
        .as_http1()
        .ok_or(Cause::Internal)?
        .get_headers_raw_bytes();
    let head = session.req_header_mut();
    exchange.request_id = Some(RequestId::of(head.headers.get(X_REQUEST_ID)));

    let line = framing::request_line(&raw);
    check_sizes(server, head, &raw, line)?;
    let body = framing::framing(head, &raw)?;
    connection.begin_exchange(body);
    exchange.has_body = body != Body::Length(0);
    if matches!(body, Body::Length(bytes) if bytes > server.limits.body_bytes) {
        return Err(Cause::BodyTooLarge);
    }
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Cause::MethodNotAllowed);
    }
    exchange.websocket = hops::clean_request(head).map_err(|_| Cause::MalformedConnection)?;
    exchange.duplex = exchange.websocket
        || match body {
            Body::Length(bytes) => bytes > duplex::FROM_BYTES,
            Body::Chunked => true,
        };

    let host_value = head
        .headers
        .get(header::HOST)
        .cloned()
        .ok_or(Cause::MalformedHost)?;
    let host = Host::parse(host_value.as_bytes()).map_err(|_| Cause::MalformedHost)?;
    let sent = framing::target(line);
    let target = Target::parse(sent).map_err(|error| Cause::MalformedTarget(detail(error)))?;
    if target
        .authority()
        .is_some_and(|authority| !authority.is_same(&host, 80))
    {
        return Err(Cause::MalformedHost);
    }
    exchange.path = part_of(&raw, target.path().as_bytes());
    exchange.client = Some(server.forwarded.apply(
        head,
        &connection.peer,
        &host,
        host_value.clone(),
    ));

    let request = Request {
        method: &head.method,
        host: Some(host.name()),
        target: &target,
        headers: &head.headers,
    };
    let table = server.table.load();
    let found = table.find(&request).cloned().ok_or(match table.revision() {
        // A client that waited while the gateway started, and stopped.
        0 => Cause::NoTable,
        _ => Cause::NoRoute,
    });
    drop(table);
    let id = exchange.id().value();
    let route = exchange.route.insert(found?);

    // It fails only beyond 32,768 fields; there are at most 256.
    let _ = head.insert_header("X-Request-Id", id);
    let mut fields = RequestFields(head);
    let mut planned = RequestHead {
        path: Cow::Borrowed(target.forwarded_path()),
        headers: &mut fields,
    };
    route.chain.request(&mut planned);
    if let Some(changed) = changed_target(sent, &planned.path, target.query()) {
        head.set_raw_path(changed.as_bytes())
            .map_err(|_| Cause::Internal)?;
    }

    if head.version == Version::HTTP_10 {
        // Such a client knows no status below 200 (RFC 9110 section 15.2).
        head.remove_header(&header::EXPECT);
        session.as_downstream_mut().set_ignore_info_resp(true);
    }
    let timeouts = route.timeouts;
    let budget = route.selection.service().retry_budget();
    budget.pay_in(server.retry.budget_percent);
    set_deadlines(&connection, exchange, &timeouts);
    tries::pick(exchange)
}

fn check_sizes(
    server: &Server,
    head: &RequestHeader,
    raw: &[u8],
    line: &[u8],
) -> Result<(), Cause> {
    let limits = &server.limits;
    if line.len() > limits.request_line_bytes {
        return Err(Cause::RequestLineTooLong);
    }
    if raw.len() > limits.header_bytes || head.headers.len() > limits.header_count {
        return Err(Cause::HeadTooLarge);
    }
    Ok(())
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

fn set_deadlines(
    connection: &Shared,
    exchange: &mut Exchange,
    timeouts: &pailou_routing::Timeouts,
) {
    if let Some(total) = timeouts.total
        && !exchange.websocket
    {
        connection.end_exchange_by(exchange.began + total);
        connection.expect_nothing();
    }
    if !exchange.has_body {
        let due = exchange.began + timeouts.response;
        exchange.response_due = Some(due);
        connection.expect(Wait::Response, due);
    }
}

fn detail(error: pailou_routing::TargetError) -> &'static str {
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
