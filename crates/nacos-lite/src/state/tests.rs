//! The machine under a clock that the test moves.

use std::time::Duration;

use pailou_nacos::wire::Payload;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::Instance;

struct World {
    state: State,
    start: Instant,
    now: Instant,
}

struct Client {
    id: ConnectionId,
    stream: mpsc::Receiver<Outbound>,
    reset: oneshot::Receiver<()>,
}

/// A message, and the milliseconds since the world began.
type Sent = (u128, Value);

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            state: State::new(Times::from(&Options::default())),
            start: now,
            now,
        }
    }

    fn connect(&mut self, id: u64) -> Client {
        let id = ConnectionId(id);
        let (outbound, stream) = mpsc::channel(limits::QUEUE);
        let (reset_sender, reset) = oneshot::channel();
        let peer = Peer {
            name: id.0.to_string(),
            outbound,
            reset: reset_sender,
        };
        self.state
            .connect(id, peer, self.now)
            .expect("there is room");
        Client { id, stream, reset }
    }

    /// Lets time pass, with everything that happens meanwhile, and returns what the client was sent.
    fn pass(&mut self, time: Duration, client: &mut Client) -> Vec<Sent> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while let Some(due) = self.state.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.state.run_due(self.now);
            let at = self.now.duration_since(self.start).as_millis();
            sent.extend(client.unread().into_iter().map(|message| (at, message)));
        }
        self.now = end;
        sent
    }

    /// The same for a client that acknowledges everything at once.
    fn pass_acknowledged(&mut self, time: Duration, client: &mut Client) -> Vec<Sent> {
        let (end, mut sent) = (self.now + time, Vec::new());
        while self.now < end {
            let step = Duration::from_millis(10).min(end.duration_since(self.now));
            for (at, message) in self.pass(step, client) {
                let id = message["requestId"].as_str().unwrap_or_default().to_owned();
                self.state.acknowledge(client.id, &id, self.now);
                sent.push((at, message));
            }
        }
        sent
    }

    fn register(&mut self, owner: &Owner, service: &str, instance: Instance) {
        let key = ServiceKey::from(service);
        self.state
            .register(owner.clone(), &key, vec![instance], self.now)
            .expect("there is room");
    }

    fn subscribe(&mut self, client: &Client, service: &str) {
        let key = ServiceKey::from(service);
        self.state
            .subscribe(client.id, &key, "", self.now)
            .expect("there is room");
    }

    fn publish(&mut self, data_id: &str, content: &str) -> Result<(), Refusal> {
        let publish = Publish {
            content,
            ..Publish::default()
        };
        self.state
            .publish(&ConfigKey::from(data_id), &publish, self.now)
    }

    fn ports(&self, service: &str) -> Vec<u16> {
        self.state
            .instances(&ServiceKey::from(service))
            .iter()
            .map(|instance| instance.port)
            .collect()
    }

    fn only(&self, service: &str) -> Instance {
        let instances = self.state.instances(&ServiceKey::from(service));
        let [instance] = &instances[..] else {
            panic!("not one instance: {instances:?}")
        };
        instance.clone()
    }
}

impl Client {
    fn unread(&mut self) -> Vec<Value> {
        let body = |message: Outbound| {
            let payload: Payload = message.into_payload();
            let mut body: Value =
                serde_json::from_slice(payload.json()).expect("messages are JSON");
            body["kind"] = json!(payload.kind());
            body
        };
        std::iter::from_fn(|| self.stream.try_recv().ok())
            .map(body)
            .collect()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn beats(port: u16) -> Owner {
    Owner::Beats {
        ip: "10.0.0.1".into(),
        port,
    }
}

fn instance(port: u16) -> Instance {
    Instance::new("10.0.0.1", port)
}

fn hosts(message: &Value) -> Vec<u64> {
    let hosts = message["serviceInfo"]["hosts"]
        .as_array()
        .expect("a push has hosts");
    hosts
        .iter()
        .map(|host| host["port"].as_u64().expect("a host has a port"))
        .collect()
}

fn times(sent: &[Sent]) -> Vec<u128> {
    sent.iter().map(|(at, _)| *at).collect()
}

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
fn a_silent_client_is_asked_and_then_dropped_with_its_instances() {
    let mut world = World::new();
    let mut silent = world.connect(1);
    let mut subscriber = world.connect(2);
    world.register(&Owner::Connection(silent.id), "svc", instance(1));
    world.subscribe(&subscriber, "svc");
    let sent = world.pass_acknowledged(seconds(24), &mut subscriber);
    assert_eq!(hosts(&sent[0].1), [1]);
    let asked = silent.unread();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["kind"], "ClientDetectionRequest");
    let sent = world.pass_acknowledged(seconds(4), &mut subscriber);
    assert_eq!(
        sent.iter()
            .map(|(at, body)| (*at, hosts(body)))
            .collect::<Vec<_>>(),
        [(25_500, vec![])]
    );
    assert!(silent.stream.is_closed(), "the stream ends");
    assert!(silent.reset.try_recv().is_err(), "and it ends cleanly");
    assert!(
        !world.state.touch(silent.id, world.now),
        "later requests are told 301"
    );
}

#[test]
fn a_client_that_answers_stays() {
    let mut world = World::new();
    let mut client = world.connect(1);
    let sent = world.pass_acknowledged(seconds(65), &mut client);
    assert_eq!(sent.len(), 3);
    assert_eq!(world.state.connection_count(), 1);
}

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
fn the_death_of_a_connection_takes_all_that_it_had() {
    let mut world = World::new();
    let client = world.connect(1);
    for service in ["a", "b"] {
        world.register(&Owner::Connection(client.id), service, instance(1));
        world.subscribe(&client, service);
    }
    world.register(&beats(9), "b", instance(9));
    world.state.disconnect(client.id, world.now);
    assert_eq!((world.ports("a"), world.ports("b")), (vec![], vec![9]));
    assert_eq!(world.state.subscribers(&ServiceKey::from("a")), 0);
    assert_eq!(world.state.instances, 1);
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
fn a_dumb_server_asks_nobody_and_drops_nobody() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.state.set_push_fault(|fault| fault.hang = true);
    assert_eq!(world.pass(seconds(100), &mut client), []);
    assert_eq!(world.state.connection_count(), 1);
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

#[test]
fn streams_can_be_reset() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.register(&Owner::Connection(client.id), "svc", instance(1));
    world.state.reset_streams(world.now);
    assert_eq!(client.reset.try_recv(), Ok(()));
    assert_eq!(
        (world.state.connection_count(), world.ports("svc")),
        (0, vec![])
    );
}

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
