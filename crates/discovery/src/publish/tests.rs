use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use pailou_config::{Environment, Fault};
use pailou_filters::Shared;
use pailou_nacos::{Client, ClientOptions};
use pailou_routing::Route;
use pailou_upstream::{EjectionSettings, Services};

use super::*;
use crate::clients::Clients;
use crate::documents::{Documents, Unread};
use crate::snapshot::{DocumentKey, Saved};
use crate::wiring;

/// Compiling a route to this service panics, for as long as the test says so.
const BAD: &str = "bad";

/// A publisher of documents whose compiling can be made to panic.
struct World {
    publisher: Publisher,
    published: watch::Receiver<Published>,
    /// So many times more compiling panics.
    panics: Arc<AtomicUsize>,
}

impl World {
    fn new(documents: &[(&str, Option<&str>)]) -> World {
        let loaded = pailou_config::load_settings(None, &Environment::default());
        let mut settings = loaded.expect("default settings").settings;
        settings.discovery.first_state_timeout = Duration::from_millis(10);
        let metrics = Metrics::new();
        let services = Services::new(EjectionSettings::default(), metrics.clone());
        // Nobody is there: that services stay unknown does not matter here.
        let options = ClientOptions::new("127.0.0.1:9").expect("an address");
        let client = Client::connect(options);
        let connect = |_: &str, _: &str| unreachable!("there is one Nacos");
        let clients = Arc::new(Clients::new(client, Box::new(connect), metrics.clone()));
        let restore_at = Instant::now();
        let saved = &mut Saved::default();
        let feeds = wiring::feeds(&settings, &[], &clients, None, saved, restore_at, &metrics);
        let panics = Arc::new(AtomicUsize::new(0));
        let filters = Arc::new(Shared::new(metrics.clone()));
        let compile = compile_route(services, Arc::clone(&filters), settings.clone());
        let left = Arc::clone(&panics);
        let compile = move |spec: Arc<pailou_config::RouteSpec>| -> Result<Arc<Route>, Vec<Fault>> {
            let is_bad = spec.id.contains(BAD);
            if is_bad
                && left
                    .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
                    .is_ok()
            {
                panic!("a fault of the gateway");
            }
            compile(spec)
        };
        let unread = documents.iter().map(|(name, saved)| Unread {
            name: Arc::from(*name),
            key: DocumentKey::File((*name).to_owned()),
            source: "file",
            reading: pailou_config::Reading::default(),
            saved: saved.map(SavedText::of),
        });
        let (publish, published) = watch::channel(Published::default());
        let work = Work::new(Documents::new(unread), Box::new(compile));
        let publisher = Publisher {
            inbox: Inbox::new(documents.len()),
            work: Arc::new(Mutex::new(work)),
            feeds: Arc::new(Mutex::new(feeds)),
            table: TableCell::default(),
            published: Arc::new(publish),
            times: wiring::publish_times(&settings, restore_at),
            filters,
            metrics: metrics.clone(),
        };
        World {
            publisher,
            published,
            panics,
        }
    }

    fn put(&self, index: usize, text: &str) {
        let outlet = self.publisher.inbox.outlet(index);
        outlet.put(SourceState::Text(text.into()));
    }

    fn start(&self) -> tokio::task::JoinHandle<String> {
        tokio::spawn(self.publisher.clone().run())
    }

    fn routes(&self) -> Vec<String> {
        let table = self.publisher.table.load();
        let mut ids: Vec<_> = table
            .routes()
            .iter()
            .map(|route| route.id.to_string())
            .collect();
        ids.sort();
        ids
    }

    /// Waits until so many tables were published.
    async fn until_revision(&mut self, revision: u64) {
        let wait = self
            .published
            .wait_for(|published| published.table.revision >= revision);
        let waited = tokio::time::timeout(Duration::from_secs(120), wait).await;
        drop(
            waited
                .expect("it is published in time")
                .expect("a publisher"),
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_compiling_keeps_the_publish_for_the_next_round() {
    let mut world = World::new(&[("a.yaml", None), ("b.yaml", None)]);
    world.put(0, "routes: { /a/**: one }");
    world.put(1, "routes: { /b/**: two }");
    let running = world.start();
    world.until_revision(1).await;
    assert_eq!(world.routes(), ["/a/**", "/b/**"]);

    // Nobody publishes again, and still both come: the other document at once, the one that panics
    // when it does not any more.
    world.panics.store(2, SeqCst);
    world.put(0, "routes: { /bad/**: one }");
    world.put(1, "routes: { /c/**: two }");
    world.until_revision(2).await;
    assert_eq!(
        world.routes(),
        ["/a/**", "/c/**"],
        "the last good one stays"
    );
    let view = world.published.borrow().documents[0].clone();
    assert!(view.alarm, "{view:?}");
    let reason = view.reason.expect("a reason");
    assert!(reason.contains("a fault of the gateway"), "{reason}");

    world.until_revision(3).await;
    assert_eq!(world.routes(), ["/bad/**", "/c/**"]);
    assert!(!world.published.borrow().documents[0].alarm);
    assert!(!running.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_newer_version_takes_the_place_of_the_one_that_panics() {
    let mut world = World::new(&[("a.yaml", None)]);
    world.panics.store(usize::MAX, SeqCst);
    world.put(0, "routes: { /bad/**: one }");
    let _running = world.start();
    world.published.changed().await.expect("a publisher");
    assert!(world.routes().is_empty());
    world.put(0, "routes: { /good/**: one }");
    world.until_revision(1).await;
    assert_eq!(world.routes(), ["/good/**"]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_panics_is_tried_again_too() {
    let mut world = World::new(&[("a.yaml", Some("routes: { /bad/**: one }"))]);
    world.panics.store(1, SeqCst);
    let _running = world.start();
    world.until_revision(1).await;
    assert_eq!(world.routes(), ["/bad/**"]);
}
