//! What is noted of a request while it is served, for the event at its end.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use pailou_telemetry::events::StreamKind;
use tokio::time::Instant;

use crate::grpc::Messages;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Responses that stay open for as long as there is something to tell.
const EVENT_STREAMS: [&str; 3] = [
    "text/event-stream",
    "application/stream+json",
    "multipart/x-mixed-replace",
];

/// The answer to one gRPC message comes whole. A call that stays open for longer than this counts as a stream.
const CALL: Duration = Duration::from_secs(1);

/// When things happened, and what the access log says of the client.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) said: Said,
    first_try: Option<Instant>,
    /// When the answer's head was made.
    answered: Option<Instant>,
    /// When an endpoint sent its last byte.
    upstream_ended: Option<Instant>,
    stream: Option<StreamKind>,
    /// Whether it is a gRPC call, whose answer has messages.
    is_call: bool,
    messages: Messages,
}

/// What a client says of itself; empty if no log wants it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    user_agent: Option<HeaderValue>,
    referrer: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
}

impl Said {
    pub(crate) fn of<B>(request: &Request<B>) -> Said {
        let headers = request.headers();
        Said {
            user_agent: headers.get(header::USER_AGENT).cloned(),
            referrer: headers.get(header::REFERER).cloned(),
            traceparent: only(headers, &TRACEPARENT).cloned(),
        }
    }

    pub(crate) fn user_agent(&self) -> Option<&[u8]> {
        self.user_agent.as_ref().map(HeaderValue::as_bytes)
    }

    pub(crate) fn referrer(&self) -> Option<&[u8]> {
        self.referrer.as_ref().map(HeaderValue::as_bytes)
    }

    pub(crate) fn trace_id(&self) -> Option<&str> {
        trace_id(self.traceparent.as_ref()?.to_str().ok()?)
    }
}

impl Account {
    pub(crate) fn new(is_call: bool, said: Said) -> Account {
        Account {
            said,
            first_try: None,
            answered: None,
            upstream_ended: None,
            stream: None,
            is_call,
            messages: Messages::default(),
        }
    }

    /// An endpoint is asked.
    pub(crate) fn tried(&mut self, at: Instant) {
        self.first_try.get_or_insert(at);
    }

    /// The head of an endpoint's answer goes out.
    pub(crate) fn answers(&mut self, headers: &HeaderMap) {
        self.answered = Some(Instant::now());
        if is_event_stream(headers) {
            self.stream = Some(StreamKind::EventStream);
        }
    }

    /// The gateway itself answers.
    pub(crate) fn answers_itself(&mut self) {
        self.answered = Some(Instant::now());
        self.upstream_ends();
    }

    /// The connection becomes a tunnel.
    pub(crate) fn switches(&mut self) {
        self.answered = Some(Instant::now());
        self.stream = Some(StreamKind::Tunnel);
    }

    /// The request is a gRPC call, or a gRPC-Web one.
    pub(crate) fn calls(&mut self) {
        self.is_call = true;
    }

    /// A piece of an endpoint's answer.
    pub(crate) fn passes(&mut self, piece: &[u8]) {
        if self.is_call {
            self.messages.pass(piece);
        }
    }

    /// No endpoint sends anything more.
    pub(crate) fn upstream_ends(&mut self) {
        if self.first_try.is_some() {
            self.upstream_ended.get_or_insert_with(Instant::now);
        }
    }

    /// From the request's beginning to the answer's head.
    pub(crate) fn first_byte(&self, began: Instant) -> Option<Duration> {
        self.answered.map(|at| at.saturating_duration_since(began))
    }

    /// From the first try to the last byte of an endpoint.
    pub(crate) fn upstream(&self, ended: Instant) -> Option<Duration> {
        let until = self.upstream_ended.unwrap_or(ended);
        self.first_try
            .map(|from| until.saturating_duration_since(from))
    }

