//! `pailou dev`: every command that it prints is run as it is printed.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::Value;

use crate::support::gateway::{command, run};
use crate::support::ports::{free_pair, free_port};
use crate::support::process::Process;
use crate::support::shell::sh;
use crate::support::until;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The flags of the four ports, and what they are when none is given.
const FLAGS: [(&str, u16); 4] = [
    ("--port", 8080),
    ("--admin-port", 9901),
    ("--probes-port", 9902),
    ("--registry-port", 8848),
];

/// A running `pailou dev`.
struct Dev {
    process: Process,
    ports: Ports,
}

/// The ports in the order of `FLAGS`.
#[derive(Clone, Copy)]
struct Ports([u16; 4]);

impl Ports {
    fn free() -> Ports {
        Ports([free_port(), free_port(), free_port(), free_pair()])
    }

    fn flags(self) -> Vec<String> {
        let pairs = FLAGS.iter().zip(self.0);
        pairs
            .map(|((flag, _), port)| format!("{flag}={port}"))
            .collect()
    }

    /// A text that speaks of the default ports, speaking of these.
    fn moved(self, text: &str) -> String {
        let mut text = text.to_owned();
        for ((_, default), port) in FLAGS.iter().zip(self.0) {
            text = text.replace(&format!(":{default}"), &format!(":{port}"));
        }
        text
    }
}

impl Dev {
    async fn start(more: &[&str]) -> Dev {
        let ports = Ports::free();
        let mut args = vec!["dev".to_owned()];
        args.extend(ports.flags());
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut command = command(&args);
        // The tour is the same everywhere, whatever the machine's settings point at.
        command
            .env("NACOS_SERVER_ADDR", "127.0.0.1:1")
            .env("PAILOU_LISTENERS", "127.0.0.1:1");
        let mut process = Process::spawn("pailou dev", &mut command);
        process.said(&["Ctrl-C ends everything"]).await;
        Dev { process, ports }
    }

    /// The printed steps: a comment that says what it shows, and the command.
    fn steps(&self) -> Vec<(String, String)> {
        let out = self.process.out().join("\n");
        let (_, tour) = out
            .split_once("Try, in another terminal:\n\n")
            .expect("a tour");
        let (tour, _) = tour.split_once("\n\nCtrl-C").expect("the end of the tour");
        let blocks = tour.split("\n\n");
        blocks
            .map(|block| {
                let (comment, command) = block.split_once('\n').expect("a comment and a command");
                let comment = comment.strip_prefix("# ").expect("a comment");
                (comment.to_owned(), command.to_owned())
            })
            .collect()
    }

    /// The printed command whose comment holds this.
    fn command(&self, comment: &str) -> String {
        let steps = self.steps();
        let found = steps.iter().find(|(said, _)| said.contains(comment));
        found
            .unwrap_or_else(|| panic!("no step {comment:?} in {steps:#?}"))
            .1
            .clone()
    }

    /// Runs the command whose comment holds this.
    fn paste(&self, comment: &str) -> String {
        paste(&self.command(comment))
    }

