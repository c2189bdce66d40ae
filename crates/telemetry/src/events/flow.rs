//! What happens to flow rules.

use std::sync::atomic::Ordering;

use tracing::{error, info, warn};

use crate::Metrics;

/// Flow rules were published and are in force.
#[derive(Clone, Copy, Debug)]
pub struct FlowRulesApplied<'a> {
    /// The config that they stand in.
    pub config: &'a str,
    /// How many there are.
    pub rules: usize,
    /// Where they are not followed, or in another way.
    pub differences: &'a [String],
}

impl FlowRulesApplied<'_> {
    /// Logs it, with each difference, and sets the gauge.
    pub fn record(&self, metrics: &Metrics) {
        let rules = self.rules as u64;
        metrics.totals().flow_rules.store(rules, Ordering::Relaxed);
        info!(target: "pailou", config = self.config, rules, "flow rules are in force");
        for difference in self.differences {
            warn!(target: "pailou", config = self.config, difference, "a flow rule differs from Sentinel's");
        }
    }
}

/// Nacos has not said which flow rules there are: those of the snapshot are in force.
#[derive(Clone, Copy, Debug)]
pub struct FlowRulesRestored<'a> {
    /// The config that they stand in.
    pub config: &'a str,
    /// How many there are.
    pub rules: usize,
}

impl FlowRulesRestored<'_> {
    /// Logs it and sets the gauge.
    pub fn record(&self, metrics: &Metrics) {
        let rules = self.rules as u64;
        metrics.totals().flow_rules.store(rules, Ordering::Relaxed);
        info!(target: "pailou", config = self.config, rules, "flow rules of the snapshot are in force until Nacos answers");
    }
}

/// Flow rules were published that cannot be read; the old ones stay.
#[derive(Clone, Copy, Debug)]
pub struct FlowRulesRefused<'a> {
    /// The config that they stand in.
    pub config: &'a str,
    /// Why.
    pub error: &'a str,
}

impl FlowRulesRefused<'_> {
    /// Logs it and counts it.
    pub fn record(&self, metrics: &Metrics) {
        let refusals = &metrics.totals().flow_rule_refusals;
        refusals.fetch_add(1, Ordering::Relaxed);
        error!(target: "pailou", config = self.config, error = self.error, "flow rules cannot be read, the old ones stay");
    }
}
