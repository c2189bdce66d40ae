//! Bugs that were fixed, each with its story.

use std::process::Stdio;

use crate::support::gateway::{Gateway, command};
use crate::support::world::World;

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
