//! Rules as they stand in JSON.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// More rules than these are no list that a person keeps.
const MAX_RULES: usize = 1_000;
const MAX_BYTES: usize = 1 << 20;
/// Unless a rule says how long requests may wait: half a second.
const MAX_QUEUEING_MS: i64 = 500;
/// A rule that waits for longer would hold requests beyond every time-out.
const MOST_QUEUEING_MS: i64 = 600_000;

/// A rule that is followed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RuleSpec {
    pub(super) resource: String,
    /// Whether the resource is an API group, and no route.
    pub(super) is_of_group: bool,
    pub(super) count: f64,
    pub(super) interval_seconds: u32,
    pub(super) amount: Amount,
    pub(super) param: Option<ParamSpec>,
}

/// What `count` is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Amount {
    /// Requests in an interval, and so many on top at once.
    Requests { burst: u32 },
    /// Requests in an interval, spread evenly. One that comes early waits for its turn, or is refused if that takes longer.
    Turns { patience: Duration },
    /// Requests at once, which Sentinel counts by threads.
    AtOnce,
}

/// What a rule counts by.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ParamSpec {
    pub(super) parse_strategy: i64,
    pub(super) field_name: Option<String>,
    pub(super) pattern: Option<String>,
    pub(super) match_strategy: i64,
}

/// Fields that a dashboard adds for itself are looked past.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    resource: Option<String>,
    resource_mode: i64,
    grade: i64,
    count: f64,
    interval_sec: i64,
    control_behavior: i64,
    burst: i64,
    max_queueing_timeout_ms: i64,
    param_item: Option<ParamSpec>,
}

impl Default for Written {
    /// Sentinel's.
    fn default() -> Written {
        Written {
            resource: None,
            resource_mode: 0,
            grade: 1,
            count: 0.0,
            interval_sec: 1,
            control_behavior: 0,
            burst: 0,
            max_queueing_timeout_ms: MAX_QUEUEING_MS,
            param_item: None,
        }
    }
}

/// Reads a list of rules. One that cannot be followed is left out and noted.
pub(super) fn rules(text: &str, notes: &mut Vec<String>) -> Result<Vec<RuleSpec>, String> {
    let mut rules = Vec::new();
    for (item, number) in items(text)?.into_iter().zip(1..) {
        match serde_json::from_value::<Written>(item) {
            Ok(written) => rules.extend(written.checked(number, notes)),
            Err(error) => notes.push(format!("rule {number} is not followed: {error}")),
        }
    }
    Ok(rules)
}

/// The items of a JSON list.
pub(super) fn items(text: &str) -> Result<Vec<Value>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    let items: Vec<Value> =
        serde_json::from_str(text).map_err(|error| format!("no list in JSON ({error})"))?;
    match items.len() > MAX_RULES {
        true => Err(format!("more than {MAX_RULES} items")),
        false => Ok(items),
    }
}

impl Written {
    /// What is followed of it, by the same checks as `GatewayRuleManager.isValidRule` makes.
    fn checked(self, number: usize, notes: &mut Vec<String>) -> Option<RuleSpec> {
        let name = self.resource.as_deref().unwrap_or_default().trim();
        let mut unfollowed = |why: &str| {
            notes.push(format!(
                "rule {number} for `{}` is not followed: {why}",
                name.escape_debug()
            ));
            None
        };
        if name.is_empty() {
            return unfollowed("it has no `resource`");
        }
        if !(self.count >= 0.0 && self.count.is_finite()) {
            return unfollowed("`count` is no number from 0 on");
        }
        let interval = u32::try_from(self.interval_sec).ok();
        let interval = interval.filter(|seconds| *seconds > 0);
        let (Some(interval_seconds), Ok(burst)) = (interval, u32::try_from(self.burst)) else {
            return unfollowed("`intervalSec` is less than 1, or `burst` is negative");
        };
        let queueing = 0..=MOST_QUEUEING_MS;
        let amount = match (self.grade, self.control_behavior) {
            (0, _) => Amount::AtOnce,
            (1, 2) if queueing.contains(&self.max_queueing_timeout_ms) => Amount::Turns {
                patience: Duration::from_millis(self.max_queueing_timeout_ms.unsigned_abs()),
            },
            (1, 2) => return unfollowed("`maxQueueingTimeoutMs` is not from 0 to 600000"),
            (1, 0 | 1) => Amount::Requests { burst },
            (1, _) => return unfollowed("`controlBehavior` is none of 0 to 2"),
            _ => return unfollowed("`grade` is neither 0, requests at once, nor 1, requests"),
        };
        let is_of_group = match self.resource_mode {
            0 => false,
            1 => true,
            _ => return unfollowed("`resourceMode` is neither 0, a route, nor 1, an API group"),
        };
        Some(RuleSpec {
            resource: name.to_owned(),
            is_of_group,
            count: self.count,
            interval_seconds,
            amount,
            param: self.param_item,
        })
    }
}

impl fmt::Display for RuleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_of_group {
            "API group"
        } else {
            "route"
        };
        write!(
            f,
            "the rule for the {kind} `{}`",
            self.resource.escape_debug()
        )
    }
}
