//! The monitoring API: the gateway's own registration, seen and changed.

use reqwest::{Client, Response};
use serde_json::Value;

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World};

const TOKEN: &str = "0123456789abcdef";

async fn post(gateway: &Gateway, what: &str, token: Option<&str>) -> Response {
    let url = gateway.admin_url(&format!("/monitoring/nacos/service/{what}"));
    let mut request = Client::new().post(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.expect("an answer")
}

async fn json(response: Response) -> Value {
    response.json().await.expect("JSON")
}

/// How many gateways Nacos has.
fn registered(world: &World) -> usize {
    world.instances("pailou-gateway").len()
}

/// A gateway with a token, and one route to a service with one instance.
async fn guarded(more: &str) -> (World, Upstream, Registered, Gateway) {
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let instance = world.register("user-service", upstream.address()).await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let variables = [("PAILOU_ADMIN_TOKEN", TOKEN)];
    let gateway = Gateway::start_with(&world.settings(more), &[], &variables).await;
    (world, upstream, instance, gateway.ready().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_registration_and_any_service_are_shown() {
    let (world, upstream, _registered, gateway) =
        World::small_with("admin: { address: '127.0.0.1:0', any_service: true }").await;
    let own = gateway
        .admin_until("the registration", "/monitoring/nacos/service", |own| {
            own["registered"] == true
        })
        .await;
    assert_eq!(own["service"], "DEFAULT_GROUP@@pailou-gateway", "{own}");
    assert_eq!(own["address"], gateway.data().to_string(), "{own}");
    assert_eq!(
        own["connections"][0]["connection"]["connected"], true,
        "{own}"
    );

    // No route names this one.
    let _other = world.register("other-service", upstream.address()).await;
    for name in ["user-service", "DEFAULT_GROUP@@other-service"] {
        let seen = gateway
            .admin_json(&format!("/monitoring/nacos/service/{name}/instances"))
            .await;
        assert_eq!(
            (&seen["count"], &seen["healthy"]),
            (&1.into(), &1.into()),
            "{seen}"
        );
        assert_eq!(
            seen["instances"][0]["port"],
            upstream.address().port(),
            "{seen}"
        );
    }
    let nobody = gateway
        .admin_json("/monitoring/nacos/service/nobody/instances")
        .await;
    assert_eq!(nobody["count"], 0, "{nobody}");
}

/// Whoever reached the interface could ask Nacos for every service there is.
#[tokio::test(flavor = "multi_thread")]
async fn services_that_the_gateway_does_not_follow_are_not_told_of() {
    let (world, upstream, _registered, gateway) = World::small().await;
    let _other = world.register("other-service", upstream.address()).await;
    for (name, status) in [
        ("user-service", 200),
        ("DEFAULT_GROUP@@user-service", 200),
        ("pailou-gateway", 200),
        ("other-service", 404),
        ("OTHER@@user-service", 404),
    ] {
        let path = format!("/monitoring/nacos/service/{name}/instances");
        let answer = reqwest::get(gateway.admin_url(&path))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), status, "{name}");
        if status == 404 {
            let said = json(answer).await["detail"].to_string();
            assert!(said.contains("admin.any_service"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_leaves_and_comes_back_for_who_has_the_token() {
    let (world, _upstream, _instance, gateway) = guarded("").await;
    until("the registration", async || {
        (registered(&world) == 1).then_some(())
    })
    .await;
    for what in ["deregister", "register"] {
        for token in [None, Some("wrong-wrong-wrong"), Some("")] {
            let refused = post(&gateway, what, token).await;
            assert_eq!(refused.status(), 401, "{what} {token:?}");
            assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(registered(&world), 1);
    for _ in 0..2 {
        let left = post(&gateway, "deregister", Some(TOKEN)).await;
        assert_eq!(left.status(), 200);
        assert_eq!(json(left).await["registered"], false);
        assert_eq!(registered(&world), 0);
        // It serves all the same.
        let answer = reqwest::get(gateway.url("/api/users/1"))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);

        let back = post(&gateway, "register", Some(TOKEN)).await;
        assert_eq!(back.status(), 200);
        assert_eq!(json(back).await["registered"], true);
        assert_eq!(registered(&world), 1);
        let again = post(&gateway, "register", Some(TOKEN)).await;
        assert_eq!(again.status(), 200, "it is registered already");
    }
    let said = gateway.log().join("\n");
    assert!(!said.contains(TOKEN), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_can_be_changed() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    until("the registration", async || {
        (registered(&world) == 1).then_some(())
    })
    .await;
    for token in [None, Some(""), Some(TOKEN)] {
        let refused = post(&gateway, "deregister", token).await;
        assert_eq!(refused.status(), 403);
        let detail = json(refused).await["detail"].to_string();
        assert!(detail.contains("admin.token_file"), "{detail}");
    }
    assert_eq!(registered(&world), 1);
    let url = gateway.admin_url("/monitoring/nacos/service/register");
    let read = reqwest::get(url).await.expect("an answer");
    assert_eq!(read.status(), 405, "what changes something is not read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_register_says_so() {
    let more = "registration: { enabled: false }";
    let (world, _upstream, _instance, gateway) = guarded(more).await;
    let refused = post(&gateway, "register", Some(TOKEN)).await;
    assert_eq!(refused.status(), 409);
    assert!(
        json(refused).await["detail"]
            .to_string()
            .contains("registration.enabled")
    );
    assert_eq!(registered(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probes_listener_has_nothing_of_it() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let answer = reqwest::get(gateway.probes_url("/monitoring/nacos/service")).await;
    assert_eq!(answer.expect("an answer").status(), 404);
}
