//! Services and selections: interning, first state, subsets, errors and the view.

mod support;

use std::sync::Arc;
use std::time::Duration;

use pailou_upstream::{
    EndpointSet, EndpointSpec, Hint, NoEndpoint, Outcome, Policy, Reason, ServiceId, Subset, Tried,
};
use support::{World, address, assert_shares, spec};

#[test]
fn services_and_selections_are_shared_as_long_as_they_are_held() {
    let world = World::new("round_robin");
    let again = world.services.service(world.service.id());
    assert!(Arc::ptr_eq(&again, &world.service));
    let policy = Policy::round_robin();
    let same = world
        .services
        .selection(&again, &Subset::default(), &policy);
    assert!(Arc::ptr_eq(&same, &world.selection));
    let random = Policy::named("random").expect("it is listed");
    let cluster = Subset {
        split: None,
        cluster: Some("hz".into()),
        ..Subset::default()
    };
    let others = [
        world
            .services
            .selection(&again, &Subset::default(), &random),
        world.services.selection(&again, &cluster, &policy),
    ];
    assert!(
        others
            .iter()
            .all(|other| !Arc::ptr_eq(other, &world.selection))
    );
    assert_eq!(world.service.view().selections.len(), 3);
    drop(others);
    assert_eq!(world.service.view().selections.len(), 1);

    let id = ServiceId::new("dev", "DEFAULT_GROUP", "order-service");
    let other = world.services.service(&id);
    let names = |world: &World| -> Vec<String> {
        world
            .services
            .all()
            .iter()
            .map(|service| service.label().to_owned())
            .collect()
    };
    assert_eq!(
        names(&world),
        [
            "DEFAULT_GROUP@@user-service",
            "dev/DEFAULT_GROUP@@order-service"
        ]
    );
    drop(other);
    assert_eq!(names(&world), ["DEFAULT_GROUP@@user-service"]);
}

