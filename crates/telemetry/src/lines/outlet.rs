//! The writing end: what a sink refuses is counted, told of once, and leaves no torn line in the way of the next one.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Sink;

/// A disk that is full, then not, then full again is told of at most this often.
const TELL: Duration = Duration::from_secs(60);

/// What is worth telling of a sink.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    /// It takes nothing more. The lines from now on are lost until it does.
    Failed(&'a io::Error),
    /// It takes lines again, after it lost so many.
    Recovered(u64),
}

/// What tells of it.
pub(crate) type Tell = Box<dyn Fn(Told<'_>) + Send>;

/// A sink, and the account of what it lost.
pub(super) struct Outlet {
    sink: Sink,
    dropped: Arc<AtomicU64>,
    tell: Tell,
    /// Lines lost that nobody was told of as lost and over.
    lost: u64,
    /// Whether the last thing that was told is that it failed.
    is_told: bool,
    last_told: Option<Instant>,
    /// Whether the sink ends in the middle of a line.
    is_torn: bool,
}

impl Outlet {
    pub(super) fn new(sink: Sink, dropped: Arc<AtomicU64>, tell: Tell) -> Outlet {
        Outlet {
            sink,
            dropped,
            tell,
            lost: 0,
            is_told: false,
            last_told: None,
            is_torn: false,
        }
    }

    /// Takes another sink from now on.
    pub(super) fn redirect(&mut self, sink: Sink) {
        self.sink = sink;
        self.is_torn = false;
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, batch: &[u8]) {
        if batch.is_empty() {
            return;
        }
        match self.write_through(batch) {
            Ok(()) => self.succeeded(),
            Err((error, written)) => self.failed(&error, &batch[written..]),
        }
    }

    /// Gives the error and how many bytes of the batch were taken before it.
    fn write_through(&mut self, batch: &[u8]) -> Result<(), (io::Error, usize)> {
        if self.is_torn {
            self.sink.write_all(b"\n").map_err(|error| (error, 0))?;
            self.is_torn = false;
        }
        let mut written = 0;
        while written < batch.len() {
            match self.sink.write(&batch[written..]) {
                Ok(0) => return Err((io::ErrorKind::WriteZero.into(), written)),
                Ok(taken) => {
                    written += taken;
                    self.is_torn = batch[written - 1] != b'\n';
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((error, written)),
            }
        }
        self.sink.flush().map_err(|error| (error, written))
    }

    fn failed(&mut self, error: &io::Error, left: &[u8]) {
        let lines = left.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.lost += lines;
        let is_due = self.last_told.is_none_or(|at| at.elapsed() >= TELL);
        if !self.is_told && is_due {
            self.is_told = true;
            self.last_told = Some(Instant::now());
            (self.tell)(Told::Failed(error));
        }
    }

    fn succeeded(&mut self) {
        if self.is_told {
            self.is_told = false;
            (self.tell)(Told::Recovered(std::mem::take(&mut self.lost)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A disk with room for so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Disk {
        fn room(&self, bytes: usize) {
            self.0.lock().unwrap().0 = bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().1.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let taken = bytes.len().min(disk.0);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.0 -= taken;
            disk.1.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_the_lines_that_do_not_fit_and_is_told_of_once() {
        let (disk, dropped) = (Disk::default(), Arc::new(AtomicU64::new(0)));
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&told);
        let tell = move |what: Told<'_>| kept.lock().unwrap().push(format!("{what:?}"));
        let sink = Box::new(disk.clone());
        let mut outlet = Outlet::new(sink, Arc::clone(&dropped), Box::new(tell));
        // Room for the first line and half of the second.
        disk.room(6);
        outlet.write(b"one\ntwo\nsix\n");
        for _ in 0..5 {
            outlet.write(b"ten\n");
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 7);
        disk.room(1000);
        outlet.write(b"");
        outlet.write(b"end\n");
        outlet.write(b"fin\n");
        assert_eq!(disk.text(), "one\ntw\nend\nfin\n");
        assert_eq!(dropped.load(Ordering::Relaxed), 7);
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("StorageFull"), "{told:?}");
        assert_eq!(told[1], "Recovered(7)");
    }

    #[test]
    fn a_disk_that_fills_again_and_again_is_told_of_once_a_minute() {
        let (disk, dropped) = (Disk::default(), Arc::new(AtomicU64::new(0)));
        let told = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&told);
        let tell = move |_: Told<'_>| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let mut outlet = Outlet::new(Box::new(disk.clone()), dropped, Box::new(tell));
        for _ in 0..10 {
            disk.room(0);
            outlet.write(b"ten\n");
            disk.room(100);
            outlet.write(b"ten\n");
        }
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }
}
