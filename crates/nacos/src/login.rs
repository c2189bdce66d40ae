//! The login: one token for all namespaces of a client, renewed before it ends.
//!
//! One task logs in, so that any number of refused requests lead to one new login. A failure never takes a token away:
//! whether the old one still works is for the server to say.

mod form;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    network::Network,
    options::{ClientOptions, Credentials, ServerAddress},
    state::{Counters, Counts, LoginState, unix_ms},
};

/// Pause after a refusal. A fresh server refuses a right password for 4–15 s, until it has loaded its users, so a
/// refusal is never final; and a wrong password must not hammer the server.
const AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// How many refusals are followed by this pause; then it doubles.
const PATIENT_REFUSALS: u32 = 4;

/// The longest pause after refusals.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pause when no server has a login.
const WHILE_ABSENT: Duration = Duration::from_secs(60);

/// First pause when no server could be reached; it doubles up to a cap.
const AFTER_LOSS: Duration = Duration::from_millis(500);

/// Cap of the pause when no server can be reached.
const LONGEST_LOSS: Duration = Duration::from_secs(10);

/// The life of a token whose server does not tell it.
const UNTOLD_LIFE: Duration = Duration::from_secs(300);

/// What a request is sent with.
#[derive(Clone, Default)]
pub(crate) struct Access {
    pub(crate) token: Option<Arc<str>>,
    /// Number of the token; grows with each new one.
    pub(crate) generation: u64,
}

pub(crate) struct Login {
    credentials: Option<Credentials>,
    servers: Vec<ServerAddress>,
    request_timeout: Duration,
    current: watch::Sender<Current>,
    wanted: watch::Sender<Wanted>,
    counters: Counters,
}

#[derive(Clone)]
struct Current {
    access: Access,
    state: LoginState,
    /// How many attempts are over.
    attempts: u64,
    /// No attempt is made before.
    earliest: Instant,
}

/// What the task is asked for.
#[derive(Clone, Copy, Default, PartialEq)]
struct Wanted {
    /// A token that the server refused.
    refused_generation: Option<u64>,
    /// How often a server came within reach.
    arrivals: u64,
}

/// How an attempt ended.
#[derive(Debug, PartialEq)]
enum Outcome {
    Token {
        token: Arc<str>,
        life: Option<Duration>,
    },
    Refused(String),
    Unreachable(String),
    Absent,
}

