//! The rules of the filter.

use std::sync::Mutex;

use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::registry::tests::{request_head, step};
use crate::{Change, Refusal};

/// Gives one answer and keeps the questions.
struct Oracle {
    answer: Result<Response<Bytes>, AskError>,
    asked: Mutex<Vec<Request<Bytes>>>,
}

impl Ask for Oracle {
    fn ask<'a>(
        &'a self,
        _destination: &'a Destination,
        request: Request<Bytes>,
        _max_bytes: usize,
    ) -> Waiting<'a, Result<Response<Bytes>, AskError>> {
        self.asked.lock().expect("no panic under it").push(request);
        let answer = self.answer.clone();
        Box::pin(async move { answer })
    }
}

impl Oracle {
    fn says(status: u16, body: &str) -> Oracle {
        let mut answer = Response::new(Bytes::from(body.to_owned()));
        *answer.status_mut() = status.try_into().expect("a status");
        Oracle {
            answer: Ok(answer),
            asked: Mutex::default(),
        }
    }

    fn questions(&self) -> usize {
        self.asked.lock().expect("no panic under it").len()
    }
}

fn gate(more: &str) -> Box<dyn Gate> {
    let yaml = format!(
        "{{ service: auth, path: /introspect, client_id: 'a b', client_secret: 'c:d', claims: {{ sub: x-user }}{more} }}"
    );
    match step("introspect", &yaml).expect(&yaml) {
        Step::Gate(gate) => gate,
        other => panic!("no gate: {other:?}"),
    }
}

/// What becomes of a request with a token; the refusal if it is refused, nothing if nobody could say.
async fn ask(gate: &dyn Gate, oracle: &Oracle, token: &str) -> Result<HeaderMap, Option<Refusal>> {
    let mut headers = HeaderMap::new();
    headers.insert("x-user", HeaderValue::from_static("forged"));
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a value");
    headers.insert(AUTHORIZATION, value);
    let mut head = request_head("/", &mut headers);
    let next = match gate.at_once(&mut head) {
        Some(next) => next,
        None => gate.request(&mut head, oracle).await.map_err(|_| None)?,
    };
    match next {
        Next::Continue => Ok(headers),
        Next::Refuse(refusal) => {
            let is_told = |change: &Change| matches!(change, Change::Set(name, _) if name == "www-authenticate");
            assert!(head.effects.response.iter().any(is_told));
            Err(Some(refusal))
        }
        Next::Answer(answer) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_good_token_is_asked_for_once() {
    let (gate, oracle) = (
        gate(""),
        Oracle::says(200, r#"{"active":true,"sub":"seven"}"#),
    );
    for _ in 0..3 {
        let headers = ask(&*gate, &oracle, "a+b/c").await.expect("it is good");
        assert_eq!(headers["x-user"], "seven");
    }
    let asked = oracle
        .asked
        .lock()
        .expect("no panic")
        .pop()
        .expect("a question");
    assert_eq!(
        (asked.method(), asked.uri().path()),
        (&Method::POST, "/introspect")
    );
    assert_eq!(
        &asked.body()[..],
        b"token=a%2Bb%2Fc&token_type_hint=access_token"
    );
    // `a%20b:c%3Ad`
    assert_eq!(asked.headers()["authorization"], "Basic YSUyMGI6YyUzQWQ=");
    assert_eq!(asked.headers()["host"], "auth");
    assert_eq!(oracle.questions(), 0, "it was the only one");
    assert!(!format!("{gate:?}").contains("c:d"), "{gate:?}");
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused() {
    let past = get_current_timestamp() - 1;
    for (body, refusal) in [
        (json!({ "active": false }), Refusal::TokenInvalid),
        (
            json!({ "active": true, "exp": past }),
            Refusal::TokenInvalid,
        ),
        (
            json!({ "active": true, "scope": "x" }),
            Refusal::ClaimMissing,
        ),
        (
            json!({ "active": true, "scope": "orders", "aud": "other" }),
            Refusal::TokenInvalid,
        ),
    ] {
        let more = match body["aud"].is_null() {
            true => ", require: { scope: orders }",
            false => ", audience: shop",
        };
        let (gate, oracle) = (gate(more), Oracle::says(200, &body.to_string()));
        for _ in 0..2 {
            let came = ask(&*gate, &oracle, "t").await;
            assert_eq!(came.err(), Some(Some(refusal)), "{body}");
        }
        assert_eq!(oracle.questions(), 1, "{body}");
    }
}

#[tokio::test]
async fn without_a_clear_word_it_stays_closed() {
    for (status, body) in [
        (500, ""),
        (401, r#"{"error":"invalid_client"}"#),
        (200, "yes"),
        (200, "{}"),
        (200, r#"{"active":"true"}"#),
    ] {
        let (gate, oracle) = (gate(""), Oracle::says(status, body));
        for _ in 0..2 {
            assert_eq!(
                ask(&*gate, &oracle, "t").await.err(),
                Some(None),
                "{status} {body}"
            );
        }
        assert_eq!(oracle.questions(), 2, "it is not known: {body}");
    }
}

#[tokio::test]
async fn with_a_cache_of_nothing_each_request_is_asked_for() {
    let (gate, oracle) = (gate(", cache: 0s"), Oracle::says(200, r#"{"active":true}"#));
    for _ in 0..2 {
        assert!(ask(&*gate, &oracle, "t").await.is_ok());
    }
    assert_eq!(oracle.questions(), 2);
}

#[test]
fn what_is_no_setting_is_refused() {
    for (yaml, problem) in [
        ("{}", "nobody to ask"),
        ("{ service: a, path: b }", "a path such as"),
        (
            "{ service: a, path: /b, client_secret: c }",
            "`client_id` is missing",
        ),
        (
            "{ service: a, path: /b, client_id: c }",
            "no secret, or two",
        ),
        (
            "{ service: a, path: /b, client_id: c, client_secret_file: d }",
            "`credentials.folder`",
        ),
        (
            "{ service: a, path: /b, client_id: c, client_secret: d, cache: 1h }",
            "1h",
        ),
    ] {
        let error = step("introspect", yaml).expect_err(yaml);
        assert!(error.contains(problem), "{yaml}: {error}");
    }
}
