//! What every source must do, run over each of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pailou_nacos::{Client, ClientOptions, ConfigName};
use pailou_nacos_lite::{Options, Registry};
use pailou_telemetry::Metrics;

use super::{FileSource, Inbox, NacosSource, Source, SourceState};

/// A place that the suite can write to, and the source that watches it.
trait Place {
    fn source(&self) -> Arc<dyn Source>;
    fn put(&self, text: &str);
    fn remove(&self);
}

struct FilePlace(tempfile::TempDir);

impl FilePlace {
    fn path(&self) -> PathBuf {
        self.0.path().join("routes.yaml")
    }
}

impl Place for FilePlace {
    fn source(&self) -> Arc<dyn Source> {
        Arc::new(FileSource::new(self.path()))
    }

    fn put(&self, text: &str) {
        std::fs::write(self.path(), text).expect("a written file");
    }

    fn remove(&self) {
        std::fs::remove_file(self.path()).expect("a removed file");
    }
}

struct NacosPlace {
    registry: Registry,
    client: Client,
}

impl Place for NacosPlace {
    fn source(&self) -> Arc<dyn Source> {
        let config = ConfigName::from("routes.yaml");
        Arc::new(NacosSource::new(
            self.client.clone(),
            config,
            Metrics::new(),
        ))
    }

    fn put(&self, text: &str) {
        self.registry.publish_config("routes.yaml", text);
    }

    fn remove(&self) {
        assert!(self.registry.remove_config("routes.yaml"));
    }
}

struct Watching {
    inbox: Arc<Inbox>,
    task: tokio::task::JoinHandle<String>,
}

impl Watching {
    async fn next(&self) -> SourceState {
        let wait = async {
            loop {
                self.inbox.changed().await;
                if let Some((_, state)) = self.inbox.take().pop() {
                    return state;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .expect("a state within ten seconds")
    }

    async fn text(&self) -> String {
        match self.next().await {
            SourceState::Text(text) => text.to_string(),
            other => panic!("{other:?} is not a text"),
        }
    }
}

fn watch(place: &impl Place) -> Watching {
    let inbox = Inbox::new(1);
    let task = tokio::spawn(place.source().run(inbox.outlet(0)));
    Watching { inbox, task }
}

async fn a_source_tells_the_whole_state(place: impl Place) {
    let watching = watch(&place);
    assert_eq!(
        watching.next().await,
        SourceState::Missing,
        "before anything was published"
    );
    place.put("routes: {}\n");
    assert_eq!(watching.text().await, "routes: {}\n");
    place.put("# blank\n");
    assert_eq!(watching.text().await, "# blank\n");
    place.remove();
    assert_eq!(watching.next().await, SourceState::Missing);
    place.put("routes: {} # again\n");
    assert_eq!(watching.text().await, "routes: {} # again\n");
    // An edit that changes nothing is no news: the next news is the next edit.
    place.put("routes: {} # again\n");
    place.put("é: 牌楼\n");
    assert_eq!(watching.text().await, "é: 牌楼\n");
    // A source that starts later finds what is there.
    let late = watch(&place);
    assert_eq!(late.text().await, "é: 牌楼\n");
    late.task.abort();
    watching.task.abort();
}

#[tokio::test]
async fn the_file_source_tells_the_whole_state() {
    let folder = tempfile::tempdir().expect("a folder");
    a_source_tells_the_whole_state(FilePlace(folder)).await;
}

#[tokio::test]
async fn the_nacos_source_tells_the_whole_state() {
    let registry = Registry::start(Options::default()).await.expect("a Nacos");
    let options = ClientOptions::new(&registry.http_addr().to_string()).expect("an address");
    let client = Client::connect(options);
    a_source_tells_the_whole_state(NacosPlace { registry, client }).await;
}

#[tokio::test]
async fn encrypted_data_ids_are_refused_with_a_reason() {
    let options = ClientOptions::new("127.0.0.1:1").expect("an address");
    let config = ConfigName::from("cipher-aes-routes.yaml");
    let source = Arc::new(NacosSource::new(
        Client::connect(options),
        config,
        Metrics::new(),
    ));
    let inbox = Inbox::new(1);
    let task = tokio::spawn(source.run(inbox.outlet(0)));
    let watching = Watching { inbox, task };
    let SourceState::Unreadable(reason) = watching.next().await else {
        panic!("an encrypted document cannot be read");
    };
    assert!(reason.contains("encrypted"), "{reason}");
    watching.task.abort();
}

#[test]
fn every_source_has_its_row_in_the_readme() {
    let readme = include_str!("../../README.md");
    let mut rows: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    rows.sort_unstable();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of the sources")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .replace(".rs", "")
        })
        .filter(|name| name != "suite")
        .collect();
    files.sort_unstable();
    assert_eq!(rows, files);
}
