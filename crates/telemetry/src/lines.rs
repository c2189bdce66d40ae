//! A bounded queue of finished lines in front of one writer thread, so that logging never waits for a disk, a pipe or a terminal.

mod outlet;

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use outlet::Outlet;
pub(crate) use outlet::{Tell, Told};

/// How many lines may wait. A request's line is at most a few KiB, so a stalled pipe costs at most tens of MiB. Then lines are dropped.
pub(crate) const QUEUE_LINES: usize = 16_384;
/// The writer rests this long after a batch, so that under load one wake-up (a system call on the worker) serves many lines.
const REST: Duration = Duration::from_millis(5);
/// A batch is written when it reaches this size even if more lines wait.
const BATCH_BYTES: usize = 256 * 1024;

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Where lines are written.
type Sink = Box<dyn Write + Send>;

/// The sending half; cheap to clone.
#[derive(Clone)]
pub(crate) struct Lines {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// What takes the place of the sink before the next batch.
    next_sink: Arc<Mutex<Option<Sink>>>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl Lines {
    /// Starts the writer thread, which ends when the last handle is gone.
    ///
    /// Lines that do not fit into the queue, or that the sink refuses, are counted in `dropped`. `tell` learns when the sink begins to
    /// refuse them and when it takes them again, at most once a minute.
    pub(crate) fn spawn(
        name: &str,
        sink: impl Write + Send + 'static,
        capacity: usize,
        dropped: Arc<AtomicU64>,
        tell: Tell,
    ) -> io::Result<Lines> {
        let (sender, receiver) = sync_channel(capacity);
        let lost = Arc::clone(&dropped);
        let next_sink = Arc::new(Mutex::new(None));
        let next = Arc::clone(&next_sink);
        let outlet = Outlet::new(Box::new(sink), lost, tell);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_batches(&receiver, outlet, &next))?;
        Ok(Lines {
            sender,
            dropped,
            next_sink,
        })
    }

    /// Writes to `sink` from the next batch on, and closes the old sink.
    pub(crate) fn redirect(&self, sink: Sink) {
        *lock(&self.next_sink) = Some(sink);
        // An empty batch, so that a quiet log closes the old sink as well. A full queue has a batch anyway.
        let (done, _) = sync_channel(1);
        let _ = self.sender.try_send(Message::Flush(done));
    }

    /// Queues one line, which carries its newline, or drops and counts it when the queue is full. Never waits.
    pub(crate) fn push(&self, line: Vec<u8>) {
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything queued so far is written, at most `limit`.
    pub(crate) fn flush(&self, limit: Duration) {
        let (done, written) = sync_channel(1);
        if self.sender.try_send(Message::Flush(done)).is_ok() {
            // A sink that does not take its lines in time loses them, since the process is about to end.
            let _ = written.recv_timeout(limit);
        }
    }
}

fn lock(slot: &Mutex<Option<Sink>>) -> std::sync::MutexGuard<'_, Option<Sink>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_batches(
    receiver: &Receiver<Message>,
    mut outlet: Outlet,
    next_sink: &Mutex<Option<Sink>>,
) {
    let mut batch = Vec::with_capacity(BATCH_BYTES / 4);
    let mut flushes = Vec::new();
    while let Ok(first) = receiver.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::Flush(done) => flushes.push(done),
            }
            let full = batch.len() >= BATCH_BYTES;
            next = if full { None } else { receiver.try_recv().ok() };
        }
        let drained = batch.len() < BATCH_BYTES;
        if let Some(next) = lock(next_sink).take() {
            outlet.redirect(next);
        }
        outlet.write(&batch);
        batch.clear();
        for done in flushes.drain(..) {
            // The caller may have stopped waiting.
            let _ = done.try_send(());
        }
        if drained {
            rest();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the writer's own thread, which nothing else runs on"
)]
fn rest() {
    thread::sleep(REST);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink that takes nothing until it is told to.
    struct Stalled {
        release: Receiver<()>,
        entered: std::sync::mpsc::Sender<()>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.entered.send(());
            let _ = self.release.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order_and_a_flush_waits_for_them() {
        let kept = Kept::default();
        let dropped = Arc::new(AtomicU64::new(0));
        let lines = Lines::spawn(
            "test-lines",
            kept.clone(),
            64,
            Arc::clone(&dropped),
            Box::new(|_| {}),
        )
        .unwrap();
        for n in 0..40 {
            lines.push(format!("{n}\n").into_bytes());
        }
        lines.flush(Duration::from_secs(10));
        let expected: String = (0..40).map(|n| format!("{n}\n")).collect();
        assert_eq!(
            String::from_utf8(kept.0.lock().unwrap().clone()).unwrap(),
            expected
        );
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_stalled_sink_costs_lines_and_never_the_caller() {
        let (release, released) = channel();
        let (entered, entries) = channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let sink = Stalled {
            release: released,
            entered,
        };
        let lines = Lines::spawn(
            "test-stalled",
            sink,
            4,
            Arc::clone(&dropped),
            Box::new(|_| {}),
        )
        .unwrap();
        lines.push(b"first\n".to_vec());
        entries.recv_timeout(Duration::from_secs(10)).unwrap();
        for _ in 0..10 {
            lines.push(b"more\n".to_vec());
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 6);
        drop(release);
    }
}
