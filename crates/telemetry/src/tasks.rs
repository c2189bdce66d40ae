//! Tasks that must not end. Each has an owner, and is started again when it ends, which is reported.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Metrics;
use crate::events::TaskEnded;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The owner of tasks that run for as long as it lives. Dropping it ends them.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<()>,
    metrics: Metrics,
}

impl Tasks {
    /// No tasks yet; those that end are counted in `metrics`.
    pub fn new(metrics: &Metrics) -> Tasks {
        Tasks {
            running: JoinSet::new(),
            metrics: metrics.clone(),
        }
    }

    /// Runs what `start` makes, as [`forever`] does, and records a [`TaskEnded`] each time that it ends.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn keep<F>(&mut self, task: &'static str, start: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output: Display + Send> + Send + 'static,
    {
        let metrics = self.metrics.clone();
        let ended = move |error: &str| TaskEnded { task, error }.record(&metrics);
        self.keep_telling(start, ended);
    }

    /// Runs what `start` makes, as [`forever`] does, and tells `ended` why it ended.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn keep_telling<F>(
        &mut self,
        start: impl FnMut() -> F + Send + 'static,
        ended: impl Fn(&str) + Send + 'static,
    ) where
        F: Future<Output: Display + Send> + Send + 'static,
    {
        self.running.spawn(forever(start, ended));
    }

    /// Ends all tasks and waits for their ends.
    pub async fn shutdown(mut self) {
        self.running.shutdown().await;
    }
}

/// Runs what `start` makes for ever. When it returns (saying why) or panics, `ended` is told and it is started again,
/// each time after a longer pause: 1 s at first, 30 s at most. Dropping the future ends it all.
pub async fn forever<F>(mut start: impl FnMut() -> F, ended: impl Fn(&str))
where
    F: Future<Output: Display + Send> + Send + 'static,
{
    let mut pauses = Pauses::new();
    loop {
        let error = match outcome(start()).await {
            Ok(reason) => reason.to_string(),
            Err(panic) => panic,
        };
        ended(&error);
        pauses.pause().await;
    }
}

/// Runs what `start` makes until it returns. When it panics, `ended` is told and it is started again, as by
/// [`forever`].
pub async fn until_done<F>(mut start: impl FnMut() -> F, ended: impl Fn(&str)) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut pauses = Pauses::new();
    loop {
        match outcome(start()).await {
            Ok(done) => return done,
            Err(panic) => ended(&panic),
        }
        pauses.pause().await;
    }
}

/// What a future returns, or how it panics.
async fn outcome<F>(future: F) -> Result<F::Output, String>
where
    F: Future<Output: Send> + Send + 'static,
{
    // A task of its own, so that its panic ends nothing else; in a set, so that it ends with us.
    let mut task = JoinSet::new();
    task.spawn(future);
    match task.join_next().await {
        Some(Ok(done)) => Ok(done),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("its task was lost".to_owned()),
    }
}

/// The pauses between starts.
struct Pauses {
    started: Instant,
    next: Duration,
}

impl Pauses {
    fn new() -> Pauses {
        Pauses {
            started: Instant::now(),
            next: FIRST_PAUSE,
        }
    }

    /// Waits before the next start. After a long run the pause is short again.
    async fn pause(&mut self) {
        if self.started.elapsed() > LONGEST_PAUSE {
            self.next = FIRST_PAUSE;
        }
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        self.started = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::mpsc;

    use super::*;

    /// Makes a run that ends, then one that panics, then one that `goes_on`.
    fn troubled<T>(
        mut goes_on: impl FnMut() -> T,
    ) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = String> + Send>>
    where
        T: Future<Output = String> + Send + 'static,
    {
        let mut runs = 0;
        move || {
            runs += 1;
            match runs {
                1 => Box::pin(async { panic!("the first run panics") }),
                2 => Box::pin(async { "the second one ends".to_owned() }),
                _ => Box::pin(goes_on()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_or_panics_is_started_again() {
        let (reports, reported) = mpsc::channel();
        let task = forever(troubled(std::future::pending), |error| {
            reports.send(error.to_owned()).expect("a receiver");
        });
        let ran = tokio::time::timeout(Duration::from_secs(60), task).await;
        assert!(ran.is_err(), "it never returns");
        let reports: Vec<_> = reported.try_iter().collect();
        assert_eq!(reports.len(), 2, "{reports:?}");
        assert!(reports[0].contains("the first run panics"), "{reports:?}");
        assert_eq!(reports[1], "the second one ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_may_end_is_started_again_only_after_a_panic() {
        let (reports, reported) = mpsc::channel();
        let done = until_done(troubled(std::future::pending), |error| {
            reports.send(error.to_owned()).expect("a receiver");
        });
        assert_eq!(done.await, "the second one ends");
        assert_eq!(reported.try_iter().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_are_counted_when_they_end_and_end_with_their_owner() {
        let metrics = Metrics::new();
        let (alive, watched) = tokio::sync::watch::channel(());
        let mut tasks = Tasks::new(&metrics);
        tasks.keep("test", move || {
            let watched = watched.clone();
            async move {
                let _held = watched;
                tokio::time::sleep(Duration::from_secs(10)).await;
                "it is over"
            }
        });
        tasks.keep("quiet", std::future::pending::<Infallible>);
        while metrics
            .totals()
            .tasks_ended
            .load(std::sync::atomic::Ordering::Relaxed)
            < 2
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        drop(tasks);
        alive.closed().await;
    }
}
