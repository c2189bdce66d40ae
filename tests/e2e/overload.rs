//! More requests than can be served well: which of them are shed, and that the others are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::support::until;
use crate::support::world::{World, until_status};

const ROUTES: &str = "
routes:
  /low/**: { service: user-service, strip_prefix: 1, filters: [ { priority: low } ] }
  /normal/**: { service: user-service, strip_prefix: 1 }
  /high/**: { service: user-service, strip_prefix: 1, filters: [ { priority: high } ] }
";

async fn status(url: &str, priority: &str) -> u16 {
    let asked = reqwest::Client::new()
        .get(url)
        .header("x-priority", priority);
    asked.send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_matters_less_is_shed_first_and_at_once() {
    let overload = "overload: { requests: 10, low_percent: 50, normal_percent: 80, priority_header: x-priority }";
    let (world, _upstream, _registered, gateway) = World::small_with(overload).await;
    world.publish(ROUTES).await;
    until_status(&gateway.url("/high/1"), 200).await;
    let waiting = async |requests: u64| {
        until(&format!("{requests} to wait"), async || {
            (gateway.value("pailou_requests_waiting").await == requests).then_some(())
        })
        .await;
    };
    let mut held = Vec::new();
    let mut hold = |requests: usize| {
        for _ in 0..requests {
            let url = gateway.url("/high/slow/15000");
            held.push(tokio::spawn(async move { status(&url, "high").await }));
        }
    };
    let ask = async |route: &str, priority: &str| {
        let began = Instant::now();
        let status = status(&gateway.url(&format!("/{route}/1")), priority).await;
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "{:?}",
            began.elapsed()
        );
        status
    };
    hold(5);
    waiting(5).await;
    assert_eq!(ask("low", "").await, 503);
    assert_eq!(
        ask("low", "high").await,
        503,
        "nobody makes himself important"
    );
    assert_eq!(ask("normal", "low").await, 503);
    assert_eq!(ask("normal", "").await, 200);
    hold(3);
    waiting(8).await;
    assert_eq!(ask("normal", "").await, 503);
    assert_eq!(ask("high", "").await, 200);
    hold(2);
    waiting(10).await;
    let shed = reqwest::get(gateway.url("/high/1"))
        .await
        .expect("an answer");
    assert_eq!(
        (shed.status().as_u16(), &shed.headers()["retry-after"]),
        (503, &"1".parse().expect("a value"))
    );
    assert!(
        shed.text()
            .await
            .expect("a body")
            .contains("\"overloaded\"")
    );
    // Probes and the admin interface are asked elsewhere, and answer.
    until_status(&gateway.probes_url("/readyz"), 200).await;
    gateway.admin_json("/api/v1/status").await;
    for (priority, expected) in [("low", 3), ("normal", 1), ("high", 1)] {
        let name = format!("pailou_requests_shed_total{{priority=\"{priority}\"}}");
        assert_eq!(gateway.value(&name).await, expected, "{priority}");
    }
    for one in held {
        one.abort();
    }
    waiting(0).await;
    assert_eq!(ask("low", "").await, 200);
}

/// Three times as many clients as may wait: the service sees no more than it can bear, and goes on answering.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_never_asked_for_more_than_it_can_bear() {
    let (world, upstream, _registered, gateway) =
        World::small_with("overload: { requests: 10, normal_percent: 100 }").await;
    world.publish(ROUTES).await;
    until_status(&gateway.url("/normal/1"), 200).await;
    let (served, shed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..30)
        .map(|_| {
            let url = gateway.url("/normal/slow/50");
            let (served, shed) = (Arc::clone(&served), Arc::clone(&shed));
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                while served.load(Relaxed) < 200 {
                    let answer = client.get(&url).send().await.expect("an answer");
                    match answer.status().as_u16() {
                        200 => served.fetch_add(1, Relaxed),
                        503 => shed.fetch_add(1, Relaxed),
                        other => panic!("{other}"),
                    };
                }
            })
        })
        .collect();
    let mut most = 0;
    until("200 requests to be served", async || {
        most = most.max(upstream.active());
        (served.load(Relaxed) >= 200).then_some(())
    })
    .await;
    for client in clients {
        client.await.expect("only 200 and 503");
    }
    assert!(most <= 10, "{most} at once");
    assert!(shed.load(Relaxed) > 0);
}