    /// What stayed open, if anything did. `asked` is what the client sent, of a gRPC call.
    pub(crate) fn stream(&self, asked: Messages, ended: Instant) -> Option<StreamKind> {
        if !self.is_call {
            return self.stream;
        }
        let until = self.upstream_ended.unwrap_or(ended);
        let stays = self.answered.is_some_and(|at| until > at + CALL);
        let is_stream = stays || asked.are_many() || self.messages.are_many();
        is_stream.then_some(StreamKind::Grpc)
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let value = value.as_bytes();
    let name = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let name = name.trim_ascii();
    EVENT_STREAMS
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// The one value of a field; none if there are several.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// The trace that a `traceparent` names, if that is well-formed (W3C Trace Context, section 3.2).
fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (parent, flags) = (parts.next()?, parts.next()?);
    // Version 00 ends here. A later version may have more.
    let is_legal = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_id(trace, 32)
        && is_id(parent, 16)
        && is_hex(flags, 2);
    is_legal.then_some(trace)
}

/// All zeros name nothing.
fn is_id(text: &str, digits: usize) -> bool {
    is_hex(text, digits) && text.bytes().any(|byte| byte != b'0')
}

fn is_hex(text: &str, digits: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == digits && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_named_by_a_well_formed_parent() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        for (traceparent, is_good) in [
            (good.clone(), true),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-more"), true),
            (format!("{good}-more"), false),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (format!("00-{TRACE}-0000000000000000-01"), false),
            (
                format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
                false,
            ),
            (format!("00-{TRACE}-00f067aa0ba902b7"), false),
            (format!("00-{TRACE}-00f067aa0ba902b7-1"), false),
            (format!("0-{TRACE}-00f067aa0ba902b7-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", &TRACE[1..]), false),
            (String::new(), false),
            ("-".repeat(55), false),
        ] {
            assert_eq!(trace_id(&traceparent).is_some(), is_good, "{traceparent}");
        }
        assert_eq!(trace_id(&good), Some(TRACE));
    }

    #[test]
    fn two_parents_name_no_trace() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut request = Request::new(());
        let value = HeaderValue::from_static(parent);
        request.headers_mut().append(TRACEPARENT, value.clone());
        assert!(Said::of(&request).trace_id().is_some());
        request.headers_mut().append(TRACEPARENT, value);
        assert!(Said::of(&request).trace_id().is_none());
    }

    #[test]
    fn an_event_stream_is_known_by_its_type() {
        for (content_type, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/stream+json", true),
            ("multipart/x-mixed-replace;boundary=x", true),
            ("text/event-streams", false),
            ("application/json", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(content_type);
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
            assert_eq!(is_event_stream(&headers), expected, "{content_type}");
        }
    }

    #[test]
    fn times_are_those_of_the_tries_and_of_the_answer() {
        let began = Instant::now();
        let after = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut account = Account::new(false, Said::default());
        assert_eq!(account.first_byte(began), None);
        account.upstream_ends();
        assert_eq!(account.upstream(after(9)), None, "nobody was asked");
        account.tried(after(2));
        account.tried(after(5));
        assert_eq!(account.upstream(after(9)), Some(Duration::from_millis(7)));
        account.upstream_ended = Some(after(6));
        account.upstream_ends();
        assert_eq!(account.upstream(after(9)), Some(Duration::from_millis(4)));
    }

    #[test]
    fn a_grpc_call_is_a_stream_if_more_than_one_message_went_or_it_stayed_open() {
        let messages = |count: usize| {
            let mut messages = Messages::default();
            messages.pass(&[0, 0, 0, 0, 1, b'x'].repeat(count));
            messages
        };
        let now = Instant::now();
        for (asked, answered, open_for, is_stream) in [
            (1, 1, 0, false),
            (0, 0, 0, false),
            (2, 1, 0, true),
            (1, 2, 0, true),
            (1, 1, 5, true),
            (1, 0, 5, true),
        ] {
            let mut account = Account::new(true, Said::default());
            account.answered = Some(now);
            account.messages = messages(answered);
            let ended = now + Duration::from_secs(open_for);
            let stream = account.stream(messages(asked), ended);
            assert_eq!(stream.is_some(), is_stream, "{asked} {answered} {open_for}");
        }
        let account = Account::new(false, Said::default());
        assert_eq!(account.stream(messages(2), now), None, "no call");
    }
}
