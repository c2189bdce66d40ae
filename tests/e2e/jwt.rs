//! Tokens: who may in by them, keys that rotate, and keys that cannot be had.

use reqwest::Response;
use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::tokens::{Publisher, Signer, base64url, hs256, now};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_status};

const BY_SERVICE: &str = "
routes:
  /api/users/**:
    service: user-service
    filters:
      - jwt:
          issuer: https://login.example
          audience: shop
          keys: { service: auth-service, path: /oauth2/jwks }
          claims: { sub: x-user-id, roles: x-roles }
          except: [ /api/users/login, 'OPTIONS /**' ]
  /admin/**:
    service: user-service
    filters:
      - jwt: { keys: { service: auth-service, path: /oauth2/jwks }, require: { roles: admin } }
  /maybe/**:
    service: user-service
    filters:
      - jwt: { keys: { service: auth-service, path: /oauth2/jwks }, optional: true, claims: { sub: x-user-id, roles: x-roles } }
";

fn claims(subject: &str) -> Value {
    json!({ "iss": "https://login.example", "aud": "shop", "sub": subject, "roles": ["user", "seller"], "exp": now() + 300 })
}

async fn ask(gateway: &Gateway, path: &str, token: Option<&str>) -> Response {
    let mut asked = reqwest::Client::new().get(gateway.url(path));
    if let Some(token) = token {
        asked = asked.bearer_auth(token);
    }
    // What a client would be if it were believed.
    for name in ["x-user-id", "x_user_id", "x-roles"] {
        asked = asked.header(name, "forged");
    }
    asked.send().await.expect("an answer")
}

async fn status(gateway: &Gateway, path: &str, token: Option<&str>) -> u16 {
    ask(gateway, path, token).await.status().as_u16()
}

async fn until_answered(gateway: &Gateway, path: &str, token: &str, expected: u16) {
    until(&format!("{path} to answer {expected}"), async || {
        (status(gateway, path, Some(token)).await == expected).then_some(())
    })
    .await;
}

/// The challenge of a refusal.
fn challenge(answer: &Response) -> &str {
    answer.headers()["www-authenticate"]
        .to_str()
        .expect("ASCII")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_issuer_lets_in_and_nothing_else_does() {
    let (world, _upstream, _registered, gateway) =
        World::small_with("forwarded: { underscores: keep }").await;
    let signer = Signer::new("one");
    let publisher = Publisher::start(&signer.jwks()).await;
    let _auth = world.register("auth-service", publisher.address()).await;
    world.publish(BY_SERVICE).await;
    until_status(&gateway.url("/api/users/1"), 401).await;

    let good = signer.token(&claims("seven"));
    for _ in 0..2 {
        let answer = ask(&gateway, "/api/users/headers", Some(&good)).await;
        assert_eq!(answer.status(), 200);
        let seen = answer.text().await.expect("a body");
        assert!(seen.contains("[\"x-user-id\",\"seven\"]"), "{seen}");
        assert!(seen.contains("[\"x-roles\",\"user,seller\"]"), "{seen}");
        assert!(!seen.contains("forged"), "{seen}");
    }
    gateway
        .logged(&["pailou.access", "\"user.id\":\"seven\""])
        .await;

    // Without a token there is no error to tell (RFC 6750 section 3.1).
    let answer = ask(&gateway, "/api/users/1", None).await;
    assert_eq!(
        (answer.status().as_u16(), challenge(&answer)),
        (401, "Bearer")
    );
    let problem: Value = answer.json().await.expect("a problem");
    assert_eq!(problem["cause"], "token_missing");

    let (_, payload) = good.split_once('.').expect("parts");
    let none = format!("{}.{payload}", base64url(b"{\"alg\":\"none\"}"));
    let forger = Signer::new("one");
    let expired = json!({ "iss": "https://login.example", "aud": "shop", "exp": now() - 60 });
    let other = json!({ "iss": "https://login.example", "aud": "other", "exp": now() + 60 });
    for (token, cause, word) in [
        (signer.token(&expired), "token_expired", "expired"),
        (signer.token(&other), "token_invalid", "audience"),
        (forger.token(&claims("seven")), "token_invalid", "signature"),
        // The public key as a secret.
        (
            hs256(signer.jwks().as_bytes(), "one", &claims("seven")),
            "token_invalid",
            "algorithm",
        ),
        (none, "token_invalid", "read"),
        ("nonsense".to_owned(), "token_invalid", "read"),
    ] {
        let answer = ask(&gateway, "/api/users/1", Some(&token)).await;
        assert_eq!(answer.status(), 401, "{token}");
        let said = challenge(&answer).to_owned();
        assert!(said.starts_with("Bearer error=\"invalid_token\""), "{said}");
        assert!(said.contains(word), "{said}");
        let problem: Value = answer.json().await.expect("a problem");
        assert_eq!(problem["cause"], cause);
    }

    // A claim that is missing, paths of the white list, and a token that may be absent.
    let answer = ask(&gateway, "/admin/1", Some(&good)).await;
    assert_eq!(answer.status(), 403);
    assert!(challenge(&answer).contains("insufficient_scope"));
    let admin = signer.token(&json!({ "roles": "admin", "exp": now() + 60 }));
    assert_eq!(status(&gateway, "/admin/1", Some(&admin)).await, 200);
    for path in ["/api/users/login", "/maybe/headers"] {
        let answer = ask(&gateway, path, None).await;
        assert_eq!(answer.status(), 200, "{path}");
        let seen = answer.text().await.expect("a body");
        assert!(!seen.contains("forged"), "{path}: {seen}");
    }
    assert_eq!(status(&gateway, "/maybe/1", Some("nonsense")).await, 401);
    assert_eq!(status(&gateway, "/api/users/login/x", None).await, 401);

    // One fetch served all of the routes.
    assert_eq!(publisher.asked(), 1);
    let explained = gateway
        .admin_json("/api/v1/explain?path=/api/users/1")
        .await;
    let answer = explained["answer"].as_str().unwrap_or_default();
    assert!(
        answer.starts_with("401: ") && answer.ends_with("by jwt"),
        "{explained}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_found_and_made_up_ones_cost_one_look() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let publisher = Publisher::start(&old.jwks()).await;
    let _auth = world.register("auth-service", publisher.address()).await;
    world.publish(BY_SERVICE).await;
    until_status(&gateway.url("/api/users/1"), 401).await;
    until_answered(&gateway, "/api/users/1", &old.token(&claims("a")), 200).await;

    publisher.answer(200, &new.jwks());
    let asked = publisher.asked();
    let began = std::time::Instant::now();
    // Tokens that name keys which nobody has: a few seconds of them are one look at most.
    for number in 0..100 {
        let made_up = old.token_of(&format!("made-up-{number}"), &claims("a"));
        assert_eq!(status(&gateway, "/api/users/1", Some(&made_up)).await, 401);
    }
    let looks = publisher.asked() - asked;
    let most = 1 + began.elapsed().as_secs() / 10;
    assert!(looks <= most, "{looks} looks, {most} may be");
    // The new key is found without a restart, and the old one is gone with the set that it was in.
    until_answered(&gateway, "/api/users/1", &new.token(&claims("a")), 200).await;
    assert_eq!(
        status(&gateway, "/api/users/1", Some(&old.token(&claims("a")))).await,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_had_keep_the_door_closed_until_they_can() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let signer = Signer::new("one");
    let publisher = Publisher::start("").await;
    publisher.answer(500, "not now");
    world
        .publish(&format!(
            "routes:\n  /api/users/**:\n    service: user-service\n    filters: [ {{ jwt: {{ keys: {{ url: 'http://{}/jwks', refresh: 10s }} }} }} ]\n  \
             /open/**: user-service\n",
            publisher.address()
        ))
        .await;
    until_status(&gateway.url("/open/1"), 200).await;
    let token = signer.token(&json!({ "exp": now() + 300 }));
    let answer = ask(&gateway, "/api/users/1", Some(&token)).await;
    assert_eq!(answer.status(), 503);
    let problem: Value = answer.json().await.expect("a problem");
    assert_eq!(problem["cause"], "gate_failed");
    assert_eq!(
        status(&gateway, "/api/users/1", None).await,
        401,
        "no keys are needed to say so"
    );
    gateway.logged(&["credentials cannot be had", "500"]).await;
    let metric = "pailou_credential_sources{state=\"missing\"}";
    assert_eq!(gateway.value(metric).await, 1);

    publisher.answer(200, &signer.jwks());
    until_answered(&gateway, "/api/users/1", &token, 200).await;
    assert_eq!(gateway.value(metric).await, 0);

    // Later the last good keys go on, for tokens that were not seen before too.
    publisher.answer(200, "<html>a page of the balancer</html>");
    until("the keys to be stale", async || {
        let stale = gateway
            .value("pailou_credential_sources{state=\"stale\"}")
            .await;
        (stale == 1).then_some(())
    })
    .await;
    let fresh = signer.token(&json!({ "exp": now() + 300, "n": 1 }));
    assert_eq!(status(&gateway, "/api/users/1", Some(&fresh)).await, 200);
    gateway
        .logged(&["credentials cannot be read, the last good ones stay"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_a_config_and_in_a_file_are_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!("credentials: {{ folder: {} }}", folder.path().display());
    let (world, _upstream, _registered, gateway) = World::small_with(&settings).await;
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let file = folder.path().join("keys.json");
    std::fs::write(&file, one.jwks()).expect("written");
    world.publish_as("jwt-keys.json", &one.jwks()).await;
    world
        .publish(
            "routes:\n  /api/users/**: { service: user-service, filters: [ { jwt: { keys: { config: jwt-keys.json } } } ] }\n  \
             /file/**: { service: user-service, filters: [ { jwt: { keys: { file: keys.json } } } ] }\n",
        )
        .await;
    until_status(&gateway.url("/api/users/1"), 401).await;
    let exp = json!({ "exp": now() + 300 });
    let (first, second) = (one.token(&exp), two.token(&exp));
    for path in ["/api/users/1", "/file/1"] {
        until_answered(&gateway, path, &first, 200).await;
        assert_eq!(status(&gateway, path, Some(&second)).await, 401);
    }
    world.publish_as("jwt-keys.json", &two.jwks()).await;
    let next = folder.path().join("next");
    std::fs::write(&next, two.jwks()).expect("written");
    std::fs::rename(&next, &file).expect("renamed");
    for path in ["/api/users/1", "/file/1"] {
        until_answered(&gateway, path, &second, 200).await;
        assert_eq!(status(&gateway, path, Some(&first)).await, 401);
    }
    // What goes is missed, and stays in use.
    world.remove("jwt-keys.json").await;
    std::fs::remove_file(&file).expect("removed");
    until("both to be missed", async || {
        let stale = gateway
            .value("pailou_credential_sources{state=\"stale\"}")
            .await;
        (stale == 2).then_some(())
    })
    .await;
    for path in ["/api/users/1", "/file/1"] {
        assert_eq!(status(&gateway, path, Some(&second)).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_grey_release_go_by_claims() {
    let (world, stable, _registered, gateway) = World::small().await;
    let canary = Upstream::start("canary");
    let address = canary.address();
    let mut instance = pailou_nacos::Instance::new(address.ip().to_string(), address.port());
    let version = ("version".to_owned(), "v2".to_owned());
    instance.metadata.extend([version]);
    let _canary = world.register_instance("user-service", instance).await;
    let signer = Signer::new("one");
    world.publish_as("jwt-keys.json", &signer.jwks()).await;
    world
        .publish(
            "routes:\n  /api/users/**:\n    service: { name: user-service, canary: { claim: ring, metadata: version, propagate: x-ring } }\n    \
             filters: [ { jwt: { keys: { config: jwt-keys.json } } }, { rate_limit: { key: 'claim:sub', requests: 2, per: 1h } } ]\n  \
             /canary/**:\n    service: { name: user-service, canary: { claim: ring, metadata: version } }\n    \
             filters: [ { jwt: { keys: { config: jwt-keys.json } } } ]\n",
        )
        .await;
    until_status(&gateway.url("/api/users/1"), 401).await;
    let token = |subject: &str, ring: &str| {
        signer.token(&json!({ "sub": subject, "ring": ring, "exp": now() + 300 }))
    };
    let by = async |token: &str| {
        let answer = ask(&gateway, "/canary/1", Some(token)).await;
        answer.text().await.expect("a body")
    };
    until("the canary to be listed", async || {
        by(&token("x", "v2"))
            .await
            .starts_with("canary")
            .then_some(())
    })
    .await;
    for _ in 0..5 {
        assert!(by(&token("x", "v2")).await.starts_with("canary"));
        assert!(by(&token("x", "v1")).await.starts_with(stable.name()));
    }
    for subject in ["a", "b"] {
        let token = token(subject, "v2");
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(status(&gateway, "/api/users/1", Some(&token)).await);
        }
        assert_eq!(statuses, [200, 200, 429], "{subject}");
    }
    let answer = ask(&gateway, "/api/users/headers", Some(&token("c", "v2"))).await;
    let seen = answer.text().await.expect("a body");
    assert!(seen.contains("[\"x-ring\",\"v2\"]"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_asked_for_and_known_for_a_while() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let publisher = Publisher::start(r#"{"active":true,"sub":"seven","scope":"read"}"#).await;
    let _auth = world.register("auth-service", publisher.address()).await;
    world
        .publish(
            "routes:\n  /api/users/**:\n    service: user-service\n    filters:\n      - introspect: { service: auth-service, path: /oauth2/introspect, \
             client_id: gateway, client_secret: s3cret, cache: 1s, claims: { sub: x-user-id, roles: x-roles }, require: { scope: read }, timeout: 1s }\n",
        )
        .await;
    until_status(&gateway.url("/api/users/1"), 401).await;
    for _ in 0..5 {
        let answer = ask(&gateway, "/api/users/headers", Some("opaque")).await;
        assert_eq!(answer.status(), 200);
        let seen = answer.text().await.expect("a body");
        assert!(
            seen.contains("[\"x-user-id\",\"seven\"]") && !seen.contains("forged"),
            "{seen}"
        );
    }
    assert!((1..5).contains(&publisher.asked()), "{}", publisher.asked());
    let asked = publisher.last();
    assert!(asked.starts_with("POST /oauth2/introspect"), "{asked}");
    assert!(
        asked.contains("token=opaque&token_type_hint=access_token"),
        "{asked}"
    );
    assert!(asked.contains("Basic Z2F0ZXdheTpzM2NyZXQ="), "{asked}");

    // It is taken back, and soon taken no more.
    publisher.answer(200, r#"{"active":false}"#);
    until_answered(&gateway, "/api/users/1", "opaque", 401).await;
    publisher.answer(200, r#"{"active":true,"scope":"write"}"#);
    assert_eq!(status(&gateway, "/api/users/1", Some("other")).await, 403);
    // Without a clear word the door stays closed, and opens again by itself.
    publisher.answer(500, "");
    assert_eq!(status(&gateway, "/api/users/1", Some("third")).await, 503);
    publisher.answer(200, r#"{"active":true,"scope":"read"}"#);
    until_answered(&gateway, "/api/users/1", "third", 200).await;
}
