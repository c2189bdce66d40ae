//! The rules of the filter.

use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use pailou_config::{CredentialSettings, Fault, Node, PartSpec, Report};
use pailou_telemetry::Metrics;
use pailou_upstream::{EjectionSettings, Services};
use serde_json::{Value, json};

use super::testing::{Signer, base64url, jwks, now};
use crate::registry::tests::{Unlisted, request_head};
use crate::{Change, Facts, Gate, Next, Refusal, Scope, Shared, Sources, Step, compile};

/// Filters that are compiled with sources of their own.
struct World {
    shared: Shared,
    sources: Sources,
    metrics: Metrics,
}

impl World {
    fn new() -> World {
        let metrics = Metrics::new();
        let settings = CredentialSettings {
            folder: Some("/keys".into()),
            group: None,
        };
        let sources = Sources::new(&settings, "G", metrics.clone());
        World {
            shared: Shared::new(metrics.clone()).following(sources.clone()),
            sources,
            metrics,
        }
    }

    fn compile(&self, yaml: &str) -> Result<(Box<dyn Gate>, String), String> {
        let report = Report::new("test");
        let args = Node::parse_yaml(yaml, &report).expect("YAML");
        let part = PartSpec {
            name: "jwt".to_owned(),
            at: args.at,
            args,
            path: "jwt".to_owned(),
        };
        let services = Services::new(EjectionSettings::default(), self.metrics.clone());
        let scope = Scope {
            route: &Arc::from("test"),
            service: None,
            names: None,
            destinations: &Unlisted(services),
            shared: &self.shared,
        };
        let steps = compile(&part, &report, &scope);
        let is_refused = report.has_errors();
        let faults: Vec<_> = report.into_faults().iter().map(Fault::to_string).collect();
        if is_refused {
            return Err(faults.join("\n"));
        }
        match steps.expect("steps").remove(0) {
            Step::Gate(gate) => Ok((gate, faults.join("\n"))),
            other => panic!("no gate: {other:?}"),
        }
    }

    fn gate(&self, yaml: &str) -> Box<dyn Gate> {
        self.compile(yaml).expect(yaml).0
    }

    /// Brings a text to the only source.
    fn bring(&self, text: &str) {
        let sources = self.sources.live();
        assert_eq!(sources.len(), 1);
        sources[0].take(text.as_bytes());
    }
}

/// What became of a request.
#[derive(Debug, PartialEq)]
enum Came {
    In,
    /// Refused, with what the challenge says.
    Out(Refusal, String),
    /// Somebody has to be waited for.
    Waits,
}

fn ask(gate: &dyn Gate, headers: &mut HeaderMap) -> Came {
    ask_for(gate, "/", headers)
}

fn ask_for(gate: &dyn Gate, path: &str, headers: &mut HeaderMap) -> Came {
    let facts = Facts {
        path: path.to_owned().into(),
        ..Facts::default()
    };
    let mut head = request_head(path, headers);
    head.facts = &facts;
    match gate.at_once(&mut head) {
        None => Came::Waits,
        Some(Next::Continue) => Came::In,
        Some(Next::Answer(answer)) => panic!("{answer:?}"),
        Some(Next::Refuse(refusal)) => {
            let mut changed = HeaderMap::new();
            let changes: &[Change] = &head.effects.response;
            changes.iter().for_each(|change| change.apply(&mut changed));
            let challenge = changed[WWW_AUTHENTICATE].to_str().expect("ASCII");
            Came::Out(refusal, challenge.to_owned())
        }
    }
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a value");
    HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
}

fn claims() -> Value {
    json!({ "iss": "me", "aud": ["shop", "x"], "sub": "seven", "exp": now() + 60 })
}

fn invalid(why: &str) -> Came {
    let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{why}\"");
    Came::Out(Refusal::TokenInvalid, challenge)
}

const FILE: &str = "{ issuer: me, audience: shop, keys: { file: keys.json } }";

