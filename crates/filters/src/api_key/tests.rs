//! The rules of the filter.

use http::{HeaderMap, HeaderValue};

use super::*;
use crate::registry::tests::{request_head, step};

fn digest_of(key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn gate(more: &str) -> Box<dyn Gate> {
    let (a, b, c) = (
        digest_of("secret-a"),
        digest_of("secret-b"),
        digest_of("secret-c").to_uppercase(),
    );
    let yaml = format!(
        "{{ keys: {{ one: {a}, two: [ 'sha256:{b}', '{c}' ] }}, consumer_header: x-consumer{more} }}"
    );
    match step("api_key", &yaml).expect(&yaml) {
        Step::Gate(gate) => gate,
        other => panic!("not a gate: {other:?}"),
    }
}

fn sent(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn ask(gate: &dyn Gate, headers: &mut HeaderMap) -> Next {
    let next = gate.at_once(&mut request_head("/a", headers));
    next.expect("the keys are there")
}

#[test]
fn a_key_becomes_the_name_of_its_consumer() {
    let gate = gate("");
    for (key, name) in [
        ("secret-a", "one"),
        ("secret-b", "two"),
        ("secret-c", "two"),
    ] {
        let mut headers = sent(&[("x-consumer", "forged"), ("x_consumer", "forged")]);
        headers.insert("x-api-key", HeaderValue::from_static(key));
        let mut head = request_head("/a", &mut headers);
        assert!(
            matches!(gate.at_once(&mut head), Some(Next::Continue)),
            "{key}"
        );
        let identity = head.effects.identity.take().expect("an identity");
        assert_eq!(identity.subject.as_deref(), Some(name));
        assert_eq!(
            headers,
            sent(&[("x-consumer", name)]),
            "the key is not sent on"
        );
    }
}

#[test]
fn any_other_key_is_refused() {
    let gate = gate("");
    for (fields, refusal) in [
        (&[][..], Refusal::KeyMissing),
        (&[("x-api-key", "")], Refusal::KeyMissing),
        (&[("authorization", "Bearer secret-a")], Refusal::KeyMissing),
        (&[("x-api-key", "secret-d")], Refusal::KeyInvalid),
        (
            &[("x-api-key", "secret-a"), ("x-api-key", "secret-a")],
            Refusal::KeyInvalid,
        ),
    ] {
        let mut headers = sent(fields);
        let Next::Refuse(refused) = ask(&*gate, &mut headers) else {
            panic!("{fields:?} gets in");
        };
        assert_eq!(refused, refusal, "{fields:?}");
    }
    // Who reads the digests has no key.
    let digest = HeaderValue::try_from(digest_of("secret-a")).expect("a value");
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", digest);
    let next = ask(&*gate, &mut headers);
    assert!(
        matches!(next, Next::Refuse(Refusal::KeyInvalid)),
        "{next:?}"
    );
}

#[test]
fn keys_may_be_elsewhere_and_for_some_consumers_only() {
    let gate = gate(", from: [bearer, 'query:key'], consumers: [two], except: '/public/**'");
    let mut headers = sent(&[("authorization", "Bearer secret-b")]);
    assert!(matches!(ask(&*gate, &mut headers), Next::Continue));
    assert!(!headers.contains_key("authorization"));
    let mut headers = HeaderMap::new();
    let mut head = request_head("/a", &mut headers);
    head.query = Some("a=1&key=secret-b".into());
    assert!(matches!(gate.at_once(&mut head), Some(Next::Continue)));
    assert_eq!(head.query.as_deref(), Some("a=1"));
    let mut headers = sent(&[("authorization", "Bearer secret-a")]);
    let next = ask(&*gate, &mut headers);
    assert!(
        matches!(next, Next::Refuse(Refusal::ConsumerDenied)),
        "{next:?}"
    );
    let facts = crate::Facts {
        path: "/public/a".into(),
        ..crate::Facts::default()
    };
    let mut headers = sent(&[("x-consumer", "forged")]);
    let mut head = request_head("/public/a", &mut headers);
    head.facts = &facts;
    assert!(matches!(gate.at_once(&mut head), Some(Next::Continue)));
    assert!(headers.is_empty(), "{headers:?}");
}

#[test]
fn what_is_no_setting_is_refused() {
    let digest = digest_of("x");
    for (yaml, problem) in [
        ("{}".to_owned(), "no place of keys"),
        ("{ keys: { a: secret } }".to_owned(), "SHA-256"),
        (
            format!("{{ keys: {{ a: {digest}, b: {digest} }} }}"),
            "twice",
        ),
        (
            format!("{{ keys: {{ 'a b': {digest} }} }}"),
            "the name of a consumer",
        ),
        (
            format!("{{ keys: {{ a: {digest} }}, config: b }}"),
            "more than one",
        ),
        (
            format!("{{ keys: {{ a: {digest} }}, consumer_header: host }}"),
            "written by the gateway",
        ),
        ("{ file: keys.yaml }".to_owned(), "`credentials.folder`"),
    ] {
        let error = step("api_key", &yaml).expect_err(&yaml);
        assert!(error.contains(problem), "{yaml}: {error}");
    }
    for text in ["", "[]", "a: b", "a: [", "\u{0}"] {
        assert!(Consumers::read(text.as_bytes()).is_err(), "{text:?}");
    }
    assert_eq!(Consumers::read(b"{}").map(|read| read.entries), Ok(0));
}
