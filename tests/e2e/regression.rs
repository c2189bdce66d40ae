//! Bugs that were fixed, each with its story.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::gateway::{Gateway, command, run};
use crate::support::raw::{exchange, read_all};
use crate::support::until;
use crate::support::world::{World, until_status};

/// `pailou check routes.yaml | head -1` ended with a panic and code 101: `println!` panics when nobody reads any more.
/// Who closes the pipe has read enough.
#[test]
fn a_reader_that_leaves_early_is_no_fault() {
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("routes.yaml"), "routes: { /a/**: a }").expect("written");
    for args in [
        &["run", "--print-config"][..],
        &["check", "routes.yaml"],
        &["check", "--json", "routes.yaml"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command(args)
            .current_dir(folder.path())
            .stdout(Stdio::from(writer))
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{args:?}: {said}"
        );
    }
}

/// A SIGTERM that came while the gateway was taking its ports killed it with signal 15 instead of ending it with code 0:
/// the handlers were set once it ran. An orchestrator that changes its mind reported a crash.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_it_starts_ends_it_in_order() {
    let mut world = World::new().await;
    world.kill_registry().await;
    for _ in 0..5 {
        let mut gateway = Gateway::start(&world.settings("")).await;
        gateway.signal("-TERM");
        let status = gateway.exited().await;
        assert!(status.success(), "{status}");
    }
}

/// A warning beside a fault was counted with it: "2 faults in the settings", of which one line was a warning.
#[test]
fn a_warning_is_not_counted_among_the_faults() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let output = command(&["run"])
        .current_dir(folder.path())
        .envs([("PAILOU_WORKRES", "2"), ("LOG_LEVEL", "loud")])
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("warning: PAILOU_WORKRES"), "{said}");
    assert!(
        said.contains("not started: 1 fault in the settings"),
        "{said}"
    );
}

/// Half-sent requests to the probes, which listen on every interface, were never given up: some hundreds of them took every file
/// descriptor of the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_request_to_the_probes_is_given_up() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let address = gateway.probes_url("").replace("http://", "");
    let mut half = Vec::new();
    // More than there is room for, so that the first ones give way.
    for _ in 0..100 {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(b"GET /readyz HT").await.expect("sent");
        half.push(stream);
    }
    let began = Instant::now();
    for stream in &mut half {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest));
        // An end or a reset: either way it is over.
        let _ = ended.await.expect("the connection was left open");
    }
    assert!(
        began.elapsed() > Duration::from_secs(1),
        "a slow client has time"
    );
    until_status(&gateway.probes_url("/readyz"), 200).await;
}

/// A `101` that no client had asked for went on to the client, and with it bytes without framing.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_of_protocols_that_nobody_asked_for_is_502() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let _odd = world
        .register("odd", listener.local_addr().expect("an address"))
        .await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nraw";
            let _ = stream.write_all(answer).await;
        }
    });
    world
        .publish("routes: { /api/users/**: user-service, /odd: odd }")
        .await;
    gateway
        .admin_until("the route", "/api/v1/routes", |routes| {
            routes.to_string().contains("/odd")
        })
        .await;
    let request = b"GET /odd HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = exchange(gateway.data(), request, Duration::from_secs(5)).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("upstream_malformed"), "{answer}");
    assert!(!answer.contains("raw"), "{answer}");
}

/// `pailou check` read a file to its end before it looked at its size: a device or a huge file took all memory.
#[test]
fn check_reads_no_more_of_a_file_than_a_document_may_have() {
    let (status, out, _) = run(&["check", "/dev/zero"], Path::new("/"));
    assert_eq!(status.code(), Some(1));
    assert!(out.contains("is larger than"), "{out}");
}

/// SIGQUIT ended the process at once and cut what was in flight. The end is the same as with SIGTERM.
#[tokio::test(flavor = "multi_thread")]
async fn a_quit_loses_no_request() {
    let (_world, _upstream, _registered, mut gateway) = World::small().await;
    let mut stream = TcpStream::connect(gateway.data())
        .await
        .expect("a connection");
    let head = b"POST /api/users/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbo";
    stream.write_all(head).await.expect("sent");
    until("the request to be in flight", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains("\npailou_requests_in_flight 1\n")
            .then_some(())
    })
    .await;
    gateway.signal("-QUIT");
    gateway.logged(&["shutting down"]).await;
    stream.write_all(b"dy").await.expect("sent");
    let answer = read_all(&mut stream, Duration::from_secs(5)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(gateway.exited().await.success());
}

/// The HTTP engine does not read from an endpoint while it waits to write to it, so an endpoint that answers while it is sent to
/// (an echo, a WebSocket under load) locked up with it until the write time-out of 30 s. A buffer of 1 MiB between them made that
/// rarer: on a busy machine two of three large echoes still died, since a client that reads slowly lets the two directions drift
/// apart without a bound.
#[tokio::test(flavor = "multi_thread")]
async fn an_echo_to_a_client_that_reads_slowly_does_not_lock_up() {
    const BYTES: usize = 64 << 20;
    let (_world, _upstream, _registered, gateway) =
        World::small_with("limits: { body_bytes: 100MiB, upstream_write_timeout: 5s }").await;
    let stream = TcpStream::connect(gateway.data())
        .await
        .expect("a connection");
    let (mut reading, mut writing) = stream.into_split();
    let upload = tokio::spawn(async move {
        let head = format!(
            "POST /api/users/echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {BYTES}\r\n\r\n"
        );
        writing.write_all(head.as_bytes()).await.expect("a head");
        let piece = [b'u'; 64 * 1024];
        for _ in 0..BYTES / piece.len() {
            writing.write_all(&piece).await.expect("a piece");
        }
        writing
    });
    let mut piece = vec![0; 256 * 1024];
    let mut echoed = 0;
    loop {
        let read = reading.read(&mut piece).await.expect("the answer goes on");
        if read == 0 {
            break;
        }
        echoed += piece[..read].iter().filter(|byte| **byte == b'u').count();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(echoed >= BYTES, "{echoed} bytes came back");
    upload.await.expect("the upload ends");
}
