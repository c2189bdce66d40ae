use http::{HeaderValue, Method};

use super::*;
use crate::registry::tests::{request_head, steps};
use crate::scg::testing::headers;

const SETTINGS: &str = "{ '/**': { allowedOrigins: 'https://ok.test', allowedMethods: [GET, POST], allowedHeaders: '*', exposedHeaders: [X-E], allowCredentials: true, maxAge: 3600 } }";

/// The answer of the step, if it answers, and what the response becomes when the
/// service says something of its own.
fn asked(
    settings: &str,
    method: Method,
    path: &'static str,
    fields: &[(&'static str, &str)],
) -> (Option<u16>, HeaderMap) {
    let (steps, _) = steps("Cors", settings, &[]).expect(settings);
    let [Step::Rule(Rule::Preflights), Step::Edit(cors)] = &steps[..] else {
        panic!("{steps:?}");
    };
    let facts = Facts {
        host: HeaderValue::from_static("api.test"),
        path: path.into(),
        ..Facts::default()
    };
    let mut sent = headers(fields);
    let mut head = RequestHead {
        facts: &facts,
        method: &method,
        ..request_head(path, &mut sent)
    };
    let next = cors.request(&mut head);
    let mut after = headers(&[("access-control-allow-origin", "*"), ("vary", "Accept")]);
    for change in &head.effects.response {
        change.apply(&mut after);
    }
    match next {
        Next::Answer(answer) => (Some(answer.status.as_u16()), after),
        Next::Continue => (None, after),
        Next::Refuse(refusal) => panic!("{refusal:?}"),
    }
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .map(|value| value.to_str().expect("ASCII").to_owned())
        .collect()
}

const GOOD: (&str, &str) = ("origin", "https://ok.test");

#[test]
fn a_preflight_is_answered() {
    let asks = [
        GOOD,
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "X-A, x-b"),
    ];
    let (status, after) = asked(SETTINGS, Method::OPTIONS, "/c", &asks);
    assert_eq!(status, Some(200));
    for (name, value) in [
        ("access-control-allow-origin", "https://ok.test"),
        ("access-control-allow-methods", "GET,POST"),
        ("access-control-allow-headers", "X-A, x-b"),
        ("access-control-expose-headers", "X-E"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "3600"),
    ] {
        assert_eq!(all(&after, name), [value], "{name}");
    }
    let varies = [
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Accept",
    ];
    assert_eq!(all(&after, "vary"), varies);
}

#[test]
fn what_is_not_allowed_is_403() {
    let method = |method| ("access-control-request-method", method);
    let narrow = "{ '/**': { allowedOrigins: 'https://ok.test', allowedHeaders: [X-A] } }";
    let x_b = ("access-control-request-headers", "X-B");
    for (settings, asks, method) in [
        (
            SETTINGS,
            &[("origin", "https://evil.test"), method("GET")][..],
            Method::OPTIONS,
        ),
        (SETTINGS, &[GOOD, method("DELETE")], Method::OPTIONS),
        (
            SETTINGS,
            &[("origin", "null"), method("GET")],
            Method::OPTIONS,
        ),
        (SETTINGS, &[GOOD], Method::OPTIONS),
        (SETTINGS, &[("origin", "https://evil.test")], Method::GET),
        (
            SETTINGS,
            &[("origin", "http://127.0.0.1:{PORT}")],
            Method::GET,
        ),
        (narrow, &[GOOD, method("GET"), x_b], Method::OPTIONS),
    ] {
        let (status, after) = asked(settings, method, "/c", asks);
        assert_eq!(status, Some(403), "{asks:?}");
        assert_eq!(after.get_all("vary").iter().count(), 4);
    }
}

#[test]
fn an_answer_says_whom_it_is_for_and_the_services_word_goes() {
    let (status, after) = asked(SETTINGS, Method::GET, "/c", &[GOOD]);
    assert_eq!(status, None);
    assert_eq!(
        all(&after, "access-control-allow-origin"),
        ["https://ok.test"]
    );
    assert_eq!(all(&after, "access-control-allow-credentials"), ["true"]);
    assert!(!after.contains_key("access-control-allow-methods"));
    assert!(!after.contains_key("access-control-max-age"));
}

#[test]
fn who_is_no_stranger_is_not_judged() {
    for fields in [
        &[][..],
        &[("origin", "http://api.test")],
        &[("origin", "http://API.test:80")],
    ] {
        let (status, after) = asked(SETTINGS, Method::DELETE, "/c", fields);
        assert_eq!(status, None, "{fields:?}");
        assert_eq!(
            all(&after, "access-control-allow-origin"),
            ["*"],
            "the service's own"
        );
        assert_eq!(after.get_all("vary").iter().count(), 4);
    }
    let other = [("origin", "https://api.test")];
    assert_eq!(asked(SETTINGS, Method::GET, "/c", &other).0, Some(403));
}

#[test]
fn the_first_pattern_that_takes_the_path_counts() {
    let settings = "{ '/a/**': { allowedOrigins: '*' }, '/b': { allowedOriginPatterns: ['https://*.test'], allowedMethods: '*', allowCredentials: true } }";
    let (_, after) = asked(settings, Method::GET, "/a/x", &[GOOD]);
    assert_eq!(all(&after, "access-control-allow-origin"), ["*"]);
    assert!(!after.contains_key("access-control-allow-credentials"));
    let preflight = [GOOD, ("access-control-request-method", "PURGE")];
    let (status, after) = asked(settings, Method::OPTIONS, "/b", &preflight);
    assert_eq!(status, Some(200));
    assert_eq!(all(&after, "access-control-allow-methods"), ["PURGE"]);
    assert_eq!(
        all(&after, "access-control-allow-origin"),
        ["https://ok.test"]
    );
    let (status, after) = asked(settings, Method::OPTIONS, "/c", &preflight);
    assert_eq!(
        (status, all(&after, "vary")),
        (None, vec!["Accept".to_owned()])
    );
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    for (settings, problem) in [
        (
            "{ '/**': { allowedOrigins: '*', allowCredentials: true } }",
            "allowedOriginPatterns",
        ),
        ("{ '/{x:1}': { allowedOrigins: '*' } }", "is not a pattern"),
        (
            "{ '/**': { allowedOrigins: '*', allowPrivateNetwork: true } }",
            "not served",
        ),
        (
            "{ '/**': { allowedOrigins: '*', maxAge: soon } }",
            "a duration",
        ),
    ] {
        let error = steps("Cors", settings, &[]).expect_err(settings);
        assert!(error.contains(problem), "{settings}: {error}");
    }
    let (_, warnings) = steps("Cors", "{ '/**': { allowedOrigin: '*' } }", &[]).expect("legal");
    assert!(warnings.contains("allowedOrigin"), "{warnings}");
}
