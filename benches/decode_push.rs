//! How long does it take until a push of 50,000 instances is in force?
//!
//! The way of a push, step by step: the bytes of the gRPC message to instances, the instances to endpoints, the
//! endpoints to a service with one selection. Endpoints are made here as the gateway does it for instances that are
//! registered by address.
//!
//! ```text
//! cargo bench -p pailou-gateway --bench decode_push
//! ```

mod clock;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use pailou_nacos::wire::{HostInfo, NotifySubscriberRequest, Payload, ServiceInfo};
use pailou_nacos::{Instance, Origin, ServiceState};
use pailou_telemetry::Metrics;
use pailou_upstream::{
    EjectionSettings, EndpointSet, EndpointSpec, Policy, Selection, Service, ServiceId, Services,
    Subset,
};
use prost::Message as _;

use clock::CpuTime;

const INSTANCES: u32 = 50_000;

fn decode_push(criterion: &mut Criterion<CpuTime>) {
    let push = push();
    println!(
        "{INSTANCES} instances, {:.1} MiB on the wire",
        push.len() as f64 / f64::from(1 << 20)
    );
    let state = decode(&push);
    let set = endpoints(&state);
    let mut other = set.clone();
    other.endpoints[0].weight = 3.0;

    let mut group = criterion.benchmark_group("decode_push");
    group.sample_size(10);
    group.bench_function("bytes to instances", |bencher| {
        bencher.iter_with_large_drop(|| decode(black_box(&push)));
    });
    group.bench_function("instances to endpoints", |bencher| {
        bencher.iter_with_large_drop(|| endpoints(black_box(&state)));
    });
    group.bench_function("endpoints into force, all new", |bencher| {
        bencher.iter_batched(|| (world(), set.clone()), update, BatchSize::PerIteration);
    });
    let (service, selection) = world();
    service.update(set.clone());
    assert_eq!(selection.len(), INSTANCES as usize);
    group.bench_function("endpoints into force, one weight new", |bencher| {
        let mut turn = 0;
        let next = || {
            turn += 1;
            if turn % 2 == 0 {
                set.clone()
            } else {
                other.clone()
            }
        };
        bencher.iter_batched(next, |set| service.update(set), BatchSize::PerIteration);
    });
    group.bench_function("all of it, all new", |bencher| {
        let all = |world| update((world, endpoints(&decode(black_box(&push)))));
        bencher.iter_batched(world, all, BatchSize::PerIteration);
    });
    group.finish();
}

/// The push as a server sends it, with the metadata that Java and Python services register with.
fn push() -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    let host = |number: u32| {
        let ip = format!(
            "10.{}.{}.{}",
            number / 62_500,
            number / 250 % 250,
            number % 250 + 1
        );
        let metadata = [
            ("preserved.register.source", "SPRING_CLOUD".to_owned()),
            ("version", format!("1.{}.0", random.u32(..20))),
            ("zone", format!("cn-hangzhou-{}", random.char('a'..='h'))),
            (
                "started",
                format!("17{:011}", random.u64(..100_000_000_000)),
            ),
        ];
        HostInfo {
            instance_id: Some(format!("{ip}#8080#DEFAULT#DEFAULT_GROUP@@order-service")),
            ip,
            port: 8080,
            weight: f64::from(random.u32(1..=4)) / 2.0,
            cluster_name: "DEFAULT".into(),
            service_name: Some("DEFAULT_GROUP@@order-service".into()),
            metadata: metadata
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            instance_heart_beat_interval: Some(5_000),
            instance_heart_beat_time_out: Some(15_000),
            ip_delete_timeout: Some(30_000),
            ..HostInfo::default()
        }
    };
    let info = ServiceInfo {
        name: "order-service".into(),
        group_name: "DEFAULT_GROUP".into(),
        hosts: Some((0..INSTANCES).map(host).collect()),
        valid: true,
        ..ServiceInfo::default()
    };
    let request = NotifySubscriberRequest {
        service_info: Some(info),
        ..Default::default()
    };
    Payload::new(&request).encode_to_vec().into()
}

/// As the client does it, which puts the instances in order.
fn decode(push: &Bytes) -> ServiceState {
    let payload = <Payload as prost::Message>::decode(push.clone()).expect("an envelope");
    let request: NotifySubscriberRequest = payload.decode().expect("a push");
    let info = request.service_info.expect("a state");
    let mut instances: Vec<Instance> = info
        .hosts
        .expect("a host list")
        .into_iter()
        .map(Instance::from)
        .collect();
    instances.sort_by(|one, other| {
        (&one.ip, one.port, &one.cluster).cmp(&(&other.ip, other.port, &other.cluster))
    });
    ServiceState {
        instances: instances.into(),
        protected: info.reach_protection_threshold,
        origin: Origin::Push,
        epoch: 1,
        received: tokio::time::Instant::now(),
    }
}

fn endpoints(state: &ServiceState) -> EndpointSet {
    let endpoint = |instance: &Instance| EndpointSpec {
        weight: instance.weight,
        enabled: instance.enabled,
        healthy: instance.healthy,
        cluster: instance.cluster.as_str().into(),
        metadata: Arc::new(instance.metadata.clone()),
        ..EndpointSpec::new(SocketAddr::new(
            instance.ip.parse().expect("an address"),
            instance.port,
        ))
    };
    EndpointSet::of(state.instances.iter().map(endpoint))
}

type World = (Arc<Service>, Arc<Selection>);

/// A service that knows no endpoint yet, and a selection over it.
fn world() -> World {
    let services = Services::new(EjectionSettings::default(), Metrics::new());
    let service = services.service(&ServiceId::new("", "DEFAULT_GROUP", "order-service"));
    let selection = services.selection(&service, &Subset::default(), &Policy::round_robin());
    (service, selection)
}

/// Returns what was made, to be dropped outside of the measurement.
fn update((world, set): (World, EndpointSet)) -> World {
    world.0.update(set);
    world
}

criterion_group! {
    name = benches;
    config = clock::criterion();
    targets = decode_push
}
criterion_main!(benches);
