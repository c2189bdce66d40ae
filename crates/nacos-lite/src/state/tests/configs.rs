//! Configs and their listeners.

use super::*;

#[test]
fn a_config_is_notified_when_its_content_changes() {
    let mut world = World::new();
    let mut client = world.connect(1);
    for (spelling, data_id) in [("", "a"), ("public", "b")] {
        world
            .state
            .listen(client.id, ConfigKey::from(data_id), spelling.into())
            .expect("there is room");
    }
    for (data_id, content, notified) in [
        ("a", "1", true),
        ("a", "1", false),
        ("a", "2", true),
        ("c", "1", false),
    ] {
        world.publish(data_id, content).expect("it is not blank");
        assert_eq!(
            client.unread().len(),
            usize::from(notified),
            "{data_id} {content}"
        );
    }
    assert!(world.state.remove_config(&ConfigKey::from("a"), world.now));
    assert!(!world.state.remove_config(&ConfigKey::from("a"), world.now));
    assert_eq!(
        client.unread()[0].get("tenant"),
        None,
        "absent, as the client spelled it"
    );
    world.publish("b", "1").expect("it is not blank");
    assert_eq!(client.unread()[0]["tenant"], "public");
    world.state.stop_listening(client.id, &ConfigKey::from("b"));
    world.publish("b", "2").expect("it is not blank");
    assert_eq!(client.unread(), Vec::<Value>::new());
}

#[test]
fn a_hash_says_whether_a_config_differs() {
    let mut world = World::new();
    world.publish("a", "k: 1").expect("it is not blank");
    let md5 = "91f4a7bb25cd3347fcc9821061b42d2a";
    for (data_id, md5, differs) in [
        ("a", md5, false),
        ("a", "", true),
        ("a", "x", true),
        ("none", "", false),
        ("none", md5, true),
    ] {
        assert_eq!(
            world.state.config_differs(&ConfigKey::from(data_id), md5),
            differs,
            "{data_id} {md5}"
        );
    }
}

#[test]
fn a_publish_may_be_refused() {
    let mut world = World::new();
    let blank = |content: &str| Err(Refusal::Invalid(format!("content is blank : {content}")));
    assert_eq!(world.publish("a", ""), blank(""));
    assert_eq!(world.publish("a", " \n"), blank(" \n"));
    let swap = |world: &mut World, content, if_md5| {
        let publish = Publish {
            content,
            if_md5: Some(if_md5),
            kind: None,
        };
        world
            .state
            .publish(&ConfigKey::from("a"), &publish, world.now)
    };
    assert_eq!(
        swap(&mut world, "k: 1", "anything"),
        Ok(()),
        "there is nothing to compare with"
    );
    assert_eq!(
        swap(&mut world, "k: 2", "anything"),
        Err(Refusal::CasMismatch)
    );
    assert_eq!(
        swap(&mut world, "k: 2", "91f4a7bb25cd3347fcc9821061b42d2a"),
        Ok(())
    );
    // As if others filled the rest.
    world.state.config_bytes = limits::CONFIG_BYTES - 2;
    assert!(matches!(world.publish("b", "four"), Err(Refusal::Full(_))));
    assert_eq!(
        world.publish("a", "k"),
        Ok(()),
        "the content that it replaces makes room"
    );
    assert_eq!(world.publish("b", "four"), Ok(()));
}
