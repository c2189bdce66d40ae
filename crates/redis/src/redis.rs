//! The Redis that is asked, and the task that keeps the connection.

use std::fmt;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pailou_config::RedisSettings;
use pailou_telemetry::{Metrics, events};
use redis::{ErrorKind, RedisError, ServerErrorKind};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use crate::connect::Connection;
use crate::script::Script;

/// How often the connection is tried, and the gateway says that it is there.
const BEAT: Duration = Duration::from_secs(1);
/// The pause before another connection, doubled with each that does not come about.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that lasted for less does not begin the pauses anew.
const LASTING: Duration = Duration::from_secs(10);

/// Says that this gateway is there, and how many are: those that have said so within 10 s.
static GATEWAYS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local seconds = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], seconds, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', seconds - 10)
redis.call('EXPIRE', KEYS[1], 60)
return { redis.call('ZCARD', KEYS[1]) }",
    )
});

/// A Redis that is asked; cheap to clone. Nobody is asked until [`run`](Redis::run) runs.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    settings: RedisSettings,
    metrics: Metrics,
    /// What this gateway is called among the others: a number that it has drawn.
    id: i64,
    /// Nothing while nobody can be asked.
    connection: ArcSwapOption<Connection>,
    lost: Notify,
    /// How many gateways count in it, as far as is known.
    gateways: AtomicU32,
    /// Whether the last answer was an error of a script's.
    refuses: AtomicBool,
}

/// Why Redis has said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unavailable {
    /// There is no connection.
    #[error("no connection")]
    Down,
    /// It did not answer in time.
    #[error("no answer in time")]
    Late,
    /// The connection ended, or it answered with an error.
    #[error("no answer")]
    Failed,
}

impl Unavailable {
    /// The label in metrics.
    fn word(self) -> &'static str {
        match self {
            Unavailable::Down => "down",
            Unavailable::Late => "late",
            Unavailable::Failed => "failed",
        }
    }
}

impl Redis {
    /// The Redis that `settings` name, if they name any.
    pub fn new(settings: &RedisSettings, metrics: &Metrics) -> Option<Redis> {
        settings.is_set().then(|| {
            Redis(Arc::new(Inner {
                settings: settings.clone(),
                metrics: metrics.clone(),
                id: fastrand::i64(..),
                connection: ArcSwapOption::empty(),
                lost: Notify::new(),
                gateways: AtomicU32::new(1),
                refuses: AtomicBool::new(false),
            }))
        })
    }

    /// The settings.
    pub fn settings(&self) -> &RedisSettings {
        &self.0.settings
    }

    /// How many gateways count in it: as it said last, and at least this one.
    pub fn gateways(&self) -> u32 {
        self.0.gateways.load(Relaxed).max(1)
    }

    /// Runs a script, until `due` at the latest and never longer than `redis.timeout`.
    ///
    /// It may be dropped at any time. Cost: one message each way over a connection that all share.
    ///
    /// # Errors
    /// There was no answer. One that has taken the whole `redis.timeout` takes the connection out of use.
    pub async fn run_script(
        &self,
        script: &Script,
        keys: &[&[u8]],
        numbers: &[i64],
        due: Instant,
    ) -> Result<Vec<i64>, Unavailable> {
        let answered = self.answer(script, keys, numbers, due).await;
        let word = answered
            .as_ref()
            .map_or_else(|why| why.word(), |_| "answered");
        self.0.metrics.redis_asked(word);
        answered
    }

