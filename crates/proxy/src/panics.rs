//! Panics in tasks whose end no other task awaits.

use pailou_telemetry::Metrics;
use pailou_telemetry::events::TaskEnded;

/// Lives in a task, and reports when a panic ends the task. The panic costs what the
/// task serves, and nothing else.
pub(crate) struct ToldOfPanic {
    task: &'static str,
    metrics: Metrics,
}

impl ToldOfPanic {
    pub(crate) fn new(task: &'static str, metrics: &Metrics) -> ToldOfPanic {
        ToldOfPanic {
            task,
            metrics: metrics.clone(),
        }
    }
}

impl Drop for ToldOfPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (task, error) = (self.task, "it panicked, and what it served was cut");
            TaskEnded { task, error }.record(&self.metrics);
        }
    }
}
