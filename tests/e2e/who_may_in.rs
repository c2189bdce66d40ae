//! Filters that refuse: by address, by origin, by who the client is.

use reqwest::Method;

use crate::support::until;
use crate::support::world::{World, until_status};

const FILTERED: &str = "
routes:
  /api/users/**:
    service: user-service
    filters: [ { ip_filter: { allow: [10.0.0.0/8, 127.0.0.1], deny: 10.9.0.0/16 } } ]
  /forms/**:
    service: user-service
    filters: [ { csrf: { allow: 'https://partner.example' } } ]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_refused_by_the_address_that_a_trusted_proxy_gives() {
    let (world, _upstream, _registered, gateway) =
        World::small_with("forwarded: { trusted_proxies: [127.0.0.1] }").await;
    world.publish(FILTERED).await;
    until_status(&gateway.url("/forms/1"), 200).await;
    let client = reqwest::Client::new();
    let ask = async |address: &str| {
        let asked = client.get(gateway.url("/api/users/1"));
        let answer = asked.header("x-forwarded-for", address).send().await;
        let answer = answer.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("a body"))
    };
    assert_eq!(ask("10.1.2.3").await.0, 200);
    for address in ["10.9.0.1", "192.0.2.1", "10.1.2.3, 192.0.2.1"] {
        let (status, problem) = ask(address).await;
        assert_eq!(status, 403, "{address}");
        let problem: serde_json::Value = serde_json::from_str(&problem).expect("a problem");
        assert_eq!(problem["cause"], "address_denied");
        assert_eq!(problem["route"], "/api/users/**");
    }
    until("the refusals to be counted", async || {
        let metrics = gateway.metrics().await;
        let mut lines = metrics.lines();
        let counted = lines.any(|line| {
            line.starts_with("pailou_request_causes_total{route=\"/api/users/**\"")
                && line.contains("cause=\"address_denied\"")
                && line.ends_with(" 3")
        });
        counted.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_is_refused() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(FILTERED).await;
    until_status(&gateway.url("/forms/1"), 200).await;
    let client = reqwest::Client::new();
    let own = format!("http://{}", gateway.data());
    for (origin, expected) in [
        (Some(&*own), 200),
        (Some("https://partner.example"), 200),
        (Some("https://evil.example"), 403),
        (None, 403),
    ] {
        let mut asked = client.request(Method::POST, gateway.url("/forms/1"));
        if let Some(origin) = origin {
            asked = asked.header("origin", origin);
        }
        let answer = asked.body("a=b").send().await.expect("an answer");
        assert_eq!(answer.status(), expected, "{origin:?}");
        if expected == 403 {
            let problem = answer.text().await.expect("a body");
            assert!(problem.contains("origin_denied"), "{problem}");
        }
    }
    // `pailou explain` and the admin interface say so too.
    let explained = gateway
        .admin_json("/api/v1/explain?path=/forms/1&method=POST")
        .await;
    let answer = explained["answer"].as_str().unwrap_or_default();
    assert!(
        answer.starts_with("403: ") && answer.ends_with("by csrf"),
        "{explained}"
    );
}

const BOUNDED: &str = "
routes:
  /api/users/**:
    service: user-service
    filters:
      - cors: { origins: ['https://shop.example', 'https://*.shop.example'], methods: [GET, POST, DELETE], headers: [x-a], credentials: true, max_age: 10m }
      - methods: [GET, POST, OPTIONS]
      - request_limits: { body_bytes: 10, header_bytes: 2KiB }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_route_says_which_pages_methods_and_sizes_it_takes() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(BOUNDED).await;
    let client = reqwest::Client::new();
    let url = gateway.url("/api/users/read");
    let ask = async |method: Method, headers: &[(&str, &str)], body: &'static str| {
        let mut asked = client.request(method, &url).body(body);
        for (name, value) in headers {
            asked = asked.header(*name, *value);
        }
        asked.send().await.expect("an answer")
    };
    until("the route", async || {
        let answer = ask(Method::DELETE, &[], "").await;
        (answer.status() == 405).then_some(())
    })
    .await;
    let answer = ask(Method::DELETE, &[("origin", "https://a.shop.example")], "").await;
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "GET, POST, OPTIONS");
    // The page can read that.
    let told = &answer.headers()["access-control-allow-origin"];
    assert_eq!(told, "https://a.shop.example");
    assert!(
        answer
            .text()
            .await
            .expect("a body")
            .contains("method_denied")
    );

    let preflight = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x-a"),
    ];
    let answer = ask(Method::OPTIONS, &preflight, "").await;
    assert_eq!(answer.status(), 200);
    let headers = answer.headers();
    assert_eq!(headers["access-control-allow-methods"], "GET,POST,DELETE");
    assert_eq!(headers["access-control-allow-headers"], "x-a");
    assert_eq!(headers["access-control-max-age"], "600");
    assert_eq!(headers["access-control-allow-credentials"], "true");
    let foreign = [("origin", "https://evil.example")];
    assert_eq!(ask(Method::GET, &foreign, "").await.status(), 403);

    assert_eq!(ask(Method::POST, &[], "0123456789").await.status(), 200);
    let answer = ask(Method::POST, &[], "0123456789a").await;
    assert_eq!(answer.status(), 413);
    assert!(
        answer
            .text()
            .await
            .expect("a body")
            .contains("body_too_large")
    );
    // Without a length it is cut while it streams.
    let pieces = (0..3).map(|_| Ok::<_, std::io::Error>("0123456789"));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let streamed = client.post(&url).body(body).send().await;
    assert_eq!(streamed.expect("an answer").status(), 413);
    let long = "x".repeat(2100);
    let answer = ask(Method::GET, &[("x-long", &long)], "").await;
    assert_eq!(answer.status(), 431);
    assert!(
        answer
            .text()
            .await
            .expect("a body")
            .contains("head_too_large")
    );
}