    fn paste_json(&self, comment: &str) -> Value {
        let out = self.paste(comment);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

/// Runs a command in an empty place, and expects that it succeeds.
fn paste(command: &str) -> String {
    let folder = tempfile::TempDir::new().expect("a folder");
    let said = sh(command, folder.path());
    assert!(said.success, "{command}\nfailed: {said:?}");
    said.out
}

/// `uniq -c` over answers of the samples: how often each instance answered.
fn shares(counted: &str) -> BTreeMap<String, u32> {
    let lines = counted.lines().map(|line| {
        let (count, answer) = line.trim().split_once(' ').expect("a count and an answer");
        let answer: Value = serde_json::from_str(answer).expect("an answer of a sample");
        let name = answer["instance"].as_str().expect("an instance").to_owned();
        (name, count.parse().expect("a count"))
    });
    lines.collect()
}

fn expected(shares: &[(&str, u32)]) -> BTreeMap<String, u32> {
    shares
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_printed_command_does_what_its_comment_says() {
    let mut dev = Dev::start(&[]).await;

    let answer = dev.paste_json("a request");
    assert_eq!(answer["service"], "user-service", "{answer}");
    assert_eq!(
        answer["path"], "/users/1",
        "the first segment is stripped: {answer}"
    );

    let by_weight = expected(&[("user-1", 2), ("user-2", 4), ("user-3", 6)]);
    assert_eq!(shares(&dev.paste("twelve requests")), by_weight);

    assert_eq!(dev.paste("publish a changed table"), "true\n");
    until("the new route to serve", async || {
        let answer = dev.paste_json("and it serves");
        (answer["path"] == "/people/7").then_some(())
    })
    .await;

    assert_eq!(dev.paste("take user-3 out"), "ok\n");
    let without = expected(&[("user-1", 4), ("user-2", 8)]);
    until("user-3 to be gone from traffic", async || {
        (shares(&dev.paste("the others share its requests")) == without).then_some(())
    })
    .await;
    // As a real server does: what is disabled is not listed to callers.
    let service = dev.paste_json("why it is in or out");
    assert_eq!(
        service["endpoints"].as_array().map(Vec::len),
        Some(2),
        "{service}"
    );

    assert_eq!(dev.paste("put user-3 back"), "ok\n");
    until("user-3 to be back with its weight", async || {
        (shares(&dev.paste("twelve requests")) == by_weight).then_some(())
    })
    .await;

    let service = dev.paste_json("why it is in or out");
    let endpoints = service["endpoints"].as_array().expect("endpoints");
    assert_eq!(endpoints.len(), 3, "{service}");
    assert!(endpoints.iter().all(|one| one["in"] == true), "{service}");
    let explained = dev.paste_json("which route");
    assert_eq!(explained["route"], "/api/users/**", "{explained}");
    let status = dev.paste_json("the session with Nacos");
    assert_eq!(status["ready"], true, "{status}");
    assert_eq!(status["table"]["routes"], 3, "{status}");
    let metrics = dev.paste("the metrics");
    assert!(
        metrics.contains("pailou_requests_total{route=\"/api/users/**\""),
        "{metrics}"
    );

    dev.process.signal("-INT");
    assert!(dev.process.exited().await.success());
    for port in dev.ports.0 {
        assert!(
            TcpStream::connect(("127.0.0.1", port)).is_err(),
            "{port} is still open"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_runs_where() {
    let dev = Dev::start(&[]).await;
    let out = dev.process.out().join("\n");
    for port in dev.ports.0 {
        assert!(
            out.contains(&format!("http://127.0.0.1:{port}")),
            "{port}: {out}"
        );
    }
    assert!(
        out.contains(&format!("gRPC on {}", dev.ports.0[3] + 1000)),
        "{out}"
    );
    for (name, weight) in [("user-1", 1), ("user-2", 2), ("user-3", 3), ("order-1", 1)] {
        let line = out
            .lines()
            .find(|line| line.contains(name))
            .expect("a line for the sample");
        assert!(line.ends_with(&format!("weight {weight}")), "{line}");
    }
    let response = reqwest::get(format!("http://127.0.0.1:{}/api/orders/1", dev.ports.0[0])).await;
    let answer: Value = response.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["instance"], "order-1", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_samples_it_waits_for_a_service_to_register() {
    let mut dev = Dev::start(&["--no-samples"]).await;
    let out = dev.process.out().join("\n");
    assert!(!out.contains("user-1") && !out.contains("twelve"), "{out}");
    let url = format!("http://127.0.0.1:{}/api/users/1", dev.ports.0[0]);
    assert_eq!(reqwest::get(&url).await.expect("an answer").status(), 503);

    assert_eq!(dev.paste("register a service of yours"), "ok\n");
    let view = until("the instance to be there", async || {
        let view = dev.paste_json("why it is in or out");
        (view["endpoints"].as_array()?.len() == 1).then_some(view)
    })
    .await;
    assert_eq!(view["endpoints"][0]["address"], "127.0.0.1:9000", "{view}");
    // The other steps work here too.
    for (comment, command) in dev.steps() {
        let said = sh(&command, Path::new("/"));
        assert!(said.success, "{comment}: {said:?}");
    }
    dev.process.signal("-TERM");
    assert!(dev.process.exited().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_in_one_line() {
    for (at, (flag, _)) in FLAGS.iter().enumerate() {
        let ports = Ports::free();
        let taken = TcpListener::bind(("127.0.0.1", ports.0[at])).expect("a free port");
        refuses(ports, ports.0[at], flag).await;
        drop(taken);
    }
    // The registry's second port is taken along with the first.
    let ports = Ports::free();
    let grpc = ports.0[3] + 1000;
    let _taken = TcpListener::bind(("127.0.0.1", grpc)).expect("a free port");
    refuses(ports, grpc, "--registry-port").await;
}

/// `pailou dev` ends at once, with one line that names the port and the flag that moves it.
async fn refuses(ports: Ports, port: u16, flag: &str) {
    let mut args = vec!["dev".to_owned()];
    args.extend(ports.flags());
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut process = Process::spawn("pailou dev", &mut command(&args));
    let status = process.exited().await;
    let log = process.log();
    assert_eq!(status.code(), Some(1), "{log:#?}");
    assert_eq!(log.len(), 1, "one line: {log:#?}");
    assert!(
        log[0].contains(&port.to_string()) && log[0].contains(flag),
        "{flag}: {log:#?}"
    );
}

#[test]
fn ports_that_cannot_be_are_refused_with_the_range() {
    for (flag, port) in [
        ("--port", "0"),
        ("--registry-port", "64536"),
        ("--probes-port", "65536"),
    ] {
        let (status, out, err) = run(&["dev", flag, port], Path::new("/"));
        assert_eq!(status.code(), Some(2), "{out}{err}");
        assert!(
            err.contains(port) && err.contains(flag) && err.contains("..="),
            "{err}"
        );
    }
}

#[test]
fn its_help_tells_the_ports() {
    let (_, help, _) = run(&["dev", "--help"], Path::new("/"));
    // Wrapped to the width of the terminal.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (flag, default) in FLAGS {
        let (_, own) = help.split_once(flag).expect("the flag");
        assert!(
            own.contains(&format!("[default: {default}]")),
            "{flag}: {help}"
        );
    }
}

/// The commands of the README and what it shows as their output.
fn readme_commands() -> Vec<(String, String)> {
    let readme =
        std::fs::read_to_string(Path::new(REPOSITORY).join("README.md")).expect("README.md");
    let (_, part) = readme.split_once("## Five minutes").expect("the tour");
    let (part, _) = part.split_once("\n## ").expect("its end");
    let mut commands = Vec::new();
    for block in part.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").expect("a closed block");
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(first) = line.strip_prefix("$ ") else {
                continue;
            };
            let mut command = first.to_owned();
            while command.ends_with('|') || command.ends_with('\\') {
                command.push('\n');
                command.push_str(lines.next().expect("the rest of a command"));
            }
            let mut output = String::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                output.push_str(line);
                output.push('\n');
            }
            commands.push((command, output));
        }
    }
    commands
}

/// Which instance answers is chance.
fn with_any_instance(text: &str) -> String {
    text.trim()
        .replace(r#""user-2""#, r#""user-1""#)
        .replace(r#""user-3""#, r#""user-1""#)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_show_what_it_says() {
    let dev = Dev::start(&[]).await;
    let commands = readme_commands();
    assert!(commands.len() >= 5, "{commands:#?}");
    for (command, shown) in commands {
        let command = dev.ports.moved(&command);
        until(&format!("{command}\nto show {shown}"), async || {
            let out = paste(&command);
            // Where the README shows no output, it is too long to.
            let right = shown.is_empty() || with_any_instance(&out) == with_any_instance(&shown);
            right.then_some(())
        })
        .await;
    }
}
