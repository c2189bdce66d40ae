//! Environment variables that override `gateway.yaml`.

use std::collections::BTreeMap;

/// What the names of the gateway's own variables begin with.
pub(crate) const PREFIX: &str = "PAILOU_";

/// Read by the command line, not from here: it names the file that the settings are in.
const COMMAND_LINE: [&str; 1] = ["PAILOU_CONFIG"];

/// Kubernetes sets these two for a Service called `nacos`, and then they speak of Nacos and not of this gateway.
const SERVICE_HOST: &str = "NACOS_SERVICE_HOST";
const SERVICE_PORT: &str = "NACOS_SERVICE_PORT";

/// The environment variables that settings may come from: `PAILOU_*`, `NACOS_*` and `LOG_LEVEL`. Others are kept for the names that
/// `scg.placeholders` allows.
///
/// A variable that is empty or blank counts as unset: that is how a compose file or a Helm chart leaves one out.
///
/// ```
/// use pailou_config::Environment;
///
/// let environment = Environment::from_iter([("NACOS_SERVER_ADDR", "10.0.0.7"), ("NACOS_GROUP", ""), ("HOME", "/root")]);
/// assert_eq!(environment.value("NACOS_SERVER_ADDR"), Some("10.0.0.7"));
/// assert_eq!(environment.value("NACOS_GROUP"), None);
/// assert_eq!(environment.value("HOME"), None);
/// ```
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// The others, for placeholders in route documents.
    others: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of this process. Bytes that are no UTF-8 are replaced, and so refused by whatever reads the value.
    pub fn of_process() -> Environment {
        std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into_owned(),
                    value.to_string_lossy().into_owned(),
                )
            })
            .collect()
    }

    /// The value of a variable that is set and not blank.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The value of any variable that is set and not blank, for a name that `scg.placeholders` allows.
    pub(crate) fn any(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name).or_else(|| self.others.get(name));
        value.map(String::as_str)
    }

    /// The variables as settings read them, and a warning about one that is left out.
    ///
    /// The names that people already use come with their own spellings: seconds without a unit, levels in capitals.
    pub(crate) fn adapted(&self) -> (Environment, Option<(&'static str, &'static str)>) {
        let mut adapted = self.clone();
        let mut left_out = None;
        if adapted.variables.contains_key(SERVICE_HOST)
            && adapted.variables.remove(SERVICE_PORT).is_some()
        {
            left_out = Some((
                SERVICE_PORT,
                "ignored: NACOS_SERVICE_HOST is set too, so Kubernetes set both for a Service named nacos",
            ));
        }
        if let Some(interval) = adapted.variables.get_mut("NACOS_HEARTBEAT_INTERVAL")
            && interval.trim().bytes().all(|b| b.is_ascii_digit())
        {
            *interval = format!("{}s", interval.trim());
        }
        if let Some(level) = adapted.variables.get_mut("LOG_LEVEL") {
            let lower = level.trim().to_ascii_lowercase();
            *level = if lower == "warning" {
                "warn".to_owned()
            } else {
                lower
            };
        }
        (adapted, left_out)
    }

    /// The `PAILOU_*` variables, without those that the command line reads and those that Kubernetes injects.
    pub(crate) fn own_names(&self) -> impl Iterator<Item = &str> {
        self.variables
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && !COMMAND_LINE.contains(&name.as_str()))
            .filter(|(name, _)| !is_service_link(name))
            .map(|(name, _)| name.as_str())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Environment {
        let is_ours = |name: &str| {
            name.starts_with(PREFIX) || name.starts_with("NACOS_") || name == "LOG_LEVEL"
        };
        let (variables, others) = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(_, value): &(String, String)| !value.trim().is_empty())
            .partition(|(name, _)| is_ours(name));
        Environment { variables, others }
    }
}

/// Names only: a value may be a password.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// The variable that overrides the setting at `path`: `nacos.grpc_port` is `PAILOU_NACOS_GRPC_PORT`.
pub(crate) fn variable_name(path: &str) -> String {
    format!(
        "{PREFIX}{}",
        path.replace(['.', '-'], "_").to_ascii_uppercase()
    )
}

/// Whether Kubernetes sets a variable of this name for a Service called `pailou` or `pailou-…`
/// (`PAILOU_SERVICE_HOST`, `PAILOU_ADMIN_PORT_9901_TCP_ADDR`). Nobody wrote it, so it is no typing error.
fn is_service_link(name: &str) -> bool {
    let is_port = |rest: &str| {
        let mut words = rest.split('_');
        words.next().is_some_and(|port| port.parse::<u16>().is_ok())
            && words
                .next()
                .is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
            && matches!(words.next(), None | Some("ADDR" | "PORT" | "PROTO"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT")
        || name
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| is_port(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_kubernetes_injects_are_left_out() {
        let cases = [
            ("PAILOU_SERVICE_HOST", false),
            ("PAILOU_SERVICE_PORT", false),
            ("PAILOU_SERVICE_PORT_HTTP", false),
            ("PAILOU_PORT", false),
            ("PAILOU_PORT_8080_TCP", false),
            ("PAILOU_PORT_8080_TCP_ADDR", false),
            ("PAILOU_ADMIN_PORT_9901_TCP_PROTO", false),
            ("PAILOU_CONFIG", false),
            ("NACOS_GROUP", false),
            ("PAILOU_WORKRES", true),
            ("PAILOU_PORT_TCP", true),
            ("PAILOU_NACOS_SERVERS", true),
        ];
        for (name, expected) in cases {
            let environment = Environment::from_iter([(name, "x")]);
            assert_eq!(environment.own_names().next().is_some(), expected, "{name}");
        }
    }

    #[test]
    fn a_printed_environment_shows_no_value() {
        let environment = Environment::from_iter([("NACOS_PASSWORD", "hunter2")]);
        assert_eq!(format!("{environment:?}"), "{\"NACOS_PASSWORD\"}");
    }
}
