//! A server in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A server process; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// One for each marker, in their order.
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts it and waits until it has printed a line for each of `markers` with an address of 127.0.0.1 in it.
    pub(crate) fn start(command: &mut Command, markers: &[&'static str]) -> Server {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child process");
        let (found, all_found) = mpsc::channel();
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("a pipe")),
            Box::new(child.stderr.take().expect("a pipe")),
        ];
        for pipe in pipes {
            let (found, markers) = (found.clone(), markers.to_vec());
            std::thread::spawn(move || read(pipe, &markers, &found));
        }
        drop(found);
        let mut addresses = vec![None; markers.len()];
        while addresses.contains(&None) {
            let (marker, address) = all_found
                .recv_timeout(Duration::from_secs(20))
                .unwrap_or_else(|_| panic!("{command:?} does not say where it listens"));
            addresses[marker] = Some(address);
        }
        Server {
            child,
            addresses: addresses.into_iter().flatten().collect(),
        }
    }

    /// The address that stood in the line of that marker.
    pub(crate) fn address(&self, marker: usize) -> SocketAddr {
        self.addresses[marker]
    }

    /// Where Linux tells about the process.
    pub(crate) fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks for the markers, and then goes on reading: a process whose pipe is full stands still.
fn read(pipe: impl Read, markers: &[&str], found: &mpsc::Sender<(usize, SocketAddr)>) {
    let mut missing: Vec<usize> = (0..markers.len()).collect();
    let mut pipe = BufReader::new(pipe);
    let mut line = String::new();
    while !missing.is_empty() && pipe.read_line(&mut line).is_ok_and(|read| read > 0) {
        if let Some(at) = missing
            .iter()
            .position(|marker| line.contains(markers[*marker]))
            && let Some(address) = address_in(&line)
        {
            // The other pipe may have had the rest.
            let _ = found.send((missing.remove(at), address));
        }
        line.clear();
    }
    let _ = std::io::copy(&mut pipe, &mut std::io::sink());
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let address = &line[line.find("127.0.0.1:")?..];
    let end = address
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))
        .unwrap_or(address.len());
    address[..end].parse().ok()
}
