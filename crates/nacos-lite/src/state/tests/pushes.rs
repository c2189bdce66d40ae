//! When pushes are sent, gathered, repeated and lost.

use super::*;

#[test]
fn changes_within_the_delay_are_one_push() {
    let mut world = World::new();
    let mut subscriber = world.connect(1);
    let publisher = Owner::Connection(world.connect(2).id);
    world.subscribe(&subscriber, "fast");
    world.pass_acknowledged(seconds(1), &mut subscriber);
    let mut sent = Vec::new();
    for change in 0..10 {
        let mut changed = instance(80);
        changed.metadata.insert("i".into(), change.to_string());
        world.register(&publisher, "fast", changed);
        sent.extend(world.pass_acknowledged(Duration::from_millis(100), &mut subscriber));
    }
    sent.extend(world.pass_acknowledged(seconds(3), &mut subscriber));
    let seen: Vec<_> = sent
        .iter()
        .map(|(_, body)| &body["serviceInfo"]["hosts"][0]["metadata"]["i"])
        .collect();
    assert_eq!(seen, ["4", "9"]);
    assert_eq!(times(&sent), [1500, 2000]);
}

#[test]
fn a_subscription_is_followed_by_a_push_to_that_subscriber_alone() {
    let mut world = World::new();
    let (mut first, mut second) = (world.connect(1), world.connect(2));
    world.subscribe(&first, "svc");
    assert_eq!(
        times(&world.pass_acknowledged(seconds(5), &mut first)),
        [500]
    );
    world.subscribe(&second, "svc");
    assert_eq!(
        times(&world.pass_acknowledged(seconds(5), &mut second)),
        [5500]
    );
    assert_eq!(first.unread(), Vec::<Value>::new());
}

#[test]
fn a_push_shows_the_service_as_it_is_when_it_is_sent() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.subscribe(&client, "svc");
    world.register(&beats(1), "svc", instance(1));
    let sent = world.pass(seconds(1), &mut client);
    assert_eq!(
        sent.iter().map(|(_, body)| hosts(body)).collect::<Vec<_>>(),
        [[1]]
    );
}

#[test]
fn nothing_is_pushed_after_the_end_of_a_subscription() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.subscribe(&client, "svc");
    world.register(&beats(1), "svc", instance(1));
    world
        .state
        .unsubscribe(client.id, &ServiceKey::from("svc"), world.now);
    assert_eq!(world.pass(seconds(5), &mut client), []);
}

#[test]
fn an_unacknowledged_push_of_a_service_is_repeated_every_six_seconds() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.subscribe(&client, "svc");
    let mut sent = Vec::new();
    for _ in 0..19 {
        sent.extend(world.pass(seconds(1), &mut client));
        world.state.touch(client.id, world.now);
    }
    assert_eq!(times(&sent), [500, 6500, 12_500, 18_500]);
}

#[test]
fn an_unacknowledged_push_of_a_config_is_repeated_ever_more_slowly_and_then_given_up() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world
        .state
        .listen(client.id, ConfigKey::from("a"), String::new())
        .expect("there is room");
    world.publish("a", "1").expect("it is not blank");
    assert_eq!(client.unread().len(), 1);
    let mut sent = Vec::new();
    for _ in 0..46 {
        sent.extend(world.pass(seconds(1), &mut client));
        world.state.touch(client.id, world.now);
    }
    assert_eq!(times(&sent), [5_000, 12_000, 21_000, 32_000, 45_000]);
    while world.state.connection_count() == 1 && world.now < world.start + seconds(4000) {
        sent.extend(world.pass(seconds(1), &mut client));
        world.state.touch(client.id, world.now);
    }
    assert_eq!((world.state.connection_count(), sent.len()), (0, 50));
}

#[test]
fn lost_pushes_come_once_the_fault_is_gone() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.subscribe(&client, "svc");
    world.state.set_push_fault(|fault| fault.drop = true);
    assert_eq!(world.pass(seconds(3), &mut client), []);
    world.state.set_push_fault(|fault| fault.drop = false);
    assert_eq!(times(&world.pass(seconds(5), &mut client)), [6500]);
}

#[test]
fn pushes_can_be_late() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.state.set_push_fault(|fault| fault.delay = seconds(2));
    world.subscribe(&client, "svc");
    assert_eq!(times(&world.pass(seconds(5), &mut client)), [2500]);
}

#[test]
fn a_client_that_does_not_read_loses_messages_not_memory() {
    let mut world = World::new();
    let mut client = world.connect(1);
    for number in 0..limits::QUEUE + 10 {
        world.subscribe(&client, &format!("svc{number}"));
    }
    let sent = world.pass(Duration::from_millis(600), &mut client);
    assert_eq!(sent.len(), limits::QUEUE);
}
