//! The rules of the filter.

use http::HeaderMap;
use pailou_config::CredentialSettings;
use pailou_telemetry::Metrics;

use super::*;
use crate::registry::tests::{request_head, step, step_with};
use crate::{Shared, Sources};

/// `U*U` by bcrypt (crypt_blowfish's test vector), and `password` by Argon2id (the reference implementation's).
const USERS: &str = "# people\n\
    bob:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n\n\
    eve:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\n\
    old:$apr1$x$y\n";

struct World {
    sources: Sources,
    gate: Box<dyn Gate>,
}

impl World {
    fn new(yaml: &str) -> World {
        let metrics = Metrics::new();
        let settings = CredentialSettings {
            folder: Some("/users".into()),
            group: None,
        };
        let sources = Sources::new(&settings, "G", metrics.clone());
        let shared = Shared::new(metrics).following(sources.clone());
        let gate = match step_with("basic_auth", yaml, &shared).expect(yaml) {
            Step::Gate(gate) => gate,
            other => panic!("no gate: {other:?}"),
        };
        World { sources, gate }
    }

    fn bring(&self, text: &str) -> bool {
        self.sources.live()[0].take(text.as_bytes())
    }

    /// What becomes of a request: the refusal, if it is refused.
    async fn ask(&self, headers: &mut HeaderMap) -> Result<(), Option<Refusal>> {
        let mut head = request_head("/", headers);
        let next = match self.gate.at_once(&mut head) {
            Some(next) => next,
            None => match self.gate.request(&mut head, &Nobody).await {
                Ok(next) => next,
                Err(_) => return Err(None),
            },
        };
        match next {
            Next::Continue => Ok(()),
            Next::Refuse(refusal) => {
                assert!(head.effects.response.iter().any(|change| {
                    matches!(change, Change::Set(name, _) if *name == WWW_AUTHENTICATE)
                }));
                Err(Some(refusal))
            }
            Next::Answer(answer) => panic!("{answer:?}"),
        }
    }
}

struct Nobody;

impl Ask for Nobody {
    fn ask<'a>(
        &'a self,
        _destination: &'a pailou_upstream::Destination,
        _request: http::Request<bytes::Bytes>,
        _max_bytes: usize,
    ) -> Waiting<'a, Result<http::Response<bytes::Bytes>, AskError>> {
        Box::pin(async { Err(AskError::NoEndpoint) })
    }
}

fn basic(value: &str) -> HeaderMap {
    let value = HeaderValue::try_from(value).expect("a value");
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

#[tokio::test]
async fn a_user_gets_in_by_name_and_password() {
    let world = World::new("{ file: users, user_header: x-user }");
    assert!(world.bring(USERS));
    // bob:U*U, and eve:password, twice each: verified, and known.
    for (credentials, name) in [("Ym9iOlUqVQ==", "bob"), ("ZXZlOnBhc3N3b3Jk", "eve")] {
        for is_known in [false, true] {
            let mut headers = basic(&format!("BASIC {credentials}"));
            headers.insert("x_user", HeaderValue::from_static("forged"));
            let at_once = world
                .gate
                .at_once(&mut request_head("/", &mut headers.clone()));
            assert_eq!(at_once.is_some(), is_known, "{name}");
            assert_eq!(world.ask(&mut headers).await, Ok(()), "{name}");
            assert_eq!(headers["x-user"], name);
            assert_eq!(
                headers.len(),
                1,
                "neither the password nor a forged name: {headers:?}"
            );
        }
    }
}

#[tokio::test]
async fn anybody_else_is_refused() {
    let world = World::new("{ file: users }");
    assert!(world.bring(USERS));
    for (value, refusal) in [
        (None, Refusal::CredentialsMissing),
        (Some("Bearer x"), Refusal::CredentialsMissing),
        (Some("Basic"), Refusal::CredentialsMissing),
        (Some("Basic ?"), Refusal::CredentialsInvalid),
        // `bob`, `bob:`, `bob:x`, `old:x`, `nobody:U*U`, `:`
        (Some("Basic Ym9i"), Refusal::CredentialsInvalid),
        (Some("Basic Ym9iOg=="), Refusal::CredentialsInvalid),
        (Some("Basic Ym9iOng="), Refusal::CredentialsInvalid),
        (Some("Basic b2xkOng="), Refusal::CredentialsInvalid),
        (Some("Basic bm9ib2R5OlUqVQ=="), Refusal::CredentialsInvalid),
        (Some("Basic Og=="), Refusal::CredentialsInvalid),
    ] {
        let mut headers = value.map(basic).unwrap_or_default();
        assert_eq!(
            world.ask(&mut headers).await,
            Err(Some(refusal)),
            "{value:?}"
        );
    }
}

#[tokio::test]
async fn a_changed_password_counts_at_once() {
    let world = World::new("{ file: users, forward: true }");
    assert!(world.bring(USERS));
    let mut headers = basic("Basic Ym9iOlUqVQ==");
    assert_eq!(world.ask(&mut headers).await, Ok(()));
    assert!(headers.contains_key(AUTHORIZATION));
    // The hash of `U*U*` now.
    assert!(world.bring("bob:$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK\n"));
    let refused = Err(Some(Refusal::CredentialsInvalid));
    assert_eq!(world.ask(&mut basic("Basic Ym9iOlUqVQ==")).await, refused);
    assert_eq!(world.ask(&mut basic("Basic Ym9iOlUqVSo=")).await, Ok(()));
    // What cannot be read changes nothing.
    for bad in ["", "hunter2", "bob:{SHA}x", "a:$2a$05$x"] {
        assert!(!world.bring(bad), "{bad}");
    }
    assert_eq!(world.ask(&mut basic("Basic Ym9iOlUqVSo=")).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn without_users_nobody_gets_in() {
    let world = World::new("{ config: users }");
    assert_eq!(world.ask(&mut basic("Basic Ym9iOlUqVQ==")).await, Err(None));
}

#[test]
fn hashes_that_cost_too_much_are_passed_over() {
    for (hash, flaw) in [
        (
            "$2y$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "above 14",
        ),
        ("$2y$05$short", "not whole"),
        (
            "$argon2id$v=19$m=1048576,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "64 MiB",
        ),
        ("$apr1$x$y", "not served"),
        ("plain", "not served"),
    ] {
        let text = format!("{USERS}x:{hash}\n");
        let read = Users::read(text.as_bytes()).expect("the others are good");
        assert_eq!(read.entries, 2, "{hash}");
        assert!(
            read.notes.iter().any(|note| note.contains(flaw)),
            "{hash}: {:?}",
            read.notes
        );
    }
    let twice =
        format!("{USERS}bob:$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK\n");
    assert!(
        Users::read(twice.as_bytes())
            .err()
            .is_some_and(|error| error.contains("twice"))
    );
    assert_eq!(Users::read(b"# nobody\n").map(|read| read.entries), Ok(0));
}

#[test]
fn what_is_no_setting_is_refused() {
    for (yaml, problem) in [
        ("{}", "no place of users"),
        ("{ file: a, config: b }", "more than one"),
        ("{ file: a }", "`credentials.folder`"),
        ("{ config: a, realm: 'a\"b' }", "not a realm"),
        ("{ config: a, user_header: host }", "written by the gateway"),
    ] {
        let error = step("basic_auth", yaml).expect_err(yaml);
        assert!(error.contains(problem), "{yaml}: {error}");
    }
}
