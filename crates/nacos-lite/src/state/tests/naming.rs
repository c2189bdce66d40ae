//! Instances, beats, edits and lists.

use super::*;

#[test]
fn without_beats_an_instance_is_doubted_and_then_removed() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.subscribe(&client, "svc");
    world.register(&beats(1), "svc", instance(1));
    let sent = world.pass_acknowledged(seconds(40), &mut client);
    let seen: Vec<_> = sent
        .iter()
        .filter(|(_, body)| body["kind"] == "NotifySubscriberRequest")
        .map(|(at, body)| (*at, body["serviceInfo"]["hosts"][0]["healthy"].clone()))
        .collect();
    assert_eq!(
        seen,
        [
            (500, json!(true)),
            (15_500, json!(false)),
            (30_500, Value::Null)
        ]
    );
}

#[test]
fn a_beat_keeps_and_revives() {
    let (mut world, key) = (World::new(), ServiceKey::from("svc"));
    let mut client = world.connect(1);
    world.register(&beats(1), "svc", instance(1));
    for (pause, healthy_before) in [(14, true), (16, false), (29, false)] {
        world.pass_acknowledged(seconds(pause), &mut client);
        assert_eq!(
            world.only("svc").healthy,
            healthy_before,
            "{pause} s after a beat"
        );
        let beat = world.state.beat(&key, "10.0.0.1", 1, None, world.now);
        assert_eq!(
            beat,
            Ok(Beat::Taken {
                interval: seconds(5)
            })
        );
        assert!(world.only("svc").healthy);
    }
    world.pass_acknowledged(seconds(31), &mut client);
    assert_eq!(
        world.state.beat(&key, "10.0.0.1", 1, None, world.now),
        Ok(Beat::Unknown)
    );
    let full = world
        .state
        .beat(&key, "10.0.0.1", 1, Some(instance(1)), world.now);
    assert_eq!(
        full,
        Ok(Beat::Taken {
            interval: seconds(5)
        })
    );
    assert_eq!(world.ports("svc"), [1]);
}

#[test]
fn metadata_sets_an_instances_own_beat_rules() {
    let mut world = World::new();
    let mut client = world.connect(1);
    let mut hasty = instance(1);
    for (key, value) in [
        ("preserved.heart.beat.timeout", "2000"),
        ("preserved.ip.delete.timeout", "4000"),
    ] {
        hasty.metadata.insert(key.into(), value.into());
    }
    world.register(&beats(1), "svc", hasty);
    world.pass(seconds(3), &mut client);
    assert!(!world.only("svc").healthy);
    world.pass(seconds(1), &mut client);
    assert!(world.ports("svc").is_empty());
}

#[test]
fn a_connection_has_one_registration_for_each_service() {
    let mut world = World::new();
    let owner = Owner::Connection(world.connect(1).id);
    world.register(&owner, "svc", instance(1));
    world.register(&owner, "svc", instance(2));
    assert_eq!(world.ports("svc"), [2]);
    let key = ServiceKey::from("svc");
    world
        .state
        .register(
            owner.clone(),
            &key,
            vec![instance(3), instance(4)],
            world.now,
        )
        .expect("there is room");
    assert_eq!(world.ports("svc"), [3, 4]);
    assert!(world.state.deregister(&owner, &key, world.now));
    assert!(!world.state.deregister(&owner, &key, world.now));
    assert_eq!((world.ports("svc"), world.state.instances), (vec![], 0));
}

#[test]
fn an_operators_edit_outlives_registrations_until_nobody_uses_the_service() {
    let (mut world, key) = (World::new(), ServiceKey::from("svc"));
    let mut client = world.connect(1);
    let place = || ("10.0.0.1".to_owned(), 1, "DEFAULT".to_owned());
    let edit = |enabled, weight: Option<f64>, metadata: &[(&str, &str)]| Edit {
        enabled,
        weight,
        metadata: metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    };
    assert!(
        !world
            .state
            .edit(&key, place(), Edit::default(), false, world.now),
        "there is no such service yet"
    );
    world.register(&beats(1), "svc", instance(1));
    world.state.edit(
        &key,
        place(),
        edit(Some(false), Some(3.0), &[("a", "1")]),
        false,
        world.now,
    );
    world.register(&beats(1), "svc", instance(1));
    let seen = world.only("svc");
    assert_eq!(
        (seen.enabled, seen.weight, seen.metadata["a"].as_str()),
        (false, 3.0, "1")
    );
    assert_eq!(
        world.state.service_info(&key, "", false).hosts,
        Some(vec![]),
        "a disabled instance is not listed"
    );
    // Merged into the former edit, then in place of it.
    world.state.edit(
        &key,
        place(),
        edit(Some(true), None, &[("b", "2")]),
        true,
        world.now,
    );
    let seen = world.only("svc");
    assert_eq!(
        (seen.enabled, seen.weight, seen.metadata.len()),
        (true, 3.0, 2)
    );
    world.state.edit(
        &key,
        place(),
        edit(Some(true), Some(1.0), &[]),
        false,
        world.now,
    );
    assert_eq!(world.only("svc"), instance(1));
    world.state.edit(
        &key,
        place(),
        edit(Some(false), None, &[]),
        false,
        world.now,
    );
    world.state.deregister(&beats(1), &key, world.now);
    world.pass_acknowledged(seconds(61), &mut client);
    world.register(&beats(1), "svc", instance(1));
    assert!(world.only("svc").enabled);
}