#[test]
fn a_token_of_each_kind_of_key_is_taken() {
    for signer in [
        Signer::es256(),
        Signer::ed25519(),
        Signer::rs256(),
        Signer::ps256(),
        Signer::Hs256(vec![7; 32]),
    ] {
        let (world, kind) = (World::new(), signer.algorithm());
        let gate = world.gate(FILE);
        world.bring(&jwks(&[signer.jwk("a"), Signer::es256().jwk("b")]));
        let token = signer.token("a", &claims());
        assert_eq!(ask(&*gate, &mut bearer(&token)), Came::In, "{kind}");
        assert_eq!(ask(&*gate, &mut bearer(&token)), Came::In, "{kind} again");
        let other = signer.token("b", &claims());
        assert_ne!(
            ask(&*gate, &mut bearer(&other)),
            Came::In,
            "{kind} by another key"
        );
        let without = signer.raw(&json!({ "alg": kind }), &claims());
        assert_eq!(
            ask(&*gate, &mut bearer(&without)),
            Came::In,
            "{kind} without a key id"
        );
        let (mut broken, at) = (token.clone(), token.len() - 10);
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        broken.replace_range(at..=at, other);
        assert_ne!(
            ask(&*gate, &mut bearer(&broken)),
            Came::In,
            "{kind} with a broken signature"
        );
    }
}

#[test]
fn pem_and_secrets_stand_in_the_document_or_in_a_file() {
    let world = World::new();
    let secret = "0123456789abcdef0123456789abcdef";
    let token = Signer::Hs256(secret.into()).token("a", &json!({ "exp": now() + 60 }));
    let gate = world.gate(&format!("{{ keys: {{ secret: {secret} }} }}"));
    assert_eq!(ask(&*gate, &mut bearer(&token)), Came::In);
    assert!(!format!("{gate:?}").contains(secret), "{gate:?}");
    let (_, warnings) = world.compile("{ keys: { secret: short } }").expect("legal");
    assert!(warnings.contains("32 bytes"), "{warnings}");
    let gate = world.gate("{ keys: { secret_file: secret.txt } }");
    world.bring(&format!("{secret}\n"));
    assert_eq!(ask(&*gate, &mut bearer(&token)), Came::In);
    let error = world.compile("{ keys: { pem: '-----BEGIN PRIVATE KEY-----' } }");
    assert!(error.expect_err("private").contains("public one"));
}

/// RFC 8725 section 2.1: a public key is no secret, and `none` is no algorithm.
#[test]
fn the_keys_type_decides_about_the_algorithm() {
    let (world, signer) = (World::new(), Signer::rs256());
    let gate = world.gate(FILE);
    let jwk = signer.jwk("a");
    world.bring(&jwks(std::slice::from_ref(&jwk)));
    let good = signer.token("a", &claims());
    assert_eq!(ask(&*gate, &mut bearer(&good)), Came::In);
    for secret in [
        jwk["n"].as_str().expect("a modulus").as_bytes().to_vec(),
        jwk.to_string().into_bytes(),
        jwks(&[jwk]).into_bytes(),
    ] {
        let forged = Signer::Hs256(secret).token("a", &claims());
        let expected = invalid("no key takes the algorithm");
        assert_eq!(ask(&*gate, &mut bearer(&forged)), expected);
    }
    let (_, signed) = good.split_once('.').expect("parts");
    let (payload, signature) = signed.split_once('.').expect("parts");
    for algorithm in ["none", "NONE", "RS1", ""] {
        let header = base64url(format!("{{\"alg\":\"{algorithm}\",\"kid\":\"a\"}}").as_bytes());
        for signature in ["", signature] {
            let forged = format!("{header}.{payload}.{signature}");
            assert_eq!(
                ask(&*gate, &mut bearer(&forged)),
                invalid("the token cannot be read")
            );
        }
    }
    // The list narrows it further.
    let gate = world.gate("{ keys: { file: keys.json }, algorithms: [ES256, PS256] }");
    let expected = invalid("the algorithm is not one that is taken");
    assert_eq!(ask(&*gate, &mut bearer(&good)), expected);
    let gate = world.gate("{ keys: { file: keys.json }, algorithms: RS256 }");
    let good = signer.token("a", &json!({ "exp": now() + 60 }));
    assert_eq!(ask(&*gate, &mut bearer(&good)), Came::In);
}

