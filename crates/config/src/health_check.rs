//! How the endpoints of a service are asked whether they are well.

use std::time::Duration;

use crate::{field::Field, units::format_duration};

/// An active check of endpoints, beside what requests find out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthCheckSpec {
    /// What is asked.
    pub kind: CheckKind,
    /// The port that is asked, where it is not the one that requests go to.
    pub port: Option<u16>,
    /// From one question to the next.
    pub interval: Duration,
    /// How long an endpoint may take for its answer, the connection included.
    pub timeout: Duration,
    /// So many failures in a row take an endpoint out.
    pub unhealthy_after: u32,
    /// So many good answers in a row bring it back.
    pub healthy_after: u32,
}

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// Nothing: a connection is enough, with TLS where requests have it.
    Tcp,
    /// A GET of this path, which has to be answered with 2xx.
    Http(String),
    /// `grpc.health.v1.Health/Check` of this service, empty for the server as a whole; the answer has to be `SERVING`.
    Grpc(String),
}

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
const UNHEALTHY_AFTER: u64 = 3;
const HEALTHY_AFTER: u64 = 2;
const HOUR: Duration = Duration::from_secs(3_600);
const EXPECTED: &str =
    "tcp, grpc, a path such as /healthz, or a mapping with `tcp`, `grpc` or `http`";

impl HealthCheckSpec {
    fn new(kind: CheckKind) -> HealthCheckSpec {
        HealthCheckSpec {
            kind,
            port: None,
            interval: INTERVAL,
            timeout: TIMEOUT,
            unhealthy_after: UNHEALTHY_AFTER as u32,
            healthy_after: HEALTHY_AFTER as u32,
        }
    }

    /// Reads `tcp`, `grpc` or a path; or a mapping with one of `tcp: true`, `grpc: SERVICE` and `http: PATH`, and the numbers.
    pub(crate) fn read(field: &Field<'_>) -> Option<HealthCheckSpec> {
        if !field.is_mapping() {
            return short(field).map(HealthCheckSpec::new);
        }
        let mut fields = field.mapping()?;
        let kinds: Vec<_> = ["tcp", "http", "grpc"]
            .into_iter()
            .filter_map(|kind| Some((kind, fields.optional(kind)?)))
            .collect();
        let port = fields.optional("port").map(|port| port.integer(1..=65_535));
        let millisecond = Duration::from_millis(1);
        let mut time = |key, default, least: Duration, most| match fields.optional(key) {
            Some(field) => field.duration(least..=most),
            None => Some(default),
        };
        let interval = time("interval", INTERVAL, 100 * millisecond, HOUR);
        let timeout = time("timeout", TIMEOUT, 10 * millisecond, HOUR / 60);
        let mut number = |key, default| match fields.optional(key) {
            Some(field) => field.integer(1..=100),
            None => Some(default),
        };
        let unhealthy_after = number("unhealthy_after", UNHEALTHY_AFTER);
        let healthy_after = number("healthy_after", HEALTHY_AFTER);
        fields.finish();
        let kind = match &kinds[..] {
            [(name, value)] => kind(name, value),
            _ => {
                field.fault_expected("not one thing to ask", EXPECTED);
                None
            }
        };
        Some(HealthCheckSpec {
            kind: kind?,
            port: match port {
                Some(port) => Some(port? as u16),
                None => None,
            },
            interval: interval?,
            timeout: timeout?,
            unhealthy_after: unhealthy_after? as u32,
            healthy_after: healthy_after? as u32,
        })
    }

    /// As it is written, as a mapping.
    pub fn text(&self) -> String {
        let kind = match &self.kind {
            CheckKind::Tcp => "tcp: true".to_owned(),
            CheckKind::Http(path) => format!("http: \"{path}\""),
            CheckKind::Grpc(service) => format!("grpc: \"{service}\""),
        };
        let port = self.port.map(|port| format!(", port: {port}"));
        format!(
            "{{ {kind}{}, interval: {}, timeout: {}, unhealthy_after: {}, healthy_after: {} }}",
            port.unwrap_or_default(),
            format_duration(self.interval),
            format_duration(self.timeout),
            self.unhealthy_after,
            self.healthy_after
        )
    }
}

fn short(field: &Field<'_>) -> Option<CheckKind> {
    let text = field.string()?;
    match text.as_str() {
        "tcp" => Some(CheckKind::Tcp),
        "grpc" => Some(CheckKind::Grpc(String::new())),
        path if is_path(path) => Some(CheckKind::Http(text)),
        _ => {
            field.fault_expected(field.quoted(), EXPECTED);
            None
        }
    }
}

fn kind(name: &str, field: &Field<'_>) -> Option<CheckKind> {
    match name {
        "tcp" => match field.boolean()? {
            true => Some(CheckKind::Tcp),
            false => {
                field.fault_expected("a check of nothing", "true, or no check");
                None
            }
        },
        "http" => {
            let path = field.string()?;
            if !is_path(&path) {
                field.fault_expected(field.quoted(), "a path that begins with `/`");
                return None;
            }
            Some(CheckKind::Http(path))
        }
        _ => {
            let service = field.string()?;
            let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
            if service.len() > 256 || !service.bytes().all(is_legal) {
                field.fault_expected(
                    field.quoted(),
                    "the name of a gRPC service, or an empty text",
                );
                return None;
            }
            Some(CheckKind::Grpc(service))
        }
    }
}

/// Whether it can be the target of a request as it is (RFC 9112 section 3.2.1).
fn is_path(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte);
    text.starts_with('/') && text.len() <= 2_048 && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::Report, node::Node};

    fn read(text: &str) -> Result<String, String> {
        let report = Report::new("test");
        let node = Node::parse_yaml(text, &report).expect("YAML");
        let spec = HealthCheckSpec::read(&Field::new(&node, "health_check", &report));
        match report.has_errors() {
            false => Ok(spec.expect("no fault").text()),
            true => Err(report.into_faults()[0].to_string()),
        }
    }

    #[test]
    fn a_check_is_read_in_short_and_in_full() {
        let rest = "interval: 5s, timeout: 1s, unhealthy_after: 3, healthy_after: 2";
        for (text, kind) in [
            ("tcp", "tcp: true"),
            ("grpc", "grpc: \"\""),
            ("/healthz?full", "http: \"/healthz?full\""),
            ("{ tcp: true }", "tcp: true"),
            ("{ grpc: users.v1.Users }", "grpc: \"users.v1.Users\""),
            ("{ http: /up, port: 8081 }", "http: \"/up\", port: 8081"),
        ] {
            assert_eq!(read(text), Ok(format!("{{ {kind}, {rest} }}")), "{text}");
        }
        let full = "{ http: \"/up\", interval: 500ms, timeout: 50ms, unhealthy_after: 1, healthy_after: 10 }";
        assert_eq!(read(full).as_deref(), Ok(full));
    }

    #[test]
    fn what_asks_nothing_or_too_much_is_refused() {
        for (text, problem) in [
            ("udp", "tcp, grpc, a path"),
            ("{}", "tcp, grpc, a path"),
            ("{ tcp: true, http: / }", "tcp, grpc, a path"),
            ("{ tcp: false }", "true"),
            ("{ http: up }", "begins with `/`"),
            ("{ http: '/a b' }", "begins with `/`"),
            ("{ grpc: 'a b' }", "gRPC service"),
            ("{ tcp: true, interval: 10ms }", "100ms to 1h"),
            ("{ tcp: true, unhealthy_after: 0 }", "from 1 to 100"),
            ("{ tcp: true, port: 0 }", "from 1 to 65535"),
            ("{ tcp: true, intervall: 1s }", "unknown key"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