    async fn answer(
        &self,
        script: &Script,
        keys: &[&[u8]],
        numbers: &[i64],
        due: Instant,
    ) -> Result<Vec<i64>, Unavailable> {
        let connection = self.0.connection.load_full().ok_or(Unavailable::Down)?;
        let own = Instant::now() + self.0.settings.timeout;
        let asked = script.run(&connection, keys, numbers);
        match timeout_at(due.min(own), asked).await {
            Ok(Ok(numbers)) => {
                if self.0.refuses.load(Relaxed) {
                    self.0.refuses.store(false, Relaxed);
                }
                Ok(numbers)
            }
            Ok(Err(error)) => {
                self.failed(&connection, &error);
                Err(Unavailable::Failed)
            }
            Err(_) => {
                if own <= due {
                    self.lose(&connection, "no answer in time");
                }
                Err(Unavailable::Late)
            }
        }
    }

    fn failed(&self, connection: &Arc<Connection>, error: &RedisError) {
        if is_fatal(error) {
            self.lose(connection, &error.to_string());
        } else if !self.0.refuses.swap(true, Relaxed) {
            let error = &error.to_string();
            events::RedisRefused { error }.record();
        }
    }

    /// Takes a connection out of use.
    fn lose(&self, connection: &Arc<Connection>, error: &str) {
        let before = self.0.connection.compare_and_swap(connection, None);
        let is_ours = before
            .as_ref()
            .is_some_and(|before| Arc::ptr_eq(before, connection));
        if is_ours {
            events::RedisLost { error }.record(&self.0.metrics);
            self.0.lost.notify_one();
        }
    }

    /// Keeps a connection, for ever. Dropping it leaves the connection there is.
    pub async fn run(self) -> String {
        let mut pause = FIRST_PAUSE;
        let mut told = String::new();
        loop {
            match self.connect().await {
                Ok(connection) => {
                    told.clear();
                    let began = Instant::now();
                    self.watch(&connection).await;
                    if began.elapsed() >= LASTING {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(error) if error != told => {
                    events::RedisUnreachable { error: &error }.record();
                    told = error;
                }
                Err(_) => {}
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Makes a connection over which Redis answers in time, and puts it in use.
    async fn connect(&self) -> Result<Arc<Connection>, String> {
        let settings = &self.0.settings;
        let due = Instant::now() + settings.connect_timeout * 2;
        let late = |_| "no connection in time".to_owned();
        let opened = timeout_at(due, Connection::open(settings)).await;
        let connection = opened.map_err(late)?.map_err(|error| error.to_string())?;
        let connection = Arc::new(connection);
        self.beat(&connection).await?;
        self.0.connection.store(Some(Arc::clone(&connection)));
        events::RedisConnected {
            mode: settings.mode.word(),
        }
        .record(&self.0.metrics);
        Ok(connection)
    }

    /// Returns once the connection is out of use.
    async fn watch(&self, connection: &Arc<Connection>) {
        loop {
            tokio::select! {
                () = self.0.lost.notified() => return,
                () = sleep(BEAT) => {}
            }
            if let Err(error) = self.beat(connection).await {
                self.lose(connection, &error);
            }
        }
    }

    /// Says that this gateway is there, and learns how many are.
    async fn beat(&self, connection: &Connection) -> Result<(), String> {
        let settings = &self.0.settings;
        let key = format!("{}:gateways", settings.prefix);
        let (keys, id) = ([key.as_bytes()], [self.0.id]);
        let asked = GATEWAYS.run(connection, &keys, &id);
        let due = Instant::now() + settings.timeout;
        let answered = timeout_at(due, asked).await;
        let answered = answered.map_err(|_| "no answer in time".to_owned())?;
        let numbers = answered.map_err(|error| error.to_string())?;
        let gateways = numbers
            .first()
            .and_then(|number| u32::try_from(*number).ok());
        self.0.gateways.store(gateways.unwrap_or(1), Relaxed);
        self.0.metrics.set_redis_gateways(gateways.unwrap_or(1));
        Ok(())
    }
}

/// Whether the connection is of no use any more: it ended, or leads to a server that does not take what we write.
fn is_fatal(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
    error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly)
        )
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("servers", &self.0.settings.servers)
            .field("mode", &self.0.settings.mode)
            .finish_non_exhaustive()
    }
}