#[test]
fn claims_are_checked() {
    let (world, signer) = (World::new(), Signer::es256());
    let gate = world.gate(FILE);
    world.bring(&jwks(&[signer.jwk("a")]));
    let ask = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        ask(&*gate, &mut bearer(&signer.token("a", &claims)))
    };
    let expired = "Bearer error=\"invalid_token\", error_description=\"the token has expired\"";
    let expired = || Came::Out(Refusal::TokenExpired, expired.to_owned());
    assert_eq!(
        ask(&|claims| claims["exp"] = (now() - 31).into()),
        expired()
    );
    assert_eq!(
        ask(&|claims| claims["exp"] = (now() - 20).into()),
        Came::In,
        "the leeway"
    );
    assert_eq!(
        ask(&|claims| claims["exp"] = json!(now() as f64 + 9.5)),
        Came::In
    );
    assert_eq!(
        ask(&|claims| claims["exp"] = Value::Null),
        invalid("the token has no end")
    );
    assert_eq!(
        ask(&|claims| claims["exp"] = "never".into()),
        invalid("the token has no end")
    );
    assert_eq!(
        ask(&|claims| claims["nbf"] = (now() + 40).into()),
        invalid("the token is not valid yet")
    );
    assert_eq!(ask(&|claims| claims["nbf"] = (now() + 20).into()), Came::In);
    for issuer in ["you", "m", "me "] {
        let came = ask(&|claims| claims["iss"] = issuer.into());
        assert_eq!(came, invalid("the issuer is another one"));
    }
    assert_eq!(
        ask(&|claims| claims["iss"] = Value::Null),
        invalid("the token lacks a claim")
    );
    assert_eq!(ask(&|claims| claims["aud"] = "shop".into()), Came::In);
    assert_eq!(
        ask(&|claims| claims["aud"] = json!(["other"])),
        invalid("the token is for another audience")
    );
    assert_eq!(
        ask(&|claims| claims["aud"] = Value::Null),
        invalid("the token lacks a claim")
    );
}

#[test]
fn what_is_no_token_is_refused() {
    let (world, signer) = (World::new(), Signer::es256());
    let gate = world.gate(FILE);
    world.bring(&jwks(&[signer.jwk("a")]));
    let missing = Came::Out(Refusal::TokenMissing, "Bearer".to_owned());
    assert_eq!(ask(&*gate, &mut HeaderMap::new()), missing);
    for token in ["x", "a.b", "a.b.c", "....", "\u{80}"] {
        let came = ask(&*gate, &mut bearer(token));
        assert_eq!(came, invalid("the token cannot be read"), "{token}");
    }
    let long = "x".repeat(20_000);
    assert_eq!(
        ask(&*gate, &mut bearer(&long)),
        invalid("the token is too long")
    );
    let good = signer.token("a", &claims());
    let mut twice = bearer(&good);
    twice.append("authorization", HeaderValue::from_static("Bearer x"));
    assert_eq!(
        ask(&*gate, &mut twice),
        invalid("there is more than one token")
    );
    // What the header asks for and nobody here understands (RFC 7515 section 4.1.11).
    let header = json!({ "alg": "ES256", "kid": "a", "crit": ["x"], "x": 1 });
    let critical = signer.raw(&header, &claims());
    assert_eq!(
        ask(&*gate, &mut bearer(&critical)),
        invalid("the token cannot be read")
    );
}

#[test]
fn headers_of_claims_are_never_the_clients() {
    let (world, signer) = (World::new(), Signer::es256());
    let yaml = "{ keys: { file: k }, optional: true, except: /open, claims: { sub: x-user-id, roles: x-roles } }";
    let gate = world.gate(yaml);
    world.bring(&jwks(&[signer.jwk("a")]));
    let forge = |headers: &mut HeaderMap| {
        for name in ["X-User-Id", "x_user_id", "x-user_id", "X-Roles", "x_roles"] {
            let name: http::HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_static("forged"));
        }
    };
    for path in ["/", "/open"] {
        let mut headers = HeaderMap::new();
        forge(&mut headers);
        assert_eq!(ask_for(&*gate, path, &mut headers), Came::In);
        assert!(headers.is_empty(), "{path}: {headers:?}");
    }
    let claims = json!({ "sub": "seven", "roles": ["a", "b"], "exp": now() + 60 });
    let token = signer.token("a", &claims);
    for _ in 0..2 {
        let mut headers = bearer(&token);
        forge(&mut headers);
        assert_eq!(ask(&*gate, &mut headers), Came::In);
        let values = |name| -> Vec<&[u8]> {
            let values = headers.get_all(name).iter();
            values.map(HeaderValue::as_bytes).collect()
        };
        assert_eq!(
            (values("x-user-id"), values("x-roles")),
            (vec![&b"seven"[..]], vec![&b"a,b"[..]])
        );
        assert!(!headers.contains_key("x_user_id") && !headers.contains_key("x_roles"));
        assert!(headers.contains_key("authorization"));
    }
    // A bad token is no absent one.
    assert_ne!(ask(&*gate, &mut bearer("x")), Came::In);
}

