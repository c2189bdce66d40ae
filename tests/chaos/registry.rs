//! The registry, gone or behind a broken network: nobody notices.

use std::sync::Arc;

use crate::client::OpenLoop;
use crate::fault_proxy::{Fault, FaultProxy};
use crate::figures::Figure;
use crate::origin::Manner;
use crate::stage::{Length, PATH, SERVICE, Stage, endpoints, instance, settings};
use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::world::World;

/// More than this is growth, and not the noise of an allocator.
const GROWTH_BYTES: u64 = 20 << 20;

/// Scenario 2: the registry is down under traffic for a while, then comes back knowing nothing, and is told of everything again.
pub(crate) async fn down(length: Length) -> Vec<Figure> {
    let mut stage = Stage::set(3, Manner::default(), "").await;
    let load = OpenLoop::get(stage.gateway.data(), PATH, length.rate());
    load.goes_on_for(length.seconds(1, 5)).await;
    let before = stage.gateway.resident_bytes().await;
    stage.world.kill_registry().await;
    stage.gateway.logged(&["session", "lost"]).await;
    let from = load.elapsed();
    load.goes_on_for(length.seconds(4, 60)).await;
    let to = load.elapsed();
    let after = stage.gateway.resident_bytes().await;
    stage.world.restart_registry().await;
    // The instances register again by themselves; a new one shows that the gateway hears of changes.
    let _fourth = instance(&stage.world, &stage.ledger, "i3", Manner::default()).await;
    endpoints(&stage.gateway, 4).await;
    let outcome = load.finish().await;
    outcome.assert_clean();
    let grown = after.saturating_sub(before);
    assert!(grown < GROWTH_BYTES, "{grown} bytes more");
    let beside = format!(
        "down for {:.0} s; {} KiB more memory",
        (to - from).as_secs_f64(),
        grown >> 10
    );
    vec![Figure::new("registry down", &outcome.all(), beside)]
}

/// Scenario 4: the network between gateway and registry drops everything, and heals. The connections are not told.
pub(crate) async fn partition(length: Length) -> Vec<Figure> {
    let ledger = Arc::default();
    let world = World::new().await;
    let first = instance(&world, &ledger, "i0", Manner::default()).await;
    world
        .publish(&format!("routes: {{ /api/users/**: {SERVICE} }}"))
        .await;
    let http = FaultProxy::start(world.http(), 1);
    let grpc = FaultProxy::start(world.grpc(), 2);
    let settings = world
        .settings(&settings(""))
        .replace(&world.http().to_string(), &http.address().to_string())
        .replace(
            &format!("grpc_port: {}", world.grpc().port()),
            &format!("grpc_port: {}", grpc.address().port()),
        );
    let gateway = Gateway::start(&settings).await.ready().await;
    let load = OpenLoop::get(gateway.data(), PATH, length.rate());
    load.goes_on_for(length.seconds(1, 5)).await;
    let began = load.elapsed();
    for proxy in [&http, &grpc] {
        proxy.set(Fault::BlackHole);
    }
    gateway.logged(&["WARN", "a session was lost"]).await;
    let detected = load.elapsed() - began;
    // What happens meanwhile is known after the partition.
    let second = instance(&world, &ledger, "i1", Manner::default()).await;
    load.goes_on_for(length.seconds(2, 60)).await;
    let healed = load.elapsed();
    for proxy in [&http, &grpc] {
        proxy.set(Fault::None);
    }
    endpoints(&gateway, 2).await;
    let resynced = load.elapsed() - healed;
    let outcome = load.finish().await;
    outcome.assert_clean();
    until("one subscription", async || {
        (world.registry().subscribers(SERVICE) == 1).then_some(())
    })
    .await;
    assert!(first.origin.served() > 0);
    drop(second);
    let beside = format!(
        "noticed after {:.1} s, all known {:.1} s after it healed",
        detected.as_secs_f64(),
        resynced.as_secs_f64()
    );
    vec![Figure::new(
        "partition from the registry",
        &outcome.all(),
        beside,
    )]
}
