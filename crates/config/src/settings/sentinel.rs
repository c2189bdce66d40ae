//! Flow rules that are kept for Sentinel.

use super::{
    kind::Maybe,
    schema::{Reader, section},
    values::NAME,
};

section! {
    /// Flow rules of Sentinel's gateway adapter (`gw-flow`) and its API groups, as JSON in Nacos configs. Every publish is followed.
    /// Each gateway counts for itself.
    SentinelSettings in "sentinel" {
        /// The data id of the rules, in the namespace of `nacos`. Without one no rules are followed.
        flow_rules: Option<String> = None, Maybe(NAME);
        /// The data id of the API groups that rules may name.
        api_groups: Option<String> = None, Maybe(NAME);
        /// The group of both; `nacos.group` unless given. Often it is `SENTINEL_GROUP`.
        group: Option<String> = None, Maybe(NAME);
    }
}

impl SentinelSettings {
    /// Reports what does not fit together.
    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        if self.api_groups.is_some() && self.flow_rules.is_none() {
            reader.fault(
                "sentinel.api_groups",
                "groups that no rule can name",
                Some("`sentinel.flow_rules` too"),
            );
        }
    }
}
