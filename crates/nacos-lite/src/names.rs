//! Names of services and configs, and the rules that Nacos has for them.

/// The namespace that is meant when none is given.
pub const PUBLIC: &str = "public";

/// The group that is meant when none is given.
pub const DEFAULT_GROUP: &str = "DEFAULT_GROUP";

/// The full name of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Id of the namespace. Over gRPC `""` and `"public"` are two namespaces, as on real servers.
    pub namespace: String,
    /// Group.
    pub group: String,
    /// Name within the group.
    pub name: String,
}

impl ServiceKey {
    /// Names a service.
    pub fn new(
        namespace: impl Into<String>,
        group: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            group: group.into(),
            name: name.into(),
        }
    }

    /// `GROUP@@name`.
    pub(crate) fn grouped_name(&self) -> String {
        format!("{}@@{}", self.group, self.name)
    }
}

impl From<&str> for ServiceKey {
    /// `name` or `GROUP@@name`, in the namespace `public`.
    fn from(name: &str) -> Self {
        let (group, name) = name.split_once("@@").unwrap_or((DEFAULT_GROUP, name));
        Self::new(PUBLIC, group, name)
    }
}

/// The full name of a config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigKey {
    /// Id of the namespace; [`ConfigKey::new`] makes `""` into `"public"`, which for configs are the same.
    pub tenant: String,
    /// Group.
    pub group: String,
    /// Data id.
    pub data_id: String,
}

impl ConfigKey {
    /// Names a config.
    pub fn new(
        tenant: impl Into<String>,
        group: impl Into<String>,
        data_id: impl Into<String>,
    ) -> Self {
        let mut tenant = tenant.into();
        if tenant.is_empty() {
            tenant.push_str(PUBLIC);
        }
        Self {
            tenant,
            group: group.into(),
            data_id: data_id.into(),
        }
    }
}

impl From<&str> for ConfigKey {
    /// A data id of the default group and namespace.
    fn from(data_id: &str) -> Self {
        Self::new(PUBLIC, DEFAULT_GROUP, data_id)
    }
}

/// The checks of Nacos's `DefaultParamChecker`; the error is its message.
pub(crate) mod check {
    use std::time::Duration;

    use super::{ConfigKey, ServiceKey};
    use crate::{
        Instance,
        instance::{BEAT_INTERVAL, preserved},
    };

    /// How many bytes the keys and values of an instance's metadata may have together.
    const METADATA_BYTES: usize = 1024;

    pub(crate) fn service(key: &ServiceKey) -> Result<(), String> {
        text("namespaceId", &key.namespace, 64, is_word)?;
        text("groupName", &key.group, 128, is_word_or_dot)?;
        text("serviceName", &key.name, 512, is_visible)?;
        if key.name.starts_with('@') || key.name.contains("@@") {
            return Err(illegal("serviceName"));
        }
        Ok(())
    }

    pub(crate) fn config(key: &ConfigKey) -> Result<(), String> {
        text("namespaceId", &key.tenant, 64, is_word)?;
        text("group", &key.group, 128, is_word_or_dot)?;
        text("dataId", &key.data_id, 256, is_word_or_dot)
    }

    pub(crate) fn instance(instance: &Instance) -> Result<(), String> {
        text("ip", &instance.ip, 128, is_visible)?;
        text("cluster", &instance.cluster, 64, is_word)?;
        let bytes: usize = instance
            .metadata
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if bytes > METADATA_BYTES {
            return Err(too_long("metadata", METADATA_BYTES));
        }
        Ok(())
    }

    /// Real servers have this for what is registered over HTTP.
    pub(crate) fn beats(instance: &Instance) -> Result<(), String> {
        let set = |key, default| instance.setting(key, default);
        let interval = set(preserved::BEAT_INTERVAL, BEAT_INTERVAL);
        // These two are Nacos's own, whatever this registry's options are.
        let timeout = set(preserved::BEAT_TIMEOUT, Duration::from_secs(15));
        let removal = set(preserved::DELETE_TIMEOUT, Duration::from_secs(30));
        if timeout < interval || removal < interval {
            return Err("Instance 'heart beat interval' must less than 'heart beat timeout' and 'ip delete timeout'.".into());
        }
        Ok(())
    }

    fn text(param: &str, value: &str, max: usize, allowed: fn(char) -> bool) -> Result<(), String> {
        if value.chars().count() > max {
            return Err(too_long(param, max));
        }
        if value.chars().all(allowed) {
            Ok(())
        } else {
            Err(illegal(param))
        }
    }

    fn is_word(c: char) -> bool {
        c.is_ascii_alphanumeric() || c == '-' || c == '_'
    }

    fn is_word_or_dot(c: char) -> bool {
        is_word(c) || c == '.' || c == ':'
    }

    fn is_visible(c: char) -> bool {
        !c.is_whitespace() && !('\u{4E00}'..='\u{9FA5}').contains(&c)
    }

    fn illegal(param: &str) -> String {
        format!("Param '{param}' is illegal, illegal characters should not appear in the param.")
    }

    fn too_long(param: &str, max: usize) -> String {
        format!("Param '{param}' is illegal, the param length should not exceed {max}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instance;

    #[test]
    fn names_are_checked_as_nacos_does() {
        for (name, legal) in [
            ("orders", true),
            ("com.acme:Orders_1-2", true),
            ("a@b", true),
            ("DEFAULT_GROUP@@orders", false),
            ("@orders", false),
            ("or ders", false),
            ("订单", false),
        ] {
            assert_eq!(
                check::service(&ServiceKey::new("public", "G", name)).is_ok(),
                legal,
                "{name}"
            );
        }
        for (data_id, legal) in [
            ("routes.yaml", true),
            ("a:b_c-d", true),
            ("bad id!", false),
            ("a/b", false),
        ] {
            assert_eq!(
                check::config(&ConfigKey::from(data_id)).is_ok(),
                legal,
                "{data_id}"
            );
        }
    }

    #[test]
    fn metadata_ends_at_1024_bytes() {
        for (bytes, legal) in [(1023, true), (1024, false)] {
            let mut instance = Instance::new("10.0.0.1", 1);
            instance.metadata.insert("k".into(), "x".repeat(bytes));
            assert_eq!(check::instance(&instance).is_ok(), legal, "{bytes}");
        }
    }

    #[test]
    fn an_instance_may_not_be_gone_before_its_next_beat() {
        for (setting, millis, legal) in [
            ("preserved.heart.beat.timeout", "5000", true),
            ("preserved.heart.beat.timeout", "4999", false),
            ("preserved.ip.delete.timeout", "4999", false),
            ("preserved.heart.beat.interval", "15001", false),
        ] {
            let mut instance = Instance::new("10.0.0.1", 1);
            instance.metadata.insert(setting.into(), millis.into());
            assert_eq!(check::beats(&instance).is_ok(), legal, "{setting} {millis}");
        }
    }

    #[test]
    fn the_default_tenant_has_one_name() {
        assert_eq!(ConfigKey::new("", DEFAULT_GROUP, "a"), ConfigKey::from("a"));
        assert_ne!(
            ServiceKey::new("", DEFAULT_GROUP, "a"),
            ServiceKey::from("a")
        );
        assert_eq!(ServiceKey::from("G@@a"), ServiceKey::new(PUBLIC, "G", "a"));
    }
}
