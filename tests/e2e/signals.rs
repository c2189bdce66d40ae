//! Signals: what a running gateway takes anew, and what must not end it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use tempfile::TempDir;

use crate::support::gateway::{Gateway, binary, without_settings};
use crate::support::load::Load;
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::until;
use crate::support::world::{World, until_status};

fn rewrite(gateway: &Gateway, settings: &str) {
    std::fs::write(gateway.folder().join("gateway.yaml"), settings).expect("a written file");
}

async fn until_holds(path: &Path, piece: &str) {
    until(&format!("{} to have {piece}", path.display()), async || {
        let text = std::fs::read_to_string(path).ok()?;
        text.contains(piece).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_takes_what_can_change_and_names_what_needs_a_restart() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let load = Load::start(
        Method::GET,
        &gateway.url("/api/users/1"),
        2,
        Duration::from_millis(2),
    );
    load.reached(50).await;
    gateway.signal("-HUP");
    gateway
        .logged(&["INFO", "the settings were read again", "\"changed\":\"\""])
        .await;

    let file = gateway.folder().join("gateway.log");
    rewrite(
        &gateway,
        &world.settings(
            "log: { level: debug }\nlimits: { body_bytes: 1MiB }\nregistration: { enabled: false }\n",
        ),
    );
    gateway.signal("-HUP");
    gateway
        .logged(&[
            "INFO",
            "the settings were read again",
            "\"changed\":\"log.level\"",
        ])
        .await;
    gateway
        .logged(&[
            "WARN",
            "need a restart",
            "registration.enabled, limits.body_bytes",
        ])
        .await;
    world
        .publish("routes: { /api/users/**: user-service, /more/**: user-service }")
        .await;
    gateway.logged(&["\"level\":\"DEBUG\""]).await;

    // What is wrong is told with its place, and nothing of it is taken.
    rewrite(
        &gateway,
        "log: { level: warn }\nlimits: { body_bytes: much }\n",
    );
    gateway.signal("-HUP");
    gateway
        .logged(&[
            "ERROR",
            "the old ones stay",
            "gateway.yaml:2:",
            "body_bytes",
        ])
        .await;
    until_status(&gateway.url("/more/1"), 200).await;

    rewrite(&gateway, &world.settings("log: { file: gateway.log }\n"));
    gateway.signal("-HUP");
    until_holds(&file, "\"changed\":\"log.level, log.file\"").await;
    load.reached(load.sent() + 50).await;
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_log_files_are_opened_again() {
    let folder = TempDir::new().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    let more = format!(
        "log: {{ access_file: '{}' }}",
        place("access.log").display()
    );
    let (_world, _upstream, _registered, gateway) = World::small_with(&more).await;
    let ask = async |id: &str| {
        let request = reqwest::Client::new().get(gateway.url("/api/users/1"));
        let answer = request.header("x-request-id", id).send().await;
        assert_eq!(answer.expect("an answer").status(), 200);
    };
    ask("before-it-was-rotated").await;
    until_holds(&place("access.log"), "before-it-was-rotated").await;
    std::fs::rename(place("access.log"), place("access.log.1")).expect("renamed");
    gateway.signal("-USR1");
    gateway
        .logged(&["INFO", "the log files were opened again"])
        .await;
    ask("after-the-signal").await;
    until_holds(&place("access.log"), "after-the-signal").await;

    // Without a signal it takes a second.
    std::fs::rename(place("access.log"), place("access.log.2")).expect("renamed");
    until("a new file", async || {
        ask("without-a-signal").await;
        place("access.log").exists().then_some(())
    })
    .await;
    // One that may not be written over is not; lines go on to the old file.
    // In one move, or the gateway may find the place empty in between and begin a new file.
    std::fs::write(place("notes"), "notes of mine").expect("a written file");
    std::fs::hard_link(place("access.log"), place("access.log.3")).expect("linked");
    std::fs::rename(place("notes"), place("access.log")).expect("renamed");
    gateway.signal("-USR1");
    gateway
        .logged(&[
            "ERROR",
            "cannot be opened again",
            "access.log holds something else",
        ])
        .await;
    ask("to-the-old-file").await;
    until_holds(&place("access.log.3"), "to-the-old-file").await;
    let text = std::fs::read_to_string(place("access.log")).expect("a file");
    assert_eq!(text, "notes of mine");
}

/// USR1, USR2 and ALRM ended the process at once: none of 50 requests in flight was answered.
#[tokio::test(flavor = "multi_thread")]
async fn no_signal_that_people_send_by_habit_ends_the_gateway() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let load = Load::start(
        Method::GET,
        &gateway.url("/api/users/1"),
        4,
        Duration::from_millis(2),
    );
    for signal in ["-USR1", "-USR2", "-ALRM", "-HUP", "-PIPE"] {
        load.reached(load.sent() + 50).await;
        gateway.signal(signal);
    }
    load.reached(load.sent() + 100).await;
    load.finish().await.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn under_nohup_a_hangup_means_nothing() {
    let world = World::new().await;
    world.publish("routes: {}").await;
    let folder = TempDir::new().expect("a folder");
    let probes = format!("127.0.0.1:{}", free_port());
    std::fs::write(folder.path().join("gateway.yaml"), world.settings("")).expect("a written file");
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "trap '' HUP; exec \"$0\" run --config gateway.yaml",
        binary(),
    ]);
    let mut shell = without_settings(shell);
    shell
        .current_dir(folder.path())
        .env("PAILOU_PROBES_ADDRESS", &probes);
    let mut gateway = Process::spawn("the gateway", &mut shell);
    until_status(&format!("http://{probes}/readyz"), 200).await;
    gateway.signal("-HUP");
    gateway.signal("-USR1");
    gateway.said(&["the log files were opened again"]).await;
    assert_eq!(gateway.find(&["the settings were read again"]), None);
    gateway.signal("-TERM");
    assert!(gateway.exited().await.success());
}
