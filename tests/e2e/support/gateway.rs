//! The real binary as a child process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::until;

/// A running `pailou`, its log and its addresses. Dropping it kills it.
pub(crate) struct Gateway {
    process: Process,
    folder: TempDir,
    data: SocketAddr,
    admin: SocketAddr,
    probes: SocketAddr,
}

/// The path of the binary under test.
pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_pailou")
}

/// A `pailou` command with none of the caller's settings in its environment.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = with_hangup(binary());
    command.args(args);
    without_settings(command)
}

/// A command that obeys SIGHUP also where the tests run under `nohup`.
fn with_hangup(program: &str) -> Command {
    match hangup_is_ignored() {
        false => Command::new(program),
        true => {
            let mut env = Command::new("env");
            env.args(["--default-signal=HUP", program]);
            env
        }
    }
}

/// Whether the tests run under `nohup`, whose children ignore SIGHUP as well.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// The same command with none of the caller's settings in its environment.
pub(crate) fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars() {
        if name.starts_with("PAILOU_") || name.starts_with("NACOS_") || name == "LOG_LEVEL" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end and returns its status, standard output and standard error.
pub(crate) fn run(args: &[&str], folder: &Path) -> (ExitStatus, String, String) {
    let output = command(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    (
        output.status,
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

impl Gateway {
    /// Starts the gateway with these settings and waits until it has said where it listens.
    pub(crate) async fn start(settings: &str) -> Gateway {
        Gateway::start_with(settings, &[], &[]).await
    }

    /// The same with files beside `gateway.yaml` and with environment variables.
    pub(crate) async fn start_with(
        settings: &str,
        files: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> Gateway {
        let mut command = command(&["run", "--config", "gateway.yaml"]);
        command.envs(variables.iter().copied());
        Gateway::start_by(command, settings, files).await
    }

    /// The same with no more file descriptors than this.
    pub(crate) async fn start_limited(settings: &str, descriptors: u32) -> Gateway {
        Gateway::start_after(settings, &format!("ulimit -n {descriptors}")).await
    }

    /// The same in the place of a shell that has run this before.
    pub(crate) async fn start_after(settings: &str, script: &str) -> Gateway {
        let run = format!("{script} && exec \"$0\" run --config gateway.yaml");
        let mut shell = with_hangup("sh");
        shell.args(["-c", &run, binary()]);
        Gateway::start_by(without_settings(shell), settings, &[]).await
    }

    async fn start_by(mut command: Command, settings: &str, files: &[(&str, &str)]) -> Gateway {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::write(folder.path().join("gateway.yaml"), settings).expect("a written file");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a written file");
        }
        command.current_dir(folder.path());
        let nowhere: SocketAddr = ([0, 0, 0, 0], 0).into();
        let mut gateway = Gateway {
            process: Process::spawn("the gateway", &mut command),
            folder,
            data: nowhere,
            admin: nowhere,
            probes: nowhere,
        };
        gateway.data = gateway.listener("data").await;
        gateway.admin = gateway.listener("admin").await;
        gateway.probes = gateway.listener("probes").await;
        gateway
    }

    /// Waits until `/readyz` says yes.
    pub(crate) async fn ready(self) -> Gateway {
        let url = format!("http://{}/readyz", self.probes);
        until("the gateway to be ready", async || {
            reqwest::get(&url)
                .await
                .ok()
                .filter(|r| r.status().is_success())
                .map(|_| ())
        })
        .await;
        self
    }

    /// The data listener's address.
    pub(crate) fn data(&self) -> SocketAddr {
        self.data
    }

    /// The addresses of all data listeners, in the order of the settings.
    pub(crate) async fn data_listeners(&self) -> Vec<SocketAddr> {
        let status = self.admin_json("/api/v1/status").await;
        let listeners = status["listeners"].as_array().expect("listeners").iter();
        let address = |listener: &Value| listener.as_str()?.parse().ok();
        listeners
            .map(|listener| address(listener).expect("an address"))
            .collect()
    }

    /// A URL on the data listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.data)
    }

    /// A URL on the admin listener.
    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// A URL on the probes listener.
    pub(crate) fn probes_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.probes)
    }

    /// The folder that holds `gateway.yaml`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Every line that the process has written so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.process.log()
    }

    /// Waits until a line of the log holds each of these pieces.
    pub(crate) async fn logged(&self, pieces: &[&str]) -> String {
        until(&format!("a log line with {pieces:?}"), async || {
            self.process.find(pieces)
        })
        .await
    }

    /// What an admin endpoint says.
    pub(crate) async fn admin_json(&self, path: &str) -> Value {
        let url = self.admin_url(path);
        reqwest::get(&url)
            .await
            .expect("an admin answer")
            .json()
            .await
            .expect("JSON from the admin listener")
    }

    /// Waits until an admin endpoint's answer fulfils a condition.
    pub(crate) async fn admin_until(
        &self,
        what: &str,
        path: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        until(what, async || {
            Some(self.admin_json(path).await).filter(&condition)
        })
        .await
    }

    /// The metrics, as text.
    pub(crate) async fn metrics(&self) -> String {
        let url = self.probes_url("/metrics");
        // A busy machine may be too slow for the probes' own deadline.
        until("metrics", async || {
            let answer = reqwest::get(&url).await.ok()?;
            answer.text().await.ok()
        })
        .await
    }

    /// A gauge or counter without labels.
    pub(crate) async fn value(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.and_then(|value| value.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name} in {metrics}")) as u64
    }

    /// Its resident memory.
    pub(crate) async fn resident_bytes(&self) -> u64 {
        self.value("process_resident_memory_bytes").await
    }

    /// Waits until so many requests are under way.
    pub(crate) async fn in_flight(&self, requests: u64) {
        let name = "pailou_requests_in_flight";
        until(&format!("{requests} {name}"), async || {
            (self.value(name).await == requests).then_some(())
        })
        .await;
    }

    /// How large each of its files may become; none for no bound. It needs no rights, unlike a small file system, and a write fails in
    /// the same way as on a full disk. The gateway must ignore SIGXFSZ, which a full disk does not send.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let pid = i32::try_from(self.process.pid()).ok();
        let limit = Rlimit {
            current: bytes,
            ..getrlimit(Resource::Fsize)
        };
        prlimit(pid.and_then(Pid::from_raw), Resource::Fsize, limit)
            .expect("the limit of one's own child");
    }

    /// Sends a signal, as `kill` names it: `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        self.process.exited().await
    }

    async fn listener(&mut self, name: &str) -> SocketAddr {
        let line = self
            .process
            .said(&[&format!("\"listener\":\"{name}\"")])
            .await;
        let line: Value = serde_json::from_str(&line).expect("a JSON log line");
        let address = line["address"]
            .as_str()
            .expect("an address in the log line");
        address.parse().expect("an address")
    }
}
