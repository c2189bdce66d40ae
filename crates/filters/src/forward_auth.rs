//! Asks a service whether a request may go on.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use pailou_config::{Field, TargetSpec};
use pailou_upstream::Destination;

use crate::{
    Answer, Ask, AskError, Gate, Next, RequestHead, Waiting,
    header::{self, Way},
    registry::{Destinations, Entry},
};

pub(crate) const ENTRY: Entry = Entry::gate(
    "forward_auth",
    "{ service: auth-service, path: /check, request_headers: [authorization, cookie], copy_headers: [x-user], timeout: 2s, fail_open: false }",
    "Asks the service, or `to: http://host:port`, with the request's head; 2xx lets it go on with `copy_headers` of the answer, anything else is the client's answer.",
    compile,
);

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60);

/// The most bytes of an answer. A refusal is at most a page.
const MAX_ANSWER_BYTES: usize = 256 << 10;

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// What nginx's `auth_request` and Traefik's `ForwardAuth` do: a GET with the
/// request's head and without its body. `x-forwarded-method` and
/// `x-forwarded-uri` say what was asked for.
///
/// The headers that are copied from the answer are taken from every request
/// first, with `_` for `-` too, so that a client cannot send them itself. No answer in time, no
/// endpoint, an answer that is no HTTP, or 5xx: the request is refused, unless
/// `fail_open` says that it goes on unchecked, which is counted.
///
/// Cost: a copy of the header map and one request.
#[derive(Debug)]
struct ForwardAuth {
    destination: Destination,
    path: Uri,
    timeout: Duration,
    /// Which of the request's headers are shown; all of them if empty.
    request_headers: Vec<HeaderName>,
    copy_headers: Vec<HeaderName>,
    fails_open: bool,
}

fn compile(field: &Field<'_>, destinations: &dyn Destinations) -> Option<Box<dyn Gate>> {
    let mut fields = field.mapping()?;
    let target = TargetSpec::read(&mut fields);
    if target.is_none() {
        field.fault_expected(
            "nobody to ask",
            "`service: NAME`, or `to: http://HOST:PORT`",
        );
    }
    let destination = target
        .flatten()
        .and_then(|target| destinations.destination(&target, field));
    let path = match fields.optional("path") {
        Some(path) => path_of(&path),
        None => Some(Uri::from_static("/")),
    };
    let request_headers = match fields.optional("request_headers") {
        Some(names) => shown(&names),
        None => Some(Vec::new()),
    };
    let copy_headers = match fields.optional("copy_headers") {
        Some(names) => header::names(&names, Way::Request),
        None => Some(Vec::new()),
    };
    let timeout = match fields.optional("timeout") {
        Some(timeout) => timeout.duration(TIMEOUTS),
        None => Some(DEFAULT_TIMEOUT),
    };
    let fails_open = match fields.optional("fail_open") {
        Some(fail_open) => fail_open.boolean(),
        None => Some(false),
    };
    fields.finish();
    Some(Box::new(ForwardAuth {
        destination: destination?,
        path: path?,
        timeout: timeout?,
        request_headers: request_headers?,
        copy_headers: copy_headers?,
        fails_open: fails_open?,
    }))
}

fn path_of(field: &Field<'_>) -> Option<Uri> {
    let text = field.string()?;
    let target = text.starts_with('/').then(|| PathAndQuery::try_from(text));
    if let Some(Ok(target)) = target {
        return Some(Uri::from(target));
    }
    field.fault_expected("not a path", "a path such as `/check`");
    None
}

/// Names of headers that are only shown, the gateway's own among them.
fn shown(field: &Field<'_>) -> Option<Vec<HeaderName>> {
    field.each(|item| {
        let name = HeaderName::try_from(item.string()?).ok();
        if name.as_ref().is_none_or(header::is_of_the_connection) {
            item.fault_expected(
                "not a header that can be shown",
                "a name that does not belong to the connection",
            );
            return None;
        }
        name
    })
}

impl ForwardAuth {
    fn question(&self, head: &RequestHead<'_>) -> Request<Bytes> {
        let mut question = Request::new(Bytes::new());
        *question.uri_mut() = self.path.clone();
        *question.headers_mut() = self.shown(head.headers);
        let fields = question.headers_mut();
        if let Ok(target) = HeaderValue::from_str(&head.target()) {
            fields.insert(URI, target);
        }
        if let Ok(method) = HeaderValue::from_str(head.method.as_str()) {
            fields.insert(METHOD, method);
        }
        question
    }

