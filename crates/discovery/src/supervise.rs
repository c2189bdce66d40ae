//! Tasks that must not end: each has an owner, is started again when it ends, and says that it did.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Runs what `start` makes for ever. When it returns (saying why) or panics, `ended` is told and it is
/// started again, each time after a longer pause. Dropping the future ends it all.
pub(crate) async fn forever<F>(mut start: impl FnMut() -> F, ended: impl Fn(&str))
where
    F: Future<Output = String> + Send + 'static,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        // A task of its own, so that its panic ends nothing else; in a set, so that it ends with us.
        let mut task = JoinSet::new();
        task.spawn(start());
        let error = match task.join_next().await {
            Some(Ok(error)) => error,
            Some(Err(error)) => error.to_string(),
            None => "its task was lost".to_owned(),
        };
        ended(&error);
        if started.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_or_panics_is_started_again() {
        let (reports, reported) = mpsc::channel();
        let mut runs = 0;
        let start = move || {
            runs += 1;
            let run = runs;
            async move {
                match run {
                    1 => "the first run ends".to_owned(),
                    2 => panic!("the second one panics"),
                    _ => std::future::pending().await,
                }
            }
        };
        let task = forever(start, |error| {
            reports.send(error.to_owned()).expect("a receiver");
        });
        let ran = tokio::time::timeout(Duration::from_secs(60), task).await;
        assert!(ran.is_err(), "it never returns");
        let reports: Vec<_> = reported.try_iter().collect();
        assert_eq!(reports.len(), 2, "{reports:?}");
        assert_eq!(reports[0], "the first run ends");
        assert!(reports[1].contains("panic"), "{reports:?}");
    }
}