#[test]
fn a_service_is_listed_until_nobody_has_used_it_for_a_minute() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.subscribe(&client, "never-registered");
    for name in ["b", "a", "c"] {
        world.register(&beats(1), name, instance(1));
    }
    let names = |world: &World, page, size| {
        world
            .state
            .service_names("public", "DEFAULT_GROUP", page, size)
    };
    assert_eq!(
        names(&world, 1, 10),
        (3, vec!["a".into(), "b".into(), "c".into()])
    );
    assert_eq!(names(&world, 2, 2), (3, vec!["c".into()]));
    assert_eq!(names(&world, 9, 2), (3, vec![]));
    world.pass_acknowledged(seconds(31), &mut client);
    assert_eq!(names(&world, 1, 1).0, 3, "empty for a second");
    world.pass_acknowledged(seconds(60), &mut client);
    assert_eq!(names(&world, 1, 1).0, 0);
    assert_eq!(
        world.state.services.len(),
        1,
        "the subscriber's service stays"
    );
}

#[test]
fn cluster_and_health_filter_an_answer() {
    let (mut world, key) = (World::new(), ServiceKey::from("svc"));
    for (port, cluster, healthy) in [(1, "A", true), (2, "B", true), (3, "B", false)] {
        let it = Instance {
            cluster: cluster.into(),
            healthy,
            ..instance(port)
        };
        world.register(&beats(port), "svc", it);
    }
    for (clusters, healthy_only, expected) in [
        ("", false, vec![1, 2, 3]),
        ("", true, vec![1, 2]),
        ("B", false, vec![2, 3]),
        ("A,B", true, vec![1, 2]),
        ("C", false, vec![]),
    ] {
        let hosts = world
            .state
            .service_info(&key, clusters, healthy_only)
            .hosts
            .expect("always a list");
        assert_eq!(
            hosts.iter().map(|host| host.port).collect::<Vec<_>>(),
            expected,
            "{clusters} {healthy_only}"
        );
    }
}

#[test]
fn a_persistent_instance_outlives_its_connection_and_needs_no_beats() {
    let mut world = World::new();
    let (publisher, mut client) = (world.connect(1), world.connect(2));
    let persistent = Instance {
        ephemeral: false,
        ..instance(1)
    };
    world.register(&Owner::nobody(&persistent), "svc", persistent.clone());
    world.state.disconnect(publisher.id, world.now);
    world.pass_acknowledged(seconds(100), &mut client);
    assert_eq!(world.only("svc"), persistent);

    // The service takes its kind only, even when it is empty, until it is forgotten.
    let key = ServiceKey::from("svc");
    for service in ["with an instance", "empty"] {
        let other = world
            .state
            .register(beats(2), &key, vec![instance(2)], world.now);
        assert!(matches!(other, Err(Refusal::OtherKind(_))), "{service}");
        let owner = Owner::nobody(&persistent);
        world.state.deregister(&owner, &key, world.now);
    }
    world.pass_acknowledged(seconds(61), &mut client);
    world.register(&beats(2), "svc", instance(2));
}

#[test]
fn too_few_healthy_instances_are_all_reported_healthy() {
    let (mut world, key) = (World::new(), ServiceKey::from("svc"));
    for number in 1..=3 {
        let sick = Instance {
            healthy: number == 1,
            ..instance(number)
        };
        world.register(&beats(number), "svc", sick);
    }
    let healthy = |world: &World, healthy_only| {
        let info = world.state.service_info(&key, "", healthy_only);
        let hosts = info.hosts.unwrap_or_default();
        let healthy = hosts.iter().filter(|host| host.healthy).count();
        (healthy, hosts.len(), info.reach_protection_threshold)
    };
    assert_eq!(healthy(&world, false), (1, 3, false), "no threshold at all");
    for (protect_threshold, expected) in [
        (0.0, (1, 3, false)),
        (0.33, (1, 3, false)),
        (0.34, (3, 3, true)),
        (1.0, (3, 3, true)),
    ] {
        let definition = Definition {
            protect_threshold,
            ..Definition::default()
        };
        let defined = world.state.define_service(&key, definition);
        assert_eq!(defined, Ok(()));
        assert_eq!(healthy(&world, false), expected, "{protect_threshold}");
    }
    // The question for healthy ones is about those that are left.
    assert_eq!(healthy(&world, true), (1, 1, true));
    let unknown = world
        .state
        .define_service(&ServiceKey::from("other"), Definition::default());
    assert_eq!(unknown, Err(Denial::NotThere));
}
