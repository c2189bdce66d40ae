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
