//! Instances that die, hang, flap, or are deployed anew.

use std::time::Duration;

use crate::client::OpenLoop;
use crate::figures::Figure;
use crate::origin::{Manner, Origin};
use crate::stage::{Instance, Length, PATH, SERVICE, Stage, endpoints, instance};

/// How long each request takes where some are to be under way when something happens.
fn busy() -> Manner {
    Manner {
        service_time: Duration::from_millis(20),
        ..Manner::default()
    }
}

/// Scenario 7: an instance is killed under load, as by SIGKILL, and comes back where it was. It stays registered all the time.
///
/// No GET fails. A POST fails only if it was written to the dead instance already, and none is carried out twice.
pub(crate) async fn kill(length: Length) -> Vec<Figure> {
    let mut stage = Stage::set(3, busy(), "").await;
    let data = stage.gateway.data();
    let gets = OpenLoop::get(data, PATH, length.rate() / 2.0);
    let posts = OpenLoop::post(data, PATH, length.rate() / 2.0);
    let (mut most, mut kills) = (0, 0);
    for round in 0..length.pick(2, 8) {
        gets.goes_on_for(length.seconds(1, 3)).await;
        let victim = stage.instances.remove(0);
        most += victim.origin.active() as u64;
        kills += 1;
        let address = victim.origin.kill();
        gets.goes_on_for(length.seconds(1, 3)).await;
        let name = format!("back{round}");
        stage.instances.push(Instance {
            origin: Origin::start_at(&name, &stage.ledger, busy(), address),
            registered: victim.registered,
        });
    }
    let (gets, posts) = (gets.finish().await, posts.finish().await);
    gets.assert_clean();
    let lost = posts.all();
    let doubled = stage.ledger.doubled(posts.numbers.clone());
    // What was written after the count is not in it: a share of what one pick of the instance takes.
    let allowed = most + kills * length.pick(4, 40);
    assert!(
        lost.failed() <= allowed,
        "{lost:?}, {allowed} were under way"
    );
    assert!(lost.failures.keys().all(|cause| cause == "502"), "{lost:?}");
    assert_eq!(doubled, 0, "POSTs that were carried out twice");
    let beside = format!("{kills} kills");
    vec![
        Figure::new("kill -9 of an instance, GET", &gets.all(), &beside),
        Figure::new(
            "kill -9 of an instance, POST",
            &lost,
            format!("{beside}; {most} requests were under way at the dead"),
        )
        .with_doubled(doubled),
    ]
}

/// Scenario 17: every instance is replaced as deployments do: deregistered, drained, stopped, started elsewhere, registered.
pub(crate) async fn rolling_deploy(length: Length) -> Vec<Figure> {
    let mut stage = Stage::set(3, busy(), "").await;
    let data = stage.gateway.data();
    let gets = OpenLoop::get(data, PATH, length.rate() / 2.0);
    let posts = OpenLoop::post(data, PATH, length.rate() / 2.0);
    let deployments = length.pick(3, 12);
    for n in 0..deployments {
        let old = stage.instances.remove(0);
        let name = format!("new{n}");
        let new = instance(&stage.world, &stage.ledger, &name, busy()).await;
        endpoints(&stage.gateway, stage.instances.len() + 2).await;
        old.registered.deregister().await;
        endpoints(&stage.gateway, stage.instances.len() + 1).await;
        gets.goes_on_for(length.seconds(1, 5)).await;
        old.origin.leave().await;
        stage.instances.push(new);
        gets.goes_on_for(Duration::from_millis(300)).await;
    }
    let (gets, posts) = (gets.finish().await, posts.finish().await);
    gets.assert_clean();
    posts.assert_clean();
    let doubled = stage.ledger.doubled(posts.numbers.clone());
    assert_eq!(doubled, 0, "POSTs that were carried out twice");
    let served = stage.instances.iter().map(|one| one.origin.served());
    assert!(
        served.min() > Some(0),
        "a new instance of {SERVICE} got nothing"
    );
    let beside = format!("{deployments} instances replaced");
    vec![
        Figure::new("rolling deploy, GET", &gets.all(), &beside),
        Figure::new("rolling deploy, POST", &posts.all(), &beside).with_doubled(doubled),
    ]
}

/// Scenario 6: one instance comes and goes each second. The connections to the others stay as they are.
pub(crate) async fn flapping(length: Length) -> Vec<Figure> {
    let mut stage = Stage::set(3, Manner::default(), "").await;
    let load = OpenLoop::get(stage.gateway.data(), PATH, length.rate());
    load.goes_on_for(length.seconds(2, 10)).await;
    let flapping = stage.instances.remove(0);
    let opened = |stage: &Stage| -> u64 {
        let connections = stage.instances.iter().map(|one| one.origin.connections());
        connections.sum()
    };
    let (before, mut registered) = (opened(&stage), flapping.registered);
    let flaps = length.pick(4, 50);
    for _ in 0..flaps {
        registered.deregister().await;
        load.goes_on_for(Duration::from_secs(1)).await;
        let address = flapping.origin.address();
        registered = stage.world.register(SERVICE, address).await;
        load.goes_on_for(Duration::from_secs(1)).await;
    }
    let new = opened(&stage) - before;
    let outcome = load.finish().await;
    outcome.assert_clean();
    // Two thirds of the requests became all of them: some more connections, and not new ones with each flap.
    let allowed = length.pick(20, 100);
    assert!(new <= allowed, "{new} new connections to the other two");
    let beside = format!("{flaps} times out and in; {new} new connections to the other two");
    vec![Figure::new(
        "an instance that flaps",
        &outcome.all(),
        beside,
    )]
}
