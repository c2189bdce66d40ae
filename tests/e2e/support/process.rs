//! A child process and what it writes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// How much of what a process wrote is shown when a case fails.
const LAST_LINES: usize = 100;

/// A running process, its output gathered line by line. Dropping it kills it.
pub(crate) struct Process {
    name: String,
    child: Child,
    out: Lines,
    log: Lines,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn push(&self, line: &str) {
        self.0.lock().expect("lines").push(line.to_owned());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("lines").clone()
    }
}

impl Process {
    /// Starts a command, its standard input closed. `name` is how failures call it.
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Process {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let (out, log) = (Lines::default(), Lines::default());
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let readers = vec![
            gather(stdout, vec![out.clone(), log.clone()]),
            gather(stderr, vec![log.clone()]),
        ];
        Process {
            name: name.to_owned(),
            child,
            out,
            log,
            readers,
        }
    }

    /// Every line of its standard output so far.
    pub(crate) fn out(&self) -> Vec<String> {
        self.out.all()
    }

    /// Every line of its standard output and standard error so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.all()
    }

    /// Waits until a line of either holds each of these pieces.
    pub(crate) async fn said(&mut self, pieces: &[&str]) -> String {
        let began = Instant::now();
        loop {
            // Asked before the lines are read: what a process wrote last is not missed.
            let ended = self.child.try_wait().expect("a child");
            if ended.is_some() {
                self.join_readers();
            }
            if let Some(line) = self.find(pieces) {
                return line;
            }
            assert!(
                ended.is_none() && began.elapsed() < PATIENCE,
                "{} did not say {pieces:?} ({ended:?}); it wrote:\n{}",
                self.name,
                self.log().join("\n")
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The first line so far that holds each of these pieces.
    pub(crate) fn find(&self, pieces: &[&str]) -> Option<String> {
        let mut lines = self.log().into_iter();
        lines.find(|line| pieces.iter().all(|piece| line.contains(piece)))
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
    }

    /// Its id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, as `kill` names it: `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill {signal} failed");
    }

    /// Whether it runs no more.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits for the process to end by itself. Its output is complete then.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                self.join_readers();
                return status;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{} did not exit; it wrote:\n{}",
                self.name,
                self.log().join("\n")
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // A line for each request that went well tells nothing, and there are thousands.
            let went_well =
                |line: &String| line.contains("\"status\":200") || line.ends_with("\" 200");
            let log: Vec<_> = self
                .log()
                .into_iter()
                .filter(|line| !went_well(line))
                .collect();
            let last = &log[log.len().saturating_sub(LAST_LINES)..];
            eprintln!("--- what {} wrote last\n{}", self.name, last.join("\n"));
        }
    }
}

fn gather(pipe: impl Read + Send + 'static, to: Vec<Lines>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        // Bytes and not text: a line that is not UTF-8 must not end the reading, or the process would block.
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            for lines in &to {
                lines.push(text.trim_end_matches('\n'));
            }
            line.clear();
        }
    })
}
