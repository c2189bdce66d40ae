//! What a scraper and a board find at `/metrics`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::{World, until_status};

const USERS: &str = "route=\"/api/users/**\",nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"";

/// The number of a series; nothing if it is not there.
async fn value(gateway: &Gateway, series: &str) -> Option<f64> {
    let metrics = gateway.metrics().await;
    let begin = format!("{series} ");
    let line = metrics.lines().find(|line| line.starts_with(&begin))?;
    line.rsplit(' ').next()?.parse().ok()
}

async fn until_value(gateway: &Gateway, series: &str, expected: f64) {
    until(&format!("{series} to be {expected}"), async || {
        (value(gateway, series).await == Some(expected)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scraper_gets_the_format_that_it_asks_for() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let client = reqwest::Client::new();
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, expected) in [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        (Some("*/*"), "text/plain; version=0.0.4; charset=utf-8"),
        (
            Some("text/plain;version=0.0.4"),
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        (
            Some(prometheus),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let mut request = client.get(gateway.probes_url("/metrics"));
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], expected, "{accept:?}");
        let text = answer.text().await.expect("a text");
        let is_open_metrics = expected.starts_with("application");
        assert_eq!(text.ends_with("# EOF\n"), is_open_metrics, "{accept:?}");
        // A counter's description has its ending in one format and not in the other.
        let described = "# TYPE pailou_requests_total counter\n";
        assert_eq!(text.contains(described), !is_open_metrics, "{text}");
        assert!(text.contains("pailou_ready 1\n"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_go_wrong_is_there_at_zero_and_then_counted() {
    let (_world, upstream, _registered, gateway) = World::small().await;
    let service = USERS.split_once(',').expect("a route and a service").1;
    let refused = format!("pailou_request_causes_total{{{USERS},cause=\"connect_failed\"}}");
    let ejected = format!("pailou_service_ejections_total{{{service},cause=\"refused\"}}");
    let retries = format!("pailou_request_retries_total{{{USERS}}}");
    for series in [&refused, &ejected, &retries] {
        assert_eq!(value(&gateway, series).await, Some(0.0), "{series}");
    }
    let url = gateway.url("/api/users/1");
    assert_eq!(reqwest::get(&url).await.expect("an answer").status(), 200);
    let ok = format!("pailou_requests_total{{{USERS},method=\"GET\",status_code=\"200\"}}");
    until_value(&gateway, &ok, 1.0).await;
    upstream.kill();
    let status = reqwest::get(&url).await.expect("an answer").status();
    assert_eq!(status, 502);
    let failed = format!("pailou_requests_total{{{USERS},method=\"GET\",status_code=\"502\"}}");
    until_value(&gateway, &failed, 1.0).await;
    until_value(&gateway, &refused, 1.0).await;
    until_value(&gateway, &ejected, 1.0).await;
}

/// A board over Spring Cloud Gateway's names finds its series, at zero first, and nobody else is shown them.
#[tokio::test(flavor = "multi_thread")]
async fn springs_names_are_there_under_a_setting() {
    let (_world, _upstream, _registered, gateway) =
        World::small_with("scg: { metrics: true }").await;
    let series = |of: &str, method: &str, (code, outcome, status): (u16, &str, &str)| {
        format!(
            "spring_cloud_gateway_requests_seconds_{of}{{httpMethod=\"{method}\",httpStatusCode=\"{code}\",outcome=\"{outcome}\",\
             routeId=\"/api/users/**\",routeUri=\"lb://user-service\",status=\"{status}\"}}"
        )
    };
    let ok = (200, "SUCCESSFUL", "OK");
    for of in ["count", "sum", "max"] {
        assert_eq!(value(&gateway, &series(of, "GET", ok)).await, Some(0.0));
    }
    let client = reqwest::Client::new();
    for path in [
        "/api/users/1",
        "/api/users/slow/20",
        "/api/users/status/503",
    ] {
        client
            .get(gateway.url(path))
            .send()
            .await
            .expect("an answer");
    }
    let post = client.post(gateway.url("/api/users/1")).send().await;
    assert_eq!(post.expect("an answer").status(), 200);
    until_value(&gateway, &series("count", "GET", ok), 2.0).await;
    until_value(&gateway, &series("count", "POST", ok), 1.0).await;
    let failed = (503, "SERVER_ERROR", "SERVICE_UNAVAILABLE");
    until_value(&gateway, &series("count", "GET", failed), 1.0).await;
    let sum = value(&gateway, &series("sum", "GET", ok)).await;
    let max = value(&gateway, &series("max", "GET", ok)).await;
    assert!(max >= Some(0.02) && sum >= max, "{sum:?} {max:?}");
    until_value(&gateway, "spring_cloud_gateway_routes_count", 1.0).await;
    let metrics = gateway.metrics().await;
    for described in [
        "# TYPE spring_cloud_gateway_requests_seconds summary\n",
        "# TYPE spring_cloud_gateway_requests_seconds_max gauge\n",
        "# TYPE spring_cloud_gateway_routes_count gauge\n",
    ] {
        assert!(metrics.contains(described), "{described}");
    }

    let (_world, _upstream, _registered, plain) = World::small().await;
    assert!(!plain.metrics().await.contains("spring_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_reload_shows_its_time_and_whether_it_went_well() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let (ok, at) = (
        "pailou_routes_last_reload_successful",
        "pailou_routes_last_reload_success_timestamp_seconds",
    );
    let now = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("a clock after 1970").as_secs_f64()
    };
    assert_eq!(value(&gateway, ok).await, Some(1.0));
    let first = value(&gateway, at).await.expect("a time");
    assert!(
        now() - first < Duration::from_secs(60).as_secs_f64(),
        "{first}"
    );

    world.publish("routes: { x: { nonsense: 1 } }").await;
    until_value(&gateway, ok, 0.0).await;
    assert_eq!(value(&gateway, at).await, Some(first));
    world
        .publish("routes: { /api/users/**: user-service, /new/**: user-service }")
        .await;
    until_status(&gateway.url("/new/x"), 200).await;
    until_value(&gateway, ok, 1.0).await;
    assert!(value(&gateway, at).await > Some(first));

    let settings = "pailou_settings_last_reload_successful";
    let settings_at = "pailou_settings_last_reload_success_timestamp_seconds";
    assert_eq!(value(&gateway, settings).await, Some(1.0));
    let started = value(&gateway, settings_at).await.expect("a time");
    assert!(now() - started < 120.0, "{started}");
    let file = gateway.folder().join("gateway.yaml");
    let sound = std::fs::read_to_string(&file).expect("the settings");
    std::fs::write(&file, "workers: nonsense").expect("written");
    gateway.signal("-HUP");
    until_value(&gateway, settings, 0.0).await;
    assert_eq!(value(&gateway, settings_at).await, Some(started));
    std::fs::write(&file, sound).expect("written");
    gateway.signal("-HUP");
    until_value(&gateway, settings, 1.0).await;
    assert!(value(&gateway, settings_at).await > Some(started));
}