    fn shown(&self, headers: &HeaderMap) -> HeaderMap {
        if self.request_headers.is_empty() {
            let mut shown = headers.clone();
            header::drop_of_the_connection(&mut shown);
            return shown;
        }
        let mut shown = HeaderMap::new();
        // The headers about the client and the request are always sent.
        const ALWAYS: [&str; 5] = [
            "host",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-request-id",
        ];
        let always = ALWAYS.map(HeaderName::from_static);
        for name in always.iter().chain(&self.request_headers) {
            if shown.contains_key(name) {
                continue;
            }
            for value in headers.get_all(name) {
                shown.append(name, value.clone());
            }
        }
        shown
    }

    fn judge(&self, head: &mut RequestHead<'_>, answer: Response<Bytes>) -> Result<Next, AskError> {
        let (said, body) = answer.into_parts();
        if said.status.is_server_error() || said.status.is_informational() {
            return Err(AskError::Broken);
        }
        if said.status.is_success() {
            for name in &self.copy_headers {
                for value in said.headers.get_all(name) {
                    head.headers.append(name, value.clone());
                }
            }
            return Ok(Next::Continue);
        }
        let mut headers = said.headers;
        header::drop_of_the_connection(&mut headers);
        Ok(Next::Answer(Box::new(Answer {
            status: said.status,
            headers,
            body,
        })))
    }
}

impl Gate for ForwardAuth {
    fn request<'a>(
        &'a self,
        head: &'a mut RequestHead<'_>,
        ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>> {
        header::drop_in_any_spelling(head.headers, &self.copy_headers);
        let question = self.question(head);
        Box::pin(async move {
            let answer = ask
                .ask(&self.destination, question, MAX_ANSWER_BYTES)
                .await?;
            self.judge(head, answer)
        })
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn destinations(&self) -> Vec<&Destination> {
        vec![&self.destination]
    }

    fn purpose(&self) -> String {
        format!("asks {}", self.destination.selection.service().id())
    }

    fn fails_open(&self) -> bool {
        self.fails_open
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::Method;

    use super::*;
    use crate::Step;
    use crate::registry::tests::{request_head, step};

    /// Gives one answer and keeps the question.
    struct Oracle {
        answer: Result<Response<Bytes>, AskError>,
        asked: Mutex<Option<Request<Bytes>>>,
    }

    impl Ask for Oracle {
        fn ask<'a>(
            &'a self,
            _destination: &'a Destination,
            request: Request<Bytes>,
            _max_bytes: usize,
        ) -> Waiting<'a, Result<Response<Bytes>, AskError>> {
            *self.asked.lock().expect("no panic under it") = Some(request);
            let answer = self.answer.clone();
            Box::pin(async move { answer })
        }
    }

    fn oracle(answer: Result<Response<Bytes>, AskError>) -> Oracle {
        Oracle {
            answer,
            asked: Mutex::default(),
        }
    }

    fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::from("words"));
        *answer.status_mut() = status.try_into().expect("a status");
        for (name, value) in fields {
            let value = HeaderValue::from_static(value);
            answer.headers_mut().append(*name, value);
        }
        answer
    }

    fn gate(args: &str) -> Box<dyn Gate> {
        match step("forward_auth", args).expect(args) {
            Step::Gate(gate) => gate,
            other => panic!("not a gate: {other:?}"),
        }
    }

    fn sent() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "shop.example"),
            ("cookie", "s=1"),
            ("content-length", "5"),
            ("x-user", "forged"),
            ("x-secret", "1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[tokio::test]
    async fn yes_lets_the_request_go_on_with_what_was_copied() {
        let gate = gate("{ service: auth, copy_headers: [X-User, x-role] }");
        let yes = oracle(Ok(answer(204, &[("x-user", "7"), ("x-other", "1")])));
        let mut headers = sent();
        let mut head = request_head("/a", &mut headers);
        head.query = Some("b=c".into());
        let next = gate.request(&mut head, &yes).await.expect("an answer");
        assert!(matches!(next, Next::Continue));
        assert_eq!(headers["x-user"], "7", "what the client sent is gone");
        assert!(!headers.contains_key("x-other"));
        let asked = yes.asked.lock().expect("no panic").take().expect("asked");
        assert_eq!((asked.method(), asked.uri().path()), (&Method::GET, "/"));
        assert_eq!(asked.headers()["x-forwarded-uri"], "/a?b=c");
        assert_eq!(asked.headers()["x-forwarded-method"], "GET");
        assert_eq!(asked.headers()["cookie"], "s=1");
        assert!(!asked.headers().contains_key("content-length"));
        assert!(!asked.headers().contains_key("x-user"), "it is forged");
    }

    /// Behind WSGI `X_User` and `X-User` are one variable.
    #[tokio::test]
    async fn what_is_copied_is_taken_from_the_client_in_any_spelling() {
        let gate = gate("{ service: auth, copy_headers: [X-User-Id, x_role] }");
        let yes = oracle(Ok(answer(204, &[("x-user-id", "7")])));
        let mut headers = HeaderMap::new();
        for name in [
            "X-User-Id",
            "X_User_Id",
            "x-user_id",
            "X-ROLE",
            "X_Role",
            "x-user-idx",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(&name, HeaderValue::from_static("forged"));
            headers.append(&name, HeaderValue::from_static("twice"));
        }
        let next = gate
            .request(&mut request_head("/", &mut headers), &yes)
            .await;
        assert!(matches!(next, Ok(Next::Continue)));
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-user-idx", "x-user-id"]);
        assert_eq!(headers.get_all("x-user-id").iter().count(), 1);
        assert_eq!(headers["x-user-id"], "7");
    }

    #[tokio::test]
    async fn no_is_the_clients_answer() {
        let gate = gate("{ service: auth, path: '/check?x' }");
        let fields = [
            ("location", "/login"),
            ("connection", "close"),
            ("content-length", "5"),
        ];
        let no = oracle(Ok(answer(302, &fields)));
        let mut headers = sent();
        let next = gate
            .request(&mut request_head("/a", &mut headers), &no)
            .await;
        let Ok(Next::Answer(answer)) = next else {
            panic!("refused: {next:?}");
        };
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (302, &b"words"[..])
        );
        assert_eq!(answer.headers.keys().collect::<Vec<_>>(), ["location"]);
        let asked = no.asked.lock().expect("no panic").take().expect("asked");
        assert_eq!(asked.uri(), "/check?x");
    }

    #[tokio::test]
    async fn only_the_listed_headers_are_shown() {
        let gate = gate("{ service: auth, request_headers: [cookie] }");
        let yes = oracle(Ok(answer(200, &[])));
        let mut headers = sent();
        let next = gate
            .request(&mut request_head("/", &mut headers), &yes)
            .await;
        assert!(matches!(next, Ok(Next::Continue)));
        let asked = yes.asked.lock().expect("no panic").take().expect("asked");
        let mut shown: Vec<&str> = asked.headers().keys().map(HeaderName::as_str).collect();
        shown.sort_unstable();
        let expected = ["cookie", "host", "x-forwarded-method", "x-forwarded-uri"];
        assert_eq!(shown, expected);
    }

    #[tokio::test]
    async fn without_a_clear_word_it_stays_closed() {
        let gate = gate("{ service: auth, copy_headers: x-user }");
        for answer in [
            Err(AskError::Refused),
            Err(AskError::NoEndpoint),
            Ok(answer(500, &[])),
            Ok(answer(503, &[])),
        ] {
            let mut headers = sent();
            let next = gate
                .request(&mut request_head("/", &mut headers), &oracle(answer))
                .await;
            assert!(next.is_err(), "{next:?}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (args, problem) in [
            ("{}", "nobody to ask"),
            ("{ service: '' }", "the name of a service"),
            ("{ service: a, path: check }", "not a path"),
            ("{ service: a, timeout: 5m }", "5m"),
            (
                "{ service: a, copy_headers: [host] }",
                "written by the gateway",
            ),
            ("{ service: a, request_headers: [connection] }", "be shown"),
            ("{ service: a, url: b }", "unknown key"),
        ] {
            let error = step("forward_auth", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
