//! API keys and passwords: who may in by them, and lists that change while the gateway runs.

use reqwest::Response;
use serde_json::Value;

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::{World, until_status};

fn digest_of(key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

async fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut asked = reqwest::Client::new().get(gateway.url(path));
    for (name, value) in headers {
        asked = asked.header(*name, *value);
    }
    asked.send().await.expect("an answer")
}

async fn status(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> u16 {
    ask(gateway, path, headers).await.status().as_u16()
}

async fn until_answered(gateway: &Gateway, path: &str, headers: &[(&str, &str)], expected: u16) {
    until(&format!("{path} to answer {expected}"), async || {
        (status(gateway, path, headers).await == expected).then_some(())
    })
    .await;
}

const KEYED: &str = "
routes:
  /api/users/**:
    service: user-service
    filters: [ { api_key: { config: api-keys.yaml, from: ['header:x-api-key', 'query:key'], consumer_header: x-consumer } } ]
  /one/**:
    service: user-service
    filters: [ { api_key: { config: api-keys.yaml, consumers: [one] } } ]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_consumer_lets_in_while_it_is_listed() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let (a, b) = (digest_of("secret-a"), digest_of("secret-b"));
    let listed = format!("one: {a}\ntwo: [ {b} ]\n");
    world.publish_as("api-keys.yaml", &listed).await;
    world.publish(KEYED).await;
    until_status(&gateway.url("/one/1"), 401).await;

    let key = [("x-api-key", "secret-a"), ("x-consumer", "forged")];
    let answer = ask(&gateway, "/api/users/headers", &key).await;
    assert_eq!(answer.status(), 200);
    let seen = answer.text().await.expect("a body");
    assert!(seen.contains("[\"x-consumer\",\"one\"]"), "{seen}");
    assert!(
        !seen.contains("forged") && !seen.contains("secret-a"),
        "{seen}"
    );
    let answer = ask(&gateway, "/api/users/headers?a=b&key=secret-b", &[]).await;
    let seen = answer.text().await.expect("a body");
    assert!(seen.contains("\"/api/users/headers?a=b\""), "{seen}");
    gateway
        .logged(&["pailou.access", "\"user.id\":\"two\""])
        .await;

    for (path, headers, expected, cause) in [
        ("/api/users/1", &[][..], 401, "api_key_missing"),
        (
            "/api/users/1",
            &[("x-api-key", "secret-c")],
            401,
            "api_key_invalid",
        ),
        (
            "/api/users/1",
            &[("x-api-key", &*a)],
            401,
            "api_key_invalid",
        ),
        (
            "/one/1",
            &[("x-api-key", "secret-b")],
            403,
            "consumer_denied",
        ),
    ] {
        let answer = ask(&gateway, path, headers).await;
        assert_eq!(answer.status(), expected, "{headers:?}");
        let challenged = answer.headers().contains_key("www-authenticate");
        assert_eq!(challenged, expected == 401);
        let problem: Value = answer.json().await.expect("a problem");
        assert_eq!(problem["cause"], cause);
    }

    // Consumer `one` gets another key, and `two` is gone.
    let c = digest_of("secret-c");
    world
        .publish_as("api-keys.yaml", &format!("one: {c}\n"))
        .await;
    until_answered(&gateway, "/one/1", &[("x-api-key", "secret-c")], 200).await;
    for key in ["secret-a", "secret-b"] {
        assert_eq!(
            status(&gateway, "/api/users/1", &[("x-api-key", key)]).await,
            401
        );
    }
    // A slip changes nothing and is said; it shows no key.
    world.publish_as("api-keys.yaml", "one: secret-d\n").await;
    gateway
        .logged(&["credentials cannot be read", "SHA-256"])
        .await;
    assert_eq!(
        status(&gateway, "/one/1", &[("x-api-key", "secret-c")]).await,
        200
    );
    // Nobody, and said so.
    world.publish_as("api-keys.yaml", "{}").await;
    until_answered(&gateway, "/one/1", &[("x-api-key", "secret-c")], 401).await;
}

const PASSWORDS: &str = "
routes:
  /api/users/**:
    service: user-service
    filters: [ { basic_auth: { file: users.htpasswd, realm: intern, user_header: x-user } } ]
";

/// `bob` with `U*U`, by bcrypt.
const BOB: &str = "bob:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";
/// `eve` with `password`, by Argon2id.
const EVE: &str =
    "eve:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_in_while_its_user_is_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users.htpasswd");
    std::fs::write(&file, BOB).expect("written");
    let settings = format!("credentials: {{ folder: {} }}", folder.path().display());
    let (world, _upstream, _registered, gateway) = World::small_with(&settings).await;
    world.publish(PASSWORDS).await;
    until_status(&gateway.url("/api/users/1"), 401).await;
    let client = reqwest::Client::new();
    let ask = async |name: &str, password: &str| {
        let asked = client.get(gateway.url("/api/users/headers"));
        let asked = asked
            .basic_auth(name, Some(password))
            .header("x-user", "forged");
        asked.send().await.expect("an answer")
    };
    for _ in 0..2 {
        let answer = ask("bob", "U*U").await;
        assert_eq!(answer.status(), 200);
        let seen = answer.text().await.expect("a body");
        assert!(seen.contains("[\"x-user\",\"bob\"]"), "{seen}");
        assert!(
            !seen.contains("forged") && !seen.contains("authorization"),
            "{seen}"
        );
    }
    gateway
        .logged(&["pailou.access", "\"user.id\":\"bob\""])
        .await;
    for (name, password) in [("bob", "u*u"), ("eve", "password"), ("", "")] {
        let answer = ask(name, password).await;
        assert_eq!(answer.status(), 401, "{name}");
        let challenge = &answer.headers()["www-authenticate"];
        assert_eq!(challenge, "Basic realm=\"intern\", charset=\"UTF-8\"");
        let problem: Value = answer.json().await.expect("a problem");
        assert_eq!(problem["cause"], "credentials_invalid");
    }
    // Bob goes, who was known, and Eve comes.
    let next = folder.path().join("next");
    std::fs::write(&next, EVE).expect("written");
    std::fs::rename(&next, &file).expect("renamed");
    until("Eve to get in", async || {
        (ask("eve", "password").await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(ask("bob", "U*U").await.status(), 401);

    // Wrong passwords, many at once: none gets in, each is answered, and who is known does not wait.
    let guesses = (0..40).map(async |number| {
        let answer = ask("eve", &format!("guess-{number}")).await;
        answer.status().as_u16()
    });
    let statuses = futures_util::future::join_all(guesses).await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(ask("eve", "password").await.status(), 200);
}
