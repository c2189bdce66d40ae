//! The gateway's own cluster first: who gets requests while it is well, and while it is not.

mod support;

use pailou_telemetry::Metrics;
use pailou_upstream::{
    EjectionSettings, EndpointSpec, Hint, Near, Outcome, Policy, ServiceId, Services, Subset, Tried,
};
use support::{World, address, assert_shares, spec};

fn of(cluster: &str, number: u16) -> EndpointSpec {
    EndpointSpec {
        cluster: cluster.into(),
        ..spec(number)
    }
}

/// A world whose gateway is in `hz`, where endpoints 1 to 4 are; 5 and 6 are in `sh`.
fn world(policy: &str, subset: &Subset) -> World {
    fastrand::seed(5);
    let metrics = Metrics::new();
    let near = Near {
        cluster: "hz".to_owned(),
        min_percent: 50,
    };
    let settings = EjectionSettings {
        max_percent: 100,
        ..EjectionSettings::default()
    };
    let services = Services::preferring(Some(near), settings, metrics.clone());
    let service = services.service(&ServiceId::new("", "DEFAULT_GROUP", "user-service"));
    let policy = Policy::named(policy).expect("the policy is listed");
    let selection = services.selection(&service, subset, &policy);
    let world = World {
        metrics,
        services,
        service,
        selection,
    };
    world.update(all());
    world
}

fn all() -> Vec<EndpointSpec> {
    let near = (1..=4).map(|number| of("hz", number));
    near.chain((5..=6).map(|number| of("sh", number))).collect()
}

fn away(world: &World) -> Option<u8> {
    world.service.view().selections[0].away_percent
}

#[test]
fn requests_stay_while_enough_is_well_and_leave_in_proportion() {
    for policy in ["round_robin", "random", "least_request", "peak_ewma"] {
        let world = world(policy, &Subset::default());
        let shares = |what: &str, weights: &[f64]| {
            let shares = world.shares(20_000);
            assert_shares(&shares, weights, 1.5, &format!("{policy}: {what}"));
        };
        shares("all are well", &[1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        world.report(1, Outcome::Refused);
        world.report(2, Outcome::Refused);
        shares("half is well", &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(away(&world), None);
        world.report(3, Outcome::Refused);
        shares("a quarter is well", &[0.0, 0.0, 0.0, 2.0, 1.0, 1.0]);
        assert_eq!(away(&world), Some(50));
        world.assert_metric("pailou_service_away_ratio{nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"} 0.5");
        world.report(4, Outcome::Refused);
        shares("none is well", &[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(away(&world), Some(100));
    }
}

#[test]
fn what_the_registry_believes_to_be_dead_counts_as_not_well() {
    let world = world("round_robin", &Subset::default());
    let mut endpoints = all();
    for endpoint in &mut endpoints[..3] {
        endpoint.healthy = false;
    }
    // What an operator took out is not meant to serve.
    endpoints.push(EndpointSpec {
        enabled: false,
        ..of("hz", 7)
    });
    world.update(endpoints);
    assert_eq!(away(&world), Some(50));
    assert_shares(
        &world.shares(4_000),
        &[0.0, 0.0, 0.0, 2.0, 1.0, 1.0],
        1.0,
        "a quarter",
    );
}

#[test]
fn a_retry_goes_elsewhere_when_nobody_is_left_here() {
    let world = world("round_robin", &Subset::default());
    let mut tried = Tried::none();
    for _ in 0..4 {
        let pick = world
            .selection
            .pick(&Hint::after(&tried))
            .expect("one of hz");
        assert!(pick.address().port() <= 4);
        tried.push(pick.address());
    }
    for _ in 0..2 {
        let pick = world
            .selection
            .pick(&Hint::after(&tried))
            .expect("one of sh");
        assert!(pick.address().port() > 4);
        tried.push(pick.address());
    }
    assert!(world.selection.pick(&Hint::after(&tried)).is_err());
}

#[test]
fn who_names_a_cluster_means_that_one_and_who_has_one_only_uses_it() {
    let subset = Subset {
        cluster: Some("sh".to_owned()),
        ..Subset::default()
    };
    let other = world("round_robin", &subset);
    assert_shares(
        &other.shares(400),
        &[0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
        1.0,
        "sh",
    );
    let world = world("round_robin", &Subset::default());
    world.update([of("sh", 5), of("bj", 6)]);
    assert_shares(
        &world.shares(400),
        &[0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
        1.0,
        "no hz",
    );
    assert_eq!(away(&world), None, "nobody leaves where nobody is at home");
    world.update([of("hz", 1), of("hz", 2)]);
    world.report(1, Outcome::Refused);
    assert_eq!(world.pick().address(), address(2), "nowhere else to go");
}
