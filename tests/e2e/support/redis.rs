//! A real `redis-server`.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue, cmd};
use tempfile::TempDir;

use super::gateway::Gateway;
use super::ports::free_port;
use super::process::Process;
use super::until;

/// A running `redis-server` of its own. Dropping it kills it.
pub(crate) struct Redis {
    process: Process,
    port: u16,
    args: Vec<String>,
    folder: TempDir,
}

impl Redis {
    /// A fresh one, without a password.
    pub(crate) async fn start() -> Redis {
        Redis::start_with(&[]).await
    }

    /// The same with more arguments, as on its command line.
    pub(crate) async fn start_with(args: &[&str]) -> Redis {
        let (port, folder) = (free_port(), TempDir::new().expect("a folder"));
        let mut all = vec!["--port".to_owned(), port.to_string()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let usual = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        all.extend(usual.map(str::to_owned));
        let process = spawn(&all, &folder);
        let redis = Redis {
            process,
            port,
            args: all,
            folder,
        };
        redis.listens().await;
        redis
    }

    /// A Sentinel that watches over `master` and takes it for dead after half a second.
    pub(crate) async fn sentinel(master: &Redis) -> Redis {
        let (port, folder) = (free_port(), TempDir::new().expect("a folder"));
        let config = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds shop 500\nsentinel failover-timeout shop 3000\n",
            master.port
        );
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, config).expect("written");
        let args = vec![file.display().to_string(), "--sentinel".to_owned()];
        let process = spawn(&args, &folder);
        let redis = Redis {
            process,
            port,
            args,
            folder,
        };
        redis.listens().await;
        redis
    }

    async fn listens(&self) {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        until("redis-server to listen", async || {
            TcpStream::connect(address).ok().map(drop)
        })
        .await;
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Kills it and waits for its end.
    pub(crate) async fn kill(&mut self) {
        self.process.signal("-KILL");
        self.process.exited().await;
    }

    /// Starts it again where it was, without anything that it knew.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(&self.args, &self.folder);
        self.listens().await;
    }

    /// Sends a signal, as `kill` names it: `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// A connection of the test's own.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let client = Client::open(format!("redis://{}", self.address())).expect("an address");
        until("a connection to redis-server", async || {
            client.get_multiplexed_async_connection().await.ok()
        })
        .await
    }

    /// What a command is answered with.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut asked = cmd(words[0]);
        asked.arg(&words[1..]);
        let answer = asked.query_async(&mut self.connection().await).await;
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}

fn spawn(args: &[String], folder: &TempDir) -> Process {
    let version = Command::new("redis-server")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    assert!(
        version.is_ok_and(|status| status.success()),
        "redis-server is missing, which these cases count in: run tools/setup test"
    );
    let mut command = Command::new("redis-server");
    command.args(args).current_dir(folder.path());
    Process::spawn("redis-server", &mut command)
}

/// Waits until the gateway counts in Redis, or does so no more.
pub(crate) async fn until_up(gateway: &Gateway, is_up: bool) {
    until(&format!("pailou_redis_up to be {is_up}"), async || {
        (gateway.value("pailou_redis_up").await == u64::from(is_up)).then_some(())
    })
    .await;
}
