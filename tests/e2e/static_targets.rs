//! Routes that go to a URL instead of a service.

use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by, until_status};

#[tokio::test(flavor = "multi_thread")]
async fn a_route_goes_to_an_address_and_to_a_host_name() {
    let world = World::new().await;
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    world
        .publish(&format!(
            "routes:\n  /address/**: {{ to: 'http://{}', strip_prefix: 1 }}\n  \
             /name/**: {{ to: 'http://localhost:{}' }}\n",
            one.address(),
            two.address().port()
        ))
        .await;
    let gateway = world.gateway().await.ready().await;
    until_answered_by(&gateway.url("/address/x"), "one").await;
    until_answered_by(&gateway.url("/name/x"), "two").await;
    let answer = reqwest::get(gateway.url("/address/x?y=1"))
        .await
        .expect("an answer");
    let body = answer.text().await.expect("a body");
    assert_eq!(body, "one GET /x?y=1");

    // It is a service like any other: seen, counted, ejected.
    let services = gateway.admin_json("/api/v1/services").await;
    let name = format!("http://{}", one.address());
    let view = services
        .as_array()
        .into_iter()
        .flatten()
        .find(|service| service["service"] == *name)
        .unwrap_or_else(|| panic!("{services:#}"));
    assert_eq!(view["nacos"], "static", "{view}");
    assert_eq!(view["endpoints"][0]["in"], true, "{view}");
    assert_eq!(view["feed"]["known"], true, "{view}");
    let metrics = gateway.metrics().await;
    let series = format!(
        "pailou_service_endpoints{{nacos=\"\",namespace=\"\",group=\"\",service=\"{name}\",state=\"eligible\"}} 1"
    );
    assert!(metrics.contains(&series), "{metrics}");

    one.kill();
    until_status(&gateway.url("/address/x"), 502).await;
    gateway.logged(&["an endpoint was ejected", &name]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_moves_between_a_service_and_a_url_without_a_failure() {
    let (world, one, _registered, gateway) = World::small().await;
    let two = Upstream::start("two");
    let url = gateway.url("/api/users/1");
    until_answered_by(&url, one.name()).await;
    let to = format!(
        "routes: {{ /api/users/**: {{ to: 'http://{}' }} }}",
        two.address()
    );
    let load = crate::support::load::Load::get(&url, 2);
    load.reached(50).await;
    world.publish(&to).await;
    until_answered_by(&url, "two").await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    until_answered_by(&url, "one").await;
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_resolved_or_must_not_be_reached_answers_503_and_says_why() {
    let world = World::new().await;
    world
        .publish(
            "routes:\n  /nowhere/**: { to: 'http://nowhere.invalid' }\n  \
             /metadata/**: { to: 'http://169.254.169.254' }\n",
        )
        .await;
    let gateway = world.gateway().await.ready().await;
    until_status(&gateway.url("/nowhere/x"), 503).await;
    until_status(&gateway.url("/metadata/x"), 503).await;
    gateway
        .logged(&["cannot be resolved", "http://nowhere.invalid:80"])
        .await;
    gateway
        .logged(&[
            "an endpoint is listed but refused",
            "169.254.169.254",
            "link-local",
        ])
        .await;
}
