//! CORS settings of a document in Spring's form, for requests that no route takes.

use reqwest::Method;

use crate::support::gateway::run;
use crate::support::world::{World, until_status};

fn document(simple: bool) -> String {
    format!(
        "spring.cloud.gateway:
  globalcors:
    add-to-simple-url-handler-mapping: {simple}
    cors-configurations:
      '[/api/**/open]': {{ allowedOrigins: 'https://ok.test', allowedMethods: [GET], allowCredentials: true }}
  routes:
    - {{ id: users, uri: 'lb://user-service', predicates: ['Path=/api/users/**', Method=GET] }}
"
    )
}

/// The status, `Access-Control-Allow-Origin` and the number of `Vary` lines.
async fn ask(url: &str, method: &str, origin: &str, asks: Option<&str>) -> (u16, String, usize) {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let mut asked = reqwest::Client::new()
        .request(method, url)
        .header("origin", origin);
    if let Some(asks) = asks {
        asked = asked.header("access-control-request-method", asks);
    }
    let answer = asked.send().await.expect("an answer");
    let headers = answer.headers();
    let allowed = headers.get("access-control-allow-origin");
    let allowed = allowed.map_or("", |value| value.to_str().expect("ASCII"));
    let varies = headers.get_all("vary").iter().count();
    (answer.status().as_u16(), allowed.to_owned(), varies)
}

const OK: &str = "https://ok.test";
const EVIL: &str = "https://evil.test";

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_route_have_the_settings_of_the_document() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    for (simple, cases) in [
        (
            true,
            [
                ("/api/none/open", "OPTIONS", OK, Some("GET"), (200, OK, 3)),
                ("/api/none/open", "OPTIONS", OK, Some("PUT"), (403, "", 3)),
                ("/api/none/open", "GET", OK, None, (404, OK, 3)),
                ("/api/none/open", "GET", EVIL, None, (403, "", 3)),
                ("/api/none/shut", "OPTIONS", OK, Some("GET"), (404, "", 0)),
                ("/api/users/open", "OPTIONS", OK, Some("GET"), (200, OK, 3)),
            ],
        ),
        // Spring's own mapping answers preflights then, whatever the path.
        (
            false,
            [
                ("/api/none/open", "OPTIONS", OK, Some("GET"), (403, "", 3)),
                ("/api/none/shut", "OPTIONS", OK, Some("GET"), (403, "", 3)),
                ("/api/none/open", "GET", OK, None, (404, "", 0)),
                ("/api/none/open", "GET", EVIL, None, (404, "", 0)),
                ("/api/none/open", "OPTIONS", OK, None, (404, "", 0)),
                ("/api/users/open", "OPTIONS", OK, Some("GET"), (200, OK, 3)),
            ],
        ),
    ] {
        world.publish(&document(simple)).await;
        until_status(&gateway.url("/api/users/1"), 200).await;
        crate::support::until("the settings", async || {
            let seen = ask(&gateway.url("/api/none/open"), "OPTIONS", OK, Some("GET")).await;
            (seen.0 == if simple { 200 } else { 403 }).then_some(())
        })
        .await;
        for (path, method, origin, asks, (status, allowed, varies)) in cases {
            let seen = ask(&gateway.url(path), method, origin, asks).await;
            let expected = (status, allowed.to_owned(), varies);
            assert_eq!(seen, expected, "{simple} {method} {path} {origin} {asks:?}");
        }
    }

    // What is explained is what is served.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("scg.yaml"), document(true)).expect("a file");
    let args = [
        "explain",
        "OPTIONS",
        "/api/none/open",
        "-H",
        "origin: https://ok.test",
        "-H",
        "access-control-request-method: GET",
        "--routes",
        "scg.yaml",
    ];
    let (_, text, _) = run(&args, folder.path());
    assert!(text.contains("answer     200, by globalcors"), "{text}");

    // A document without the settings takes them away.
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    crate::support::until("the settings to go", async || {
        let seen = ask(&gateway.url("/api/none/open"), "OPTIONS", OK, Some("GET")).await;
        (seen == (404, String::new(), 0)).then_some(())
    })
    .await;
}