#[test]
fn the_reason_for_no_endpoint_is_told() {
    let world = World::new("round_robin");
    let error = |world: &World| world.selection.pick(&Hint::first()).err();
    assert_eq!(error(&world), Some(NoEndpoint::Unknown));
    world.weights(&[]);
    assert_eq!(error(&world), Some(NoEndpoint::Empty));
    assert!(world.selection.is_empty());
    world.weights(&[0.0]);
    assert_eq!(error(&world), Some(NoEndpoint::NoneEligible));
    world.weights(&[1.0]);
    assert_eq!(error(&world), None);
    let mut tried = Tried::none();
    tried.push(address(1));
    assert_eq!(
        world.selection.pick(&Hint::after(&tried)).err(),
        Some(NoEndpoint::AllTried)
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_first_state_can_pick_at_once() {
    let world = World::new("round_robin");
    assert!(!world.service.is_known());
    let waited = tokio::time::timeout(Duration::from_secs(2), world.service.known()).await;
    assert!(waited.is_err(), "nobody has said anything yet");
    let (service, selection) = (Arc::clone(&world.service), Arc::clone(&world.selection));
    let waiting = tokio::spawn(async move {
        service.known().await;
        selection.pick(&Hint::first()).map(|pick| pick.address())
    });
    tokio::task::yield_now().await;
    world.weights(&[1.0]);
    assert_eq!(waiting.await.expect("the task"), Ok(address(1)));
    world.service.known().await;
}

#[test]
fn a_selection_that_is_made_late_knows_what_is_known() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    let random = Policy::named("random").expect("it is listed");
    let selection = world
        .services
        .selection(&world.service, &Subset::default(), &random);
    assert_eq!(selection.len(), 3);
}

#[test]
fn a_subset_picks_its_own_only() {
    let world = World::new("round_robin");
    let of = |number, cluster: &str, version: &str| EndpointSpec {
        cluster: cluster.into(),
        metadata: Arc::new([("version".to_owned(), version.to_owned())].into()),
        ..spec(number)
    };
    world.update([of(1, "hz", "v1"), of(2, "hz", "v2"), of(3, "sh", "v2")]);
    let subset = Subset {
        split: None,
        cluster: Some("hz".into()),
        metadata: [("version".into(), "v2".into())].into(),
    };
    let selection = world
        .services
        .selection(&world.service, &subset, world.selection.policy());
    assert_eq!(selection.len(), 1);
    assert_eq!(
        selection.pick(&Hint::first()).expect("one").address(),
        address(2)
    );
    world.update([of(1, "hz", "v1"), of(3, "sh", "v2")]);
    assert_eq!(
        selection.pick(&Hint::first()).err(),
        Some(NoEndpoint::NoneEligible)
    );
    world.update([of(1, "hz", "v2"), of(3, "sh", "v2")]);
    assert_eq!(
        selection
            .pick(&Hint::first())
            .expect("a change of labels alone")
            .address(),
        address(1)
    );
}

#[test]
fn health_marks_that_mean_nothing_are_ignored() {
    let world = World::new("round_robin");
    let sick = |number| EndpointSpec {
        healthy: false,
        ..spec(number)
    };
    let set = EndpointSet::of([
        sick(1),
        sick(2),
        EndpointSpec {
            enabled: false,
            ..spec(3)
        },
    ]);
    world.service.update(EndpointSet {
        health_is_known: false,
        ..set.clone()
    });
    assert_eq!(world.selection.len(), 2);
    assert_eq!(world.reasons(1), "eligible");
    world.service.update(set);
    assert_eq!(world.selection.len(), 0);
    assert_eq!(world.reasons(1), "unhealthy");
}

#[test]
fn an_address_that_is_listed_twice_counts_once() {
    let world = World::new("round_robin");
    let of = |cluster: &str, enabled| EndpointSpec {
        cluster: cluster.into(),
        enabled,
        ..spec(1)
    };
    world.update([of("a", false), of("b", true), of("c", true), spec(2)]);
    assert_eq!(world.selection.len(), 2);
    assert_shares(&world.shares(1_000), &[1.0, 1.0], 0.2, "twice listed");
    let rows = world.service.view().endpoints;
    let row = |at: usize| (rows[at].cluster.as_str(), rows[at].is_in);
    assert_eq!(
        [row(0), row(1), row(2)],
        [("a", false), ("b", true), ("c", true)]
    );
    let service =
        "nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"";
    world.assert_metric(&format!(
        "pailou_service_endpoints{{{service},state=\"eligible\"}} 2"
    ));
}

#[test]
fn each_selection_sees_the_listing_that_fits_it() {
    let world = World::new("round_robin");
    let of = |cluster: &str, version: &str, weight| EndpointSpec {
        cluster: cluster.into(),
        metadata: Arc::new([("version".to_owned(), version.to_owned())].into()),
        weight,
        ..spec(1)
    };
    let subset = |cluster: Option<&str>, version: Option<&str>| Subset {
        split: None,
        cluster: cluster.map(str::to_owned),
        metadata: version
            .map(|version| ("version".to_owned(), version.to_owned()))
            .into_iter()
            .collect(),
    };
    // Weight 0 beside weight 1, two versions, two clusters; the one that cannot be used stands first and last.
    let listings = [
        of("hz", "v1", 0.0),
        of("hz", "v2", 1.0),
        of("sh", "v1", 2.0),
        of("sh", "v2", f64::NAN),
    ];
    for rotation in 0..listings.len() {
        let mut listings = listings.clone();
        listings.rotate_left(rotation);
        world.update(listings);
        for (cluster, version, expected) in [
            (None, None, 1),
            (Some("hz"), None, 1),
            (Some("sh"), None, 1),
            (None, Some("v1"), 1),
            (None, Some("v2"), 1),
            (Some("hz"), Some("v1"), 0),
            (Some("hz"), Some("v2"), 1),
            (Some("sh"), Some("v1"), 1),
            (Some("sh"), Some("v2"), 0),
        ] {
            let subset = subset(cluster, version);
            let policy = world.selection.policy();
            let selection = world.services.selection(&world.service, &subset, policy);
            assert_eq!(selection.len(), expected, "{subset} {rotation}");
        }
    }
    // The state is the address's: what one selection finds dead is dead for all.
    let sh = subset(Some("sh"), None);
    let selection = world
        .services
        .selection(&world.service, &sh, world.selection.policy());
    let pick = selection.pick(&Hint::first()).expect("the address");
    assert_eq!(world.view(1).in_flight, 1);
    pick.report(Outcome::Refused);
    let reasons = world.service.view().endpoints;
    assert!(
        reasons
            .iter()
            .all(|row| row.reasons.contains(&Reason::Ejected))
    );
}

#[test]
fn the_view_says_of_every_endpoint_why_it_is_in_or_out() {
    let world = World::new("round_robin");
    world.update([
        spec(1),
        EndpointSpec {
            enabled: false,
            ..spec(2)
        },
        EndpointSpec {
            healthy: false,
            ..spec(3)
        },
        EndpointSpec {
            weight: 0.0,
            ..spec(4)
        },
        EndpointSpec {
            weight: f64::NAN,
            ..spec(5)
        },
        EndpointSpec {
            held: true,
            ..spec(6)
        },
        spec(7),
        EndpointSpec {
            enabled: false,
            healthy: false,
            weight: -2.0,
            ..spec(8)
        },
    ]);
    world.report(7, Outcome::Refused);
    let _pick = world.pick_of(1);
    for (number, is_in, reasons) in [
        (1, true, "eligible"),
        (2, false, "disabled"),
        (3, false, "unhealthy"),
        (4, false, "weight zero"),
        (5, false, "weight refused"),
        (6, true, "held"),
        (7, false, "ejected"),
        (8, false, "disabled, unhealthy, weight refused"),
    ] {
        assert_eq!(
            (world.view(number).is_in, world.reasons(number).as_str()),
            (is_in, reasons),
            "{number}"
        );
    }
    assert_eq!(world.view(1).in_flight, 1);
    assert!(world.view(1).picks >= 1);
    let service =
        "nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"";
    for (state, count) in [
        ("eligible", 1),
        ("ineligible", 5),
        ("ejected", 1),
        ("held", 1),
    ] {
        world.assert_metric(&format!(
            "pailou_service_endpoints{{{service},state=\"{state}\"}} {count}"
        ));
    }
}

#[test]
fn the_view_tells_what_a_subset_filters() {
    let world = World::new("round_robin");
    let of = |number, cluster: &str| EndpointSpec {
        cluster: cluster.into(),
        ..spec(number)
    };
    world.update([of(1, "hz"), of(2, "sh")]);
    let subset = Subset {
        split: None,
        cluster: Some("hz".into()),
        ..Subset::default()
    };
    let selection = world
        .services
        .selection(&world.service, &subset, world.selection.policy());
    let view = world.view(2);
    assert!(view.is_in, "another selection has it");
    assert_eq!(view.filtered_by, ["cluster=hz"]);
    let World {
        service,
        services: _services,
        selection: all,
        ..
    } = world;
    drop(all);
    let view = service.view();
    assert_eq!(view.endpoints[1].reasons, [Reason::Filtered]);
    assert!(!view.endpoints[1].is_in && view.endpoints[0].is_in);
    assert_eq!(selection.len(), 1);
}

#[test]
fn the_view_is_json_with_words() {
    let world = World::new("least_request");
    world.update([
        spec(1),
        EndpointSpec {
            weight: f64::INFINITY,
            ..spec(2)
        },
        spec(3),
    ]);
    let failed = Outcome::Answered {
        status: 500,
        latency: Duration::from_millis(8),
    };
    world.report(1, failed);
    world.report(1, Outcome::Malformed);
    assert!(world.service.view().endpoints[0].ejection.is_none());
    world.report(1, Outcome::Reset);
    let json = serde_json::to_value(world.service.view()).expect("a view is JSON");
    assert_eq!(json["service"], "DEFAULT_GROUP@@user-service");
    assert_eq!(json["known"], true);
    assert_eq!(json["selections"][0]["balance"], "least_request");
    assert_eq!(json["selections"][0]["subset"], "all");
    let ejected = &json["endpoints"][0];
    assert_eq!(ejected["address"], "127.0.0.1:1");
    assert_eq!(ejected["in"], false);
    assert_eq!(ejected["reasons"], serde_json::json!(["ejected"]));
    assert_eq!(ejected["ejection"]["cause"], "reset");
    assert_eq!(ejected["error_answers"], 2);
    assert_eq!(ejected["latency_ms"], 8.0);
    assert!(
        ejected["ejection"]["returns_in_ms"]
            .as_u64()
            .is_some_and(|left| (500..=1_000).contains(&left))
    );
    assert_eq!(json["endpoints"][1]["weight"], serde_json::Value::Null);
    assert_eq!(
        json["endpoints"][1]["reasons"],
        serde_json::json!(["weight refused"])
    );
}

#[test]
fn a_refused_weight_is_reported_once_for_each_change() {
    let world = World::new("round_robin");
    let service =
        "nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"";
    for _ in 0..3 {
        world.weights(&[1.0, f64::NAN]);
    }
    let line = "pailou_service_endpoints_refused_total";
    world.assert_metric(&format!(
        "{line}{{{service},reason=\"weight_not_a_number\"}} 1"
    ));
    world.weights(&[1.0, -1.0]);
    world.assert_metric(&format!("{line}{{{service},reason=\"weight_negative\"}} 1"));
    world.weights(&[1.0, 1.0]);
    world.weights(&[1.0, f64::NAN]);
    world.assert_metric(&format!(
        "{line}{{{service},reason=\"weight_not_a_number\"}} 2"
    ));
}

#[test]
fn a_stale_set_shows() {
    let world = World::new("round_robin");
    world.service.update(EndpointSet {
        stale: true,
        ..EndpointSet::of([spec(1)])
    });
    assert!(world.service.view().stale);
    world.assert_metric("pailou_service_stale{nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"} 1");
    world.weights(&[1.0]);
    assert!(!world.service.view().stale);
}
