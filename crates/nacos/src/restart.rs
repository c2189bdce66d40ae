//! Tasks of the client that must not end. A task that panics is started again.

use std::time::Duration;

use tokio::task::JoinSet;

/// How long after a panic a task begins again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs what `start` makes until it returns. After a panic, `panicked` is told of it and it is started again. Dropping
/// the future ends it all.
pub(crate) async fn through_panics<F>(mut start: impl FnMut() -> F, panicked: impl Fn(&str))
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        // It is a task of its own, so that its panic ends nothing else. It is in a set, so that it ends with this future.
        let mut task = JoinSet::new();
        task.spawn(start());
        match task.join_next().await {
            Some(Err(error)) if error.is_panic() => panicked(&error.to_string()),
            _ => return,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
