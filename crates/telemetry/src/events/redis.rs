//! What happens to the connection to Redis.

use tracing::{info, warn};

use crate::Metrics;

/// Redis answers in time, and is asked from now on.
#[derive(Clone, Copy, Debug)]
pub struct RedisConnected {
    /// What it is: `single`, `sentinel` or `cluster`.
    pub mode: &'static str,
}

impl RedisConnected {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics.set_redis_up(true);
        info!(target: "pailou", mode = self.mode, "Redis answers: limits are counted there");
    }
}

/// It did not answer in time, or the connection ended: nobody is asked until it answers again.
#[derive(Clone, Copy, Debug)]
pub struct RedisLost<'a> {
    /// Why.
    pub error: &'a str,
}

impl RedisLost<'_> {
    /// Logs and counts it.
    pub fn record(&self, metrics: &Metrics) {
        metrics.set_redis_up(false);
        warn!(target: "pailou", error = self.error, "Redis is lost: limits go by redis.on_failure");
    }
}

/// No connection comes about. Said once for each reason.
#[derive(Clone, Copy, Debug)]
pub struct RedisUnreachable<'a> {
    /// Why.
    pub error: &'a str,
}

impl RedisUnreachable<'_> {
    /// Logs it.
    pub fn record(&self) {
        warn!(target: "pailou", error = self.error, "Redis cannot be asked: limits go by redis.on_failure");
    }
}

/// It answers with an error. Said once until it answers well.
#[derive(Clone, Copy, Debug)]
pub struct RedisRefused<'a> {
    /// What it says.
    pub error: &'a str,
}

impl RedisRefused<'_> {
    /// Logs it.
    pub fn record(&self) {
        warn!(target: "pailou", error = self.error, "Redis refuses what limits ask: they go by redis.on_failure");
    }
}