impl Login {
    pub(crate) fn new(options: &ClientOptions) -> Self {
        let state = if options.credentials.is_some() {
            LoginState::Pending
        } else {
            LoginState::Off
        };
        let current = Current {
            access: Access::default(),
            state,
            attempts: 0,
            earliest: Instant::now(),
        };
        Self {
            credentials: options.credentials.clone(),
            servers: options.servers.clone(),
            request_timeout: options.request_timeout,
            current: watch::Sender::new(current),
            wanted: watch::Sender::default(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.credentials.is_some()
    }

    pub(crate) fn state(&self) -> LoginState {
        self.current.borrow().state.clone()
    }

    /// Puts the login's own counters among a session's.
    pub(crate) fn counted(&self, counts: Counts) -> Counts {
        let own = self.counters.counts();
        Counts {
            logins: own.logins,
            failed_logins: own.failed_logins,
            ..counts
        }
    }

    /// The token to use now. Only the very first attempt is waited for, and not longer than this: without a token the
    /// request is sent all the same, since the server may not ask for one.
    pub(crate) async fn access(&self, limit: Duration) -> Access {
        if !self.is_on() {
            return Access::default();
        }
        let mut current = self.current.subscribe();
        let settled = current.wait_for(|current| current.attempts > 0);
        match timeout(limit, settled).await {
            Ok(Ok(current)) => current.access.clone(),
            _ => self.current.borrow().access.clone(),
        }
    }

    /// A newer token than the one that the server refused: one that others have fetched meanwhile, or a new one.
    /// `None` when there is none to be had now.
    pub(crate) async fn renewed(&self, refused_generation: u64, limit: Duration) -> Option<Access> {
        if !self.is_on() {
            return None;
        }
        let mut current = self.current.subscribe();
        let (attempts, earliest) = {
            let now = current.borrow();
            if now.access.generation > refused_generation {
                return Some(now.access.clone());
            }
            (now.attempts, now.earliest)
        };
        if earliest > Instant::now() {
            return None;
        }
        self.wanted
            .send_modify(|wanted| wanted.refused_generation = Some(refused_generation));
        let over = current.wait_for(|now| now.attempts > attempts);
        let now = timeout(limit, over).await.ok()?.ok()?;
        (now.access.generation > refused_generation).then(|| now.access.clone())
    }

    /// Says that a server is within reach: a login that waits for one need not wait longer.
    pub(crate) fn server_arrived(&self) {
        self.wanted.send_modify(|wanted| wanted.arrivals += 1);
    }

    /// Returns when there is a newer token than this one.
    pub(crate) async fn newer_than(&self, generation: u64) -> u64 {
        let mut current = self.current.subscribe();
        let newer = current
            .wait_for(|current| current.access.generation > generation)
            .await;
        // The sender is ours, so that the wait can only end with the value.
        newer.map_or(generation, |current| current.access.generation)
    }

    /// Logs in and stays logged in, until dropped.
    pub(crate) async fn run(&self, network: &Network) {
        let Some(credentials) = &self.credentials else {
            return;
        };
        let mut form = form::Form::new(credentials);
        let mut failures = Failures::default();
        loop {
            let asked = *self.wanted.borrow();
            let outcome = self.attempt(network, &mut form).await;
            let pause = self.pause(&outcome, &mut failures);
            self.publish(outcome, pause);
            self.wanted.send_if_modified(|wanted| {
                wanted.refused_generation = None;
                false
            });
            self.wait(pause.until_next, asked.arrivals).await;
        }
    }

    /// Asks the servers, beginning with the one that answered last, until one gives a token or refuses.
    async fn attempt(&self, network: &Network, form: &mut form::Form) -> Outcome {
        let mut unreachable = None;
        for _ in 0..self.servers.len() {
            let server = &self.servers[form.server % self.servers.len()];
            let asked = timeout(self.request_timeout, form.post(network, server)).await;
            match asked
                .unwrap_or_else(|_| Outcome::Unreachable(format!("{server}: no answer in time")))
            {
                Outcome::Unreachable(error) => unreachable = Some(error),
                Outcome::Absent => {}
                settled => return settled,
            }
            form.server += 1;
        }
        unreachable.map_or(Outcome::Absent, Outcome::Unreachable)
    }

    fn pause(&self, outcome: &Outcome, failures: &mut Failures) -> Pause {
        *failures = failures.and(outcome);
        let doubled =
            |first: Duration, times: u32| first.saturating_mul(2_u32.saturating_pow(times.min(10)));
        match outcome {
            Outcome::Token { life, .. } => {
                let life = life.unwrap_or(UNTOLD_LIFE);
                let share = 0.8 + 0.1 * fastrand::f64();
                let until_next = life.mul_f64(share).max(Duration::from_secs(1));
                Pause {
                    at_least: AFTER_REFUSAL.min(until_next),
                    until_next,
                }
            }
            Outcome::Refused(_) => {
                let times = failures.refused.saturating_sub(PATIENT_REFUSALS);
                let pause = doubled(AFTER_REFUSAL, times).min(LONGEST_PAUSE);
                Pause {
                    at_least: AFTER_REFUSAL,
                    until_next: spread(pause),
                }
            }
            Outcome::Unreachable(_) => {
                let pause = doubled(AFTER_LOSS, failures.unreachable - 1).min(LONGEST_LOSS);
                Pause {
                    at_least: AFTER_LOSS / 2,
                    until_next: spread(pause),
                }
            }
            Outcome::Absent => Pause {
                at_least: AFTER_REFUSAL,
                until_next: WHILE_ABSENT,
            },
        }
    }

    fn publish(&self, outcome: Outcome, pause: Pause) {
        let earliest = Instant::now() + pause.at_least;
        self.current.send_modify(|current| {
            current.attempts += 1;
            current.earliest = earliest;
            match outcome {
                Outcome::Token { token, .. } => {
                    self.counters.logins.increment();
                    current.access = Access {
                        token: Some(token),
                        generation: current.access.generation + 1,
                    };
                    let renewal_unix_ms = unix_ms(SystemTime::now() + pause.until_next);
                    current.state = LoginState::LoggedIn {
                        renewal_unix_ms,
                        renewal_error: None,
                    };
                    tracing::debug!(renewal = ?pause.until_next, "logged in to Nacos");
                }
                Outcome::Absent => {
                    current.state = LoginState::Absent;
                    tracing::info!("no Nacos server has a login; going on without a token");
                }
                Outcome::Refused(error) | Outcome::Unreachable(error) => {
                    self.counters.failed_logins.increment();
                    tracing::warn!(error, retry = ?pause.until_next, "the login to Nacos failed");
                    match &mut current.state {
                        LoginState::LoggedIn { renewal_error, .. } => *renewal_error = Some(error),
                        state => *state = LoginState::Failed { error },
                    }
                }
            }
        });
    }

    /// Waits for the next attempt: until it is due, or someone needs it sooner.
    async fn wait(&self, until_next: Duration, arrivals: u64) {
        let due = Instant::now() + until_next;
        let (earliest, generation, has_token) = {
            let current = self.current.borrow();
            (
                current.earliest,
                current.access.generation,
                current.access.token.is_some(),
            )
        };
        let mut wanted = self.wanted.subscribe();
        let needed = async {
            let is_needed = |wanted: &Wanted| {
                wanted.refused_generation == Some(generation)
                    || (!has_token && wanted.arrivals > arrivals)
            };
            // The sender is ours, so that the wait can only end with the value.
            let _ = wanted.wait_for(is_needed).await;
        };
        tokio::select! {
            () = sleep_until(due) => {}
            () = needed => sleep_until(earliest.min(due)).await,
        }
    }
}

/// How many attempts in a row ended in the same way.
#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    refused: u32,
    unreachable: u32,
}

impl Failures {
    /// With one more outcome. A server that refuses is a new trouble, not more of the old one that it was not there.
    fn and(self, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Refused(_) => Self {
                refused: self.refused.saturating_add(1),
                unreachable: 0,
            },
            Outcome::Unreachable(_) => Self {
                refused: 0,
                unreachable: self.unreachable.saturating_add(1),
            },
            Outcome::Token { .. } | Outcome::Absent => Self::default(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    at_least: Duration,
    until_next: Duration,
}

/// Up to a fifth more than the pause: many clients must not come at one moment.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + 0.2 * fastrand::f64())
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}