#[test]
fn a_missing_claim_is_403() {
    let (world, signer) = (World::new(), Signer::es256());
    let gate = world.gate("{ keys: { file: k }, require: { scope: [write, admin] } }");
    world.bring(&jwks(&[signer.jwk("a")]));
    let ask = |scope: &str| {
        let claims = json!({ "scope": scope, "exp": now() + 60 });
        ask(&*gate, &mut bearer(&signer.token("a", &claims)))
    };
    assert_eq!(ask("read write"), Came::In);
    for _ in 0..2 {
        let Came::Out(Refusal::ClaimMissing, challenge) = ask("read") else {
            panic!("it has no scope that is asked for");
        };
        assert!(
            challenge.starts_with("Bearer error=\"insufficient_scope\""),
            "{challenge}"
        );
    }
}

#[test]
fn several_issuers_have_keys_of_their_own() {
    let (one, other) = (Signer::es256(), Signer::Hs256(vec![b'x'; 32]));
    let world = World::new();
    let secret = "x".repeat(32);
    let gate = world.gate(&format!(
        "{{ issuers: [ {{ issuer: a, keys: {{ file: k }} }}, {{ issuer: b, keys: {{ secret: {secret} }} }} ] }}"
    ));
    world.bring(&jwks(&[one.jwk("a")]));
    let claims = |issuer: &str| json!({ "iss": issuer, "exp": now() + 60 });
    let ask = |token: String| ask(&*gate, &mut bearer(&token));
    assert_eq!(ask(one.token("a", &claims("a"))), Came::In);
    assert_eq!(ask(other.token("x", &claims("b"))), Came::In);
    assert_ne!(
        ask(one.token("a", &claims("b"))),
        Came::In,
        "by the key of the other"
    );
    assert_ne!(ask(other.token("a", &claims("a"))), Came::In);
    let expected = invalid("the issuer is none that is trusted");
    assert_eq!(ask(one.token("a", &claims("c"))), expected);
    assert_eq!(ask(one.token("a", &json!({ "exp": now() + 60 }))), expected);
}

