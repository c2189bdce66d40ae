//! Whether a server can be reached: its name, its HTTP port, its clock, its gRPC port.

use http::Method;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use pailou_config::Settings;
use pailou_nacos::{Error, ProbeError, ServerAddress, probe};
use serde_json::Value;

use super::findings::Findings;
use crate::nacos::{
    self,
    http::{Answer, Http},
};

/// The `Date` header has whole seconds, and a token is renewed long before its end; beyond this, logs mislead.
const CLOCK: Duration = Duration::from_secs(30);

/// What an error of TLS begins with; it goes on with what is wrong and with which file.
const TLS: &str = "TLS: ";

/// What answers at a server.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) http: bool,
    pub(super) grpc: bool,
    /// As the server says it: `2.3.1`.
    version: Option<String>,
}

impl Seen {
    fn is_version_1(&self) -> bool {
        self.version
            .as_deref()
            .is_some_and(|version| version.starts_with("1."))
    }
}

/// Whether the server's name has an address.
pub(super) async fn name(
    server: &ServerAddress,
    settings: &Settings,
    findings: &mut Findings,
) -> bool {
    if server.host.parse::<IpAddr>().is_ok() {
        return true;
    }
    findings.progress("name resolution");
    let lookup = tokio::net::lookup_host((server.host.as_str(), server.port));
    let error = match tokio::time::timeout(settings.nacos.request_timeout, lookup).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<_> = found.map(|it| it.ip().to_string()).collect();
            addresses.sort();
            addresses.dedup();
            findings.ok("name", &server.host, addresses.join(", "));
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    findings.problem(
        "name",
        &server.host,
        format!("has no address: {error}"),
        format!(
            "Correct {}, or this machine's DNS.",
            findings.setting("servers", Some("NACOS_SERVER_ADDR"))
        ),
    );
    false
}

/// Asks the HTTP port who is there, and compares the clocks.
pub(super) async fn http(
    http: &Http,
    server: &ServerAddress,
    settings: &Settings,
    findings: &mut Findings,
) -> Seen {
    findings.progress("HTTP port");
    let mut last = None;
    for path in ["/v3/admin/core/state", "/v1/console/server/state"] {
        match http.look(path).await {
            Ok(answer) => {
                let is_found = answer.status.is_success();
                last = Some(Ok(answer));
                if is_found {
                    break;
                }
            }
            Err(error) => {
                last = Some(Err(error));
                break;
            }
        }
    }
    let subject = format!("port {}", server.port);
    match last {
        Some(Ok(answer)) if wants_tls(server, &answer) => {
            let found = "the port speaks TLS, and the settings have TLS off for it";
            let servers = findings.setting("servers", None);
            let cure = format!("Write `https://` before the server in {servers}.");
            findings.problem("http", &subject, found, cure);
            Seen::default()
        }
        Some(Ok(answer)) => {
            let version = version(&answer);
            let found = match &version {
                Some(version) => format!("Nacos {version} answers"),
                None => format!("answers with HTTP {}", answer.status.as_u16()),
            };
            findings.ok("http", &subject, found);
            clock(&answer, findings);
            Seen {
                http: true,
                grpc: false,
                version,
            }
        }
        Some(Err(error)) => {
            let came = http.first_bytes(Method::GET, "/").await;
            let mut found = format!("no answer over HTTP: {error}");
            let cure = if found.contains(TLS) {
                tls_cure(findings)
            } else if let Some(came) = came {
                found = format!("{found}; the answer begins with {came}");
                format!(
                    "The port is open, but what answers there is not Nacos: correct {}, or find out what uses the port.",
                    findings.setting("servers", None)
                )
            } else {
                format!(
                    "Start the server, correct {}, or open this port to the gateway.",
                    findings.setting("servers", None)
                )
            };
            if settings.nacos.credentials().is_some() {
                findings.problem("http", &subject, found, cure);
            } else {
                let cure = format!(
                    "{cure} The gateway needs this port to log in, and for everything where gRPC does not answer."
                );
                findings.warning("http", &subject, found, cure);
            }
            Seen::default()
        }
        None => Seen::default(),
    }
}

/// What to look at when TLS does not come about; the reason is in what was found.
fn tls_cure(findings: &Findings) -> String {
    let setting = |key| findings.setting(key, None);
    format!(
        "Compare {} (`https://` or not), {} and {} with what the server has; `openssl s_client -connect HOST:PORT` shows \
         its certificate.",
        setting("servers"),
        setting("grpc_tls"),
        setting("tls_*")
    )
}

/// Whether a plain question got the answer that nginx and Tomcat give on ports for TLS.
fn wants_tls(server: &ServerAddress, answer: &Answer) -> bool {
    let is_told = ["sent to HTTPS port", "requires TLS"]
        .iter()
        .any(|words| answer.text.contains(words));
    !server.is_https && answer.status.as_u16() == 400 && is_told
}

fn version(answer: &Answer) -> Option<String> {
    if !answer.status.is_success() {
        return None;
    }
    let json: Value = serde_json::from_str(&answer.text).ok()?;
    let state = json.get("data").unwrap_or(&json);
    Some(state.get("version")?.as_str()?.to_owned())
}

