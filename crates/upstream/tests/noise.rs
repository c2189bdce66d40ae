//! What the log says of an endpoint that goes on failing.

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pailou_upstream::{EndpointSet, EndpointSpec, Hint, Outcome, Pick, Policy, ServiceId, Subset};
use support::{ANSWERED, World, spec};
use tokio::time::{Instant, advance};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

impl Log {
    /// A log at INFO that this thread writes to until the guard is dropped.
    fn start() -> (Log, impl Drop) {
        use tracing_subscriber::util::SubscriberInitExt;
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(log.clone());
        (log, subscriber.finish().set_default())
    }

    /// The lines since the last call.
    fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("not poisoned"));
        let text = String::from_utf8(bytes).expect("text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

/// Sends a request, which fails if it is for endpoint 1.
fn ask(pick: Pick) {
    let is_dead = pick.address().port() == 1;
    pick.report(if is_dead { Outcome::Refused } else { ANSWERED });
}

/// Fails endpoint 1 whenever it gets a request, for so long.
async fn fail_for(world: &World, seconds: u64) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        ask(world.pick());
        advance(Duration::from_millis(100)).await;
        world.services.advance();
    }
}

#[tokio::test(start_paused = true)]
async fn one_line_begins_one_a_minute_reminds_and_one_ends() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    let (log, _guard) = Log::start();
    fail_for(&world, 59).await;
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("WARN"), "{lines:?}");
    assert!(lines[0].contains("an endpoint was ejected"), "{lines:?}");

    fail_for(&world, 181).await;
    let lines = log.lines();
    assert!((2..=4).contains(&lines.len()), "{lines:?}");
    for line in &lines {
        assert!(line.starts_with("WARN"), "{line}");
        assert!(
            line.contains("an ejected endpoint goes on failing"),
            "{line}"
        );
        assert!(line.contains("ejections="), "{line}");
    }

    // It answers; a relapse within seconds is the same trouble.
    let mut answers = 0;
    for _ in 0..900 {
        let pick = world.pick();
        answers += u32::from(pick.address().port() == 1);
        pick.report(ANSWERED);
        drop(pick);
        advance(Duration::from_millis(100)).await;
        world.services.advance();
    }
    assert!(answers > 0);
    let lines = log.lines();
    let last = lines.last().expect("a line");
    assert!(last.starts_with("INFO"), "{lines:?}");
    assert!(last.contains("an ejected endpoint returned"), "{lines:?}");
    assert!(last.contains("reason=\"answered\""), "{lines:?}");
    let ends = lines
        .iter()
        .filter(|line| line.contains("returned"))
        .count();
    assert_eq!(ends, 1, "{lines:?}");
    world.assert_metric("pailou_service_returns_total{nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"} 1");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_and_goes_is_one_trouble() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    let (log, _guard) = Log::start();
    for _ in 0..14 {
        fail_for(&world, 1).await;
        for _ in 0..40 {
            world.shares(3);
            advance(Duration::from_millis(100)).await;
            world.services.advance();
        }
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "the first and a reminder: {lines:?}");
}

#[tokio::test(start_paused = true)]
async fn the_trouble_ends_with_a_fresh_registration_and_with_the_listing() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    world.report(1, Outcome::Refused);
    let (log, _guard) = Log::start();
    let fresh = EndpointSpec {
        registration: 1,
        ..spec(1)
    };
    world.update([fresh, spec(2), spec(3)]);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("registered afresh"), "{lines:?}");

    world.report(2, Outcome::Reset);
    log.lines();
    world.update([spec(3)]);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("an ejected endpoint is no longer listed"),
        "{lines:?}"
    );
}

/// Each service said of a dead address what the others had said: ten services, ten lines a minute.
#[tokio::test(start_paused = true)]
async fn an_address_of_several_services_is_one_story() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    let id = ServiceId::new("", "DEFAULT_GROUP", "order-service");
    let other = world.services.service(&id);
    let policy = Policy::named("round_robin").expect("a policy");
    let selection = (world.services).selection(&other, &Subset::default(), &policy);
    other.update(EndpointSet::of([spec(1), spec(2), spec(3)]));
    let (log, _guard) = Log::start();
    for _ in 0..900 {
        ask(selection.pick(&Hint::first()).expect("an endpoint"));
        ask(world.pick());
        advance(Duration::from_millis(100)).await;
        world.services.advance();
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "the first and a reminder: {lines:?}");
    assert!(lines[0].contains("an endpoint was ejected"), "{lines:?}");
    for name in ["order-service", "user-service"] {
        assert!(lines[1].contains(name), "{lines:?}");
    }

    // Over for one of them is not over.
    world.update([spec(2), spec(3)]);
    assert_eq!(log.lines(), Vec::<String>::new());
    drop(selection);
    other.update(EndpointSet::of([spec(2)]));
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let pieces = [
        "an ejected endpoint is no longer listed",
        "order-service",
        "user-service",
    ];
    assert!(
        pieces.iter().all(|piece| lines[0].contains(piece)),
        "{lines:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_trouble_of_a_service_that_no_route_uses_is_over() {
    let world = World::new("round_robin");
    world.weights(&[1.0; 3]);
    world.report(1, Outcome::Refused);
    let (log, _guard) = Log::start();
    drop(world);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("no longer listed"), "{lines:?}");
}