#[test]
fn keys_that_are_gone_take_no_token_any_more() {
    let (world, old, new) = (World::new(), Signer::es256(), Signer::es256());
    let gate = world.gate("{ keys: { file: k } }");
    let exp = json!({ "exp": now() + 60 });
    let (before, after) = (old.token("a", &exp), new.token("b", &exp));
    assert_eq!(
        ask(&*gate, &mut bearer(&before)),
        Came::Waits,
        "nothing was read yet"
    );
    world.bring(&jwks(&[old.jwk("a")]));
    assert_eq!(ask(&*gate, &mut bearer(&before)), Came::In);
    let unknown = invalid("no key has the id of the token's");
    assert_eq!(ask(&*gate, &mut bearer(&after)), unknown);
    world.bring(&jwks(&[new.jwk("b")]));
    assert_eq!(ask(&*gate, &mut bearer(&after)), Came::In);
    assert_eq!(
        ask(&*gate, &mut bearer(&before)),
        unknown,
        "it was known, by a key that is gone"
    );
    // What cannot be read or had changes nothing.
    world.bring("nonsense");
    world.sources.live()[0].fail("it is not there");
    assert_eq!(ask(&*gate, &mut bearer(&after)), Came::In);
    assert_eq!(
        ask(&*gate, &mut bearer(&before)),
        Came::Waits,
        "nobody can say by now"
    );
    let metrics = world.metrics.render();
    for line in [
        "pailou_credential_loads_total{outcome=\"taken\"} 2",
        "pailou_credential_loads_total{outcome=\"refused\"} 1",
        "pailou_credential_loads_total{outcome=\"failed\"} 1",
        "pailou_credential_sources{state=\"stale\"} 1",
        "pailou_credential_sources{state=\"missing\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    drop(gate);
    let metrics = world.metrics.render();
    assert!(
        metrics.contains("pailou_credential_sources{state=\"stale\"} 0"),
        "{metrics}"
    );
}

#[test]
fn a_token_that_is_not_forwarded_is_gone() {
    let (world, signer) = (World::new(), Signer::es256());
    let gate =
        world.gate("{ keys: { file: k }, from: [ 'cookie:t', bearer ], forward_token: false }");
    world.bring(&jwks(&[signer.jwk("a")]));
    let token = signer.token("a", &json!({ "exp": now() + 60 }));
    let mut headers = bearer("x");
    let cookie = HeaderValue::try_from(format!("a=b; t={token}")).expect("a value");
    headers.insert("cookie", cookie);
    assert_eq!(ask(&*gate, &mut headers), Came::In);
    assert_eq!(headers["cookie"], "a=b");
    assert!(!headers.contains_key("authorization"));
}

#[test]
fn what_is_no_setting_is_refused() {
    let world = World::new();
    for (yaml, problem) in [
        ("{}", "`keys` is missing"),
        ("{ keys: login }", "a URL such as"),
        ("{ keys: 'ftp://login/jwks' }", "a URL such as"),
        ("{ keys: {} }", "no place of keys"),
        ("{ keys: { file: a, config: b } }", "more than one"),
        ("{ keys: { file: a, refresh: 5m } }", "again and again"),
        ("{ keys: { file: a, path: /b } }", "`path` is for"),
        ("{ keys: { file: ../a } }", "without `..`"),
        (
            "{ keys: { file: /etc/passwd } }",
            "below `credentials.folder`",
        ),
        ("{ keys: { config: '' } }", "the data id"),
        ("{ keys: { service: auth } }", "`path` is missing"),
        ("{ keys: { service: auth, path: jwks } }", "a path such as"),
        ("{ keys: { url: 'https://a/b', refresh: 1s } }", "1s"),
        ("{ keys: { secret: '' } }", "empty"),
        ("{ keys: { file: a }, algorithms: [none] }", "none"),
        ("{ keys: { file: a }, algorithms: [] }", "an empty list"),
        ("{ keys: { file: a }, leeway: 1h }", "1h"),
        (
            "{ keys: { file: a }, claims: { sub: host } }",
            "written by the gateway",
        ),
        ("{ keys: { file: a }, from: basic }", "bearer, header:NAME"),
        ("{ keys: { file: a }, isuer: me }", "did you mean `issuer`?"),
        ("{ issuers: [] }", "cannot be told apart"),
        (
            "{ issuers: [ { keys: { file: a } }, { keys: { file: b } } ] }",
            "cannot be told apart",
        ),
        (
            "{ issuers: [ { issuer: a, keys: { file: a } }, { issuer: a, keys: { file: b } } ] }",
            "cannot be told apart",
        ),
    ] {
        let error = world.compile(yaml).expect_err(yaml);
        assert!(error.contains(problem), "{yaml}: {error}");
    }
    let error = crate::registry::tests::step("jwt", "{ keys: { file: a } }");
    assert!(
        error
            .expect_err("no folder")
            .contains("`credentials.folder`")
    );
}

/// The keys of a service are asked for by whoever runs the steps; the route needs the service.
#[test]
fn keys_of_a_service_are_those_of_one_source() {
    let world = World::new();
    let gate = world.gate("{ keys: { service: auth, path: /jwks } }");
    assert_eq!(gate.destinations().len(), 1);
    let gate = world.gate("{ keys: 'https://login.example/jwks?x=y' }");
    let destinations = gate.destinations();
    assert_eq!(destinations.len(), 1);
    let config = world.gate("{ keys: { config: keys } }");
    let same = world.gate("{ keys: { config: keys }, optional: true }");
    assert_eq!(world.sources.live().len(), 3, "{config:?} {same:?}");
}
