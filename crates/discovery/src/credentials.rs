//! Brings the keys and credentials that stand in files and Nacos configs to the filters that judge by them.

use std::sync::Arc;
use std::time::Duration;

use pailou_filters::{Follower, Place, Sources};
use pailou_nacos::{Client, ConfigName};
use pailou_telemetry::Metrics;
use tokio::time::Instant;

use crate::source::{FileSource, Inbox, NacosSource, Source, SourceState};

/// How often it is looked whether a place has gone silent.
const LOOK: Duration = Duration::from_secs(1);

/// For so long a place may say nothing at first; then requests wait for it no longer.
const SILENCE: Duration = Duration::from_secs(5);

/// Follows every file and config that filters name. `client` is that of the namespace which configs are in.
pub(crate) async fn run(sources: Sources, client: Client, metrics: Metrics) -> String {
    let follow = |follower: Follower| {
        let source = open(follower.place(), &client, &metrics);
        follow(source, follower)
    };
    let is_followed = |place: &Place| !matches!(place, Place::Endpoint { .. });
    sources.keep(is_followed, follow).await
}

fn open(place: &Place, client: &Client, metrics: &Metrics) -> Option<Arc<dyn Source>> {
    match place {
        Place::File(path) => Some(Arc::new(FileSource::new(path))),
        Place::Config { group, data_id } => {
            let config = ConfigName::new(group, data_id);
            let source = NacosSource::new(client.clone(), config, metrics.clone());
            Some(Arc::new(source))
        }
        Place::Endpoint { .. } => None,
    }
}

/// Hands on each state, until nobody needs it any more.
async fn follow(source: Option<Arc<dyn Source>>, mut follower: Follower) {
    let Some(source) = source else { return };
    let inbox = Inbox::new(1);
    let mut running = Arc::clone(&source).run(inbox.outlet(0));
    let mut look = tokio::time::interval(LOOK);
    let began = Instant::now();
    loop {
        tokio::select! {
            reason = &mut running => {
                follower.fail(&reason);
                tokio::time::sleep(LOOK).await;
                running = Arc::clone(&source).run(inbox.outlet(0));
            }
            () = inbox.changed() => inbox.take().into_iter().for_each(|(_, state)| hand_on(&follower, state)),
            () = follower.ended() => return,
            _ = look.tick() => {
                let trouble = inbox.troubles().into_iter().flatten().next();
                match trouble {
                    _ if inbox.is_complete() => {}
                    Some(trouble) => follower.fail(&trouble),
                    None if began.elapsed() > SILENCE => follower.fail("nothing was heard of it yet"),
                    None => {}
                }
            }
        }
    }
}

fn hand_on(follower: &Follower, state: SourceState) {
    match state {
        SourceState::Text(text) => {
            follower.take(text.as_bytes());
        }
        SourceState::Missing => follower.fail("it is not there"),
        SourceState::Unreadable(reason) => follower.fail(&reason),
    }
}