fn clock(answer: &Answer, findings: &mut Findings) {
    let date = answer.date.as_deref();
    let Some(theirs) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else {
        return findings.unknown("clock", "", "the server does not send its time");
    };
    let ours = SystemTime::now();
    let apart = match ours.duration_since(theirs) {
        Ok(behind) => behind,
        Err(ahead) => ahead.duration(),
    };
    if apart <= CLOCK {
        return findings.ok("clock", "", "the server's clock agrees with this machine's");
    }
    let which = if theirs < ours { "behind" } else { "ahead of" };
    findings.warning(
        "clock",
        "",
        format!("the server's clock is {} s {which} this machine's", apart.as_secs()),
        "Let both follow the same time servers (NTP): logs, tokens and certificates depend on the clock.",
    );
}

/// Whether the gRPC port is there, and is one server's. False if there is nothing to speak to, over HTTP neither.
pub(super) async fn grpc(
    server: &ServerAddress,
    settings: &Settings,
    seen: &mut Seen,
    findings: &mut Findings,
) -> anyhow::Result<bool> {
    findings.progress("gRPC port");
    let options = nacos::options(settings)?;
    let port = options.grpc_port.or_else(|| server.grpc_port());
    let subject = port.map_or_else(String::new, |port| format!("port {port}"));
    let setting = findings.setting("grpc_port", None);
    let rule = if settings.nacos.grpc_port.is_some() {
        &setting
    } else {
        "the HTTP port + 1000"
    };
    let (found, cure) = match probe(&options, server).await {
        Ok(found) if found.is_one_connection => {
            findings.ok("grpc", &subject, "answers over one connection");
            seen.grpc = true;
            return Ok(true);
        }
        Ok(_) => (
            "two servers answered two questions of one connection: a balancer for HTTP/2 stands in between"
                .to_owned(),
            format!(
                "Balance Nacos's gRPC port on layer 4 (TCP), or name the servers themselves in {}.",
                findings.setting("servers", None)
            ),
        ),
        Err(ProbeError::Connect(error)) if seen.is_version_1() => (
            format!("no TCP connection ({error}): Nacos 1.x has no gRPC"),
            "Upgrade Nacos to 2.x or later.".to_owned(),
        ),
        Err(ProbeError::Connect(error)) => (
            format!("no TCP connection: {error}"),
            format!(
                "Open this port ({rule}) to the gateway: firewall, security group, container port. If it is mapped to \
                 another one, set {setting}; if port {} is the console's, name the server's (8848).",
                server.port
            ),
        ),
        Err(ProbeError::Tls(error)) => (
            format!("takes TCP connections, but TLS fails: {error}"),
            tls_cure(findings),
        ),
        Err(ProbeError::WantsTls) => (
            "the port speaks TLS, and the settings have TLS off for gRPC".to_owned(),
            format!("Set {} to true.", findings.setting("grpc_tls", None)),
        ),
        // In TLS 1.3 a server refuses a client's certificate after the handshake.
        Err(ProbeError::Speak(error)) if error.contains(TLS) => (
            format!("takes TCP connections, and closes them: {error}"),
            tls_cure(findings),
        ),
        Err(ProbeError::Speak(error)) => (
            format!("takes TCP connections, but does not answer as Nacos does: {error}"),
            format!(
                "Let this port ({rule}) lead to Nacos's gRPC port unchanged: no HTTP proxy in between, or set \
                 {setting}."
            ),
        ),
        // Who only starts or is overloaded is waited for, and not asked over HTTP.
        Err(ProbeError::Refused(error)) => {
            let cure = if error == Error::Starting {
                "Wait until the server has started. If this does not end, read the server's log (nacos.log, naming-raft.log)."
            } else {
                "Read the server's log: the server runs and refuses."
            };
            findings.problem("grpc", &subject, error.to_string(), cure);
            return Ok(false);
        }
    };
    // What is to be encrypted is not asked over plain HTTP.
    let is_http_as_safe = server.is_https || settings.nacos.grpc_tls != Some(true);
    if seen.http && is_http_as_safe {
        let found =
            format!("{found}; the gateway uses HTTP instead, and sees changes some seconds later");
        findings.warning("grpc", &subject, found, cure);
    } else {
        findings.problem("grpc", &subject, found, cure);
    }
    Ok(seen.http && is_http_as_safe)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn the_version_is_read_from_both_forms() {
        for (status, text, expected) in [
            (200, r#"{"version":"2.3.1"}"#, Some("2.3.1")),
            (
                200,
                r#"{"code":0,"data":{"version":"3.1.0"}}"#,
                Some("3.1.0"),
            ),
            (200, "<html>", None),
            (404, r#"{"version":"2.3.1"}"#, None),
        ] {
            let answer = Answer {
                status: StatusCode::from_u16(status).expect("a status"),
                date: None,
                text: text.to_owned(),
            };
            assert_eq!(version(&answer).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn clocks_may_differ_by_some_seconds() {
        let now = SystemTime::now();
        for (theirs, is_told) in [
            (now, false),
            (now - Duration::from_secs(20), false),
            (now - Duration::from_secs(90), true),
            (now + Duration::from_secs(90), true),
        ] {
            let answer = Answer {
                status: StatusCode::OK,
                date: Some(httpdate::fmt_http_date(theirs)),
                text: String::new(),
            };
            let mut findings = Findings::new(false);
            clock(&answer, &mut findings);
            let expected = if is_told { 1 } else { 0 };
            assert_eq!(findings.warnings(), expected, "{theirs:?}");
        }
    }
}
