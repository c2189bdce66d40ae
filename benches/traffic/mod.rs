//! Requests at a steady rate, while something else happens.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::world::pause;

/// The time between the starts of two requests.
const INTERVAL: Duration = Duration::from_millis(2);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An endpoint that answers each request at once.
pub(crate) fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || stream.map(answer_all));
        }
    });
    address
}

fn answer_all(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut heads = BufReader::new(stream.try_clone().expect("a socket"));
    let mut line = String::new();
    while heads.read_line(&mut line).is_ok_and(|read| read > 0) {
        if line == "\r\n" && stream.write_all(ANSWER).is_err() {
            return;
        }
        line.clear();
    }
}

/// Requests that start every [`INTERVAL`] on one connection, whether or not the one before was answered in time: a late
/// answer makes those late that waited for it.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    client: JoinHandle<Vec<(Instant, Duration)>>,
}

impl Traffic {
    /// Begins to send them.
    pub(crate) fn start(address: SocketAddr, path: &'static str) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let client = std::thread::spawn(move || send(address, path, &stopped));
        Traffic { stop, client }
    }

    /// Ends them.
    pub(crate) fn end(self) -> Latencies {
        self.stop.store(true, Relaxed);
        Latencies(self.client.join().expect("every request was answered"))
    }
}

fn send(address: SocketAddr, path: &str, stop: &AtomicBool) -> Vec<(Instant, Duration)> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let request = format!("GET {path} HTTP/1.1\r\nhost: www.example.com\r\n\r\n");
    let (mut latencies, mut due) = (Vec::new(), Instant::now());
    while !stop.load(Relaxed) {
        due += INTERVAL;
        pause(due.saturating_duration_since(Instant::now()));
        stream.write_all(request.as_bytes()).expect("it is taken");
        let head = answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        latencies.push((due, due.elapsed()));
    }
    latencies
}

/// An answer with the endpoint's two bytes of body.
fn answer(stream: &mut TcpStream) -> String {
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(b"\r\n\r\nok") {
        let read = stream.read(&mut piece).expect("an answer");
        assert!(read > 0, "the gateway ended the connection");
        answer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// When each request was due, and how long after that its answer came.
pub(crate) struct Latencies(Vec<(Instant, Duration)>);

impl Latencies {
    /// Median, 99th percentile and maximum of the requests that were due in these spans, in milliseconds.
    pub(crate) fn within(&self, spans: &[(Instant, Instant)]) -> String {
        let is_within = |due: &Instant| spans.iter().any(|(from, to)| (from..=to).contains(&due));
        let of_spans = self.0.iter().filter(|(due, _)| is_within(due));
        let mut all: Vec<Duration> = of_spans.map(|(_, latency)| *latency).collect();
        all.sort_unstable();
        let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        format!(
            "{:>6} requests   p50 {:>6.2} ms   p99 {:>6.2} ms   max {:>6.2} ms",
            all.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        )
    }
}
