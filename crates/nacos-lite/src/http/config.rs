//! Configs over HTTP, with the long poll that tells of changes.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use super::{
    params::{TEXT, Trusted},
    problem::Caused,
};
use crate::{
    ConfigKey,
    core::Core,
    names::check,
    state::{Publish, limits},
};

/// Between the fields of a listened config.
const WORD: char = '\u{2}';

/// After each listened config.
const LINE: char = '\u{1}';

/// A long poll is held this long at least.
const MIN_HOLD: Duration = Duration::from_secs(10);

/// And answered so long before the client would give up.
const MARGIN: Duration = Duration::from_millis(500);

/// And held this long at most, whatever the client asks for.
const MAX_HOLD: Duration = Duration::from_secs(600);

pub(super) async fn show(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Response, Caused> {
    let key = params.config()?;
    let Some(stored) = core.with(|state, _| state.config(&key).cloned()) else {
        let headers = [(header::CONTENT_TYPE, TEXT)];
        return Ok((StatusCode::NOT_FOUND, headers, "config data not exist\n").into_response());
    };
    let headers = [
        (header::CONTENT_TYPE.as_str(), TEXT),
        ("Config-Type", stored.kind.as_str()),
        ("Content-MD5", stored.md5.as_str()),
    ];
    Ok((headers, stored.content.to_string()).into_response())
}

pub(super) async fn publish(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<&'static str, Caused> {
    let key = params.config()?;
    let publish = Publish {
        content: params.raw("content").unwrap_or_default(),
        kind: params.optional("type"),
        if_md5: params.header("casMd5"),
    };
    core.with(|state, now| state.publish(&key, &publish, now))?;
    Ok("true")
}

pub(super) async fn remove(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<&'static str, Caused> {
    let key = params.config()?;
    core.with(|state, now| state.remove_config(&key, now));
    Ok("true")
}

/// Answers when one of the configs differs from what the client has, or with nothing after the hold.
pub(super) async fn listen(
    State(core): State<Arc<Core>>,
    Trusted(params): Trusted,
) -> Result<Response, Caused> {
    let listened = parse(params.raw("Listening-Configs").unwrap_or_default())?;
    let deadline = hold(&params.headers).map(|hold| Instant::now() + hold);
    let mut changes = core.config_changes();
    loop {
        changes.mark_unchanged();
        let changed = core.with(|state, _| {
            let differs = |config: &&Listened| state.config_differs(&config.key, &config.md5);
            listened
                .iter()
                .filter(differs)
                .map(Listened::line)
                .collect::<String>()
        });
        let Some(deadline) = deadline.filter(|_| changed.is_empty()) else {
            return Ok(answer(&changed));
        };
        match tokio::time::timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Ok(answer("")),
        }
    }
}

struct Listened {
    key: ConfigKey,
    md5: String,
    tenant_as_sent: Option<String>,
}

impl Listened {
    /// The config as the answer names it.
    fn line(&self) -> String {
        let mut line = format!("{}{WORD}{}", self.key.data_id, self.key.group);
        if let Some(tenant) = &self.tenant_as_sent {
            line.push(WORD);
            line.push_str(tenant);
        }
        line.push(LINE);
        line
    }
}

fn parse(text: &str) -> Result<Vec<Listened>, Caused> {
    let lines = text.split(LINE).filter(|line| !line.is_empty());
    let listened = lines.map(|line| {
        let mut words = line.split(WORD);
        let (Some(data_id), Some(group), Some(md5)) = (words.next(), words.next(), words.next())
        else {
            return Err(Caused::bad_request("invalid probeModify"));
        };
        let tenant_as_sent = words
            .next()
            .filter(|tenant| !tenant.is_empty())
            .map(str::to_owned);
        let key = ConfigKey::new(tenant_as_sent.clone().unwrap_or_default(), group, data_id);
        check::config(&key).map_err(Caused::bad_request)?;
        Ok(Listened {
            key,
            md5: md5.to_owned(),
            tenant_as_sent,
        })
    });
    let listened: Vec<_> = listened.collect::<Result<_, _>>()?;
    if listened.is_empty() || listened.len() > limits::INTERESTS {
        return Err(Caused::bad_request("invalid probeModify"));
    }
    Ok(listened)
}

/// How long the client lets itself be held; `None` answers at once.
fn hold(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text("Long-Pulling-Timeout-No-Hangup") == Some("true") {
        return None;
    }
    let timeout = Duration::from_millis(text("Long-Pulling-Timeout")?.parse().ok()?);
    Some(timeout.saturating_sub(MARGIN).clamp(MIN_HOLD, MAX_HOLD))
}

fn answer(changed: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, TEXT),
        (header::CACHE_CONTROL, "no-cache,no-store"),
    ];
    if changed.is_empty() {
        return (headers, String::new()).into_response();
    }
    (headers, encode(changed) + "\n").into_response()
}

/// Java's `URLEncoder`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                encoded.push(char::from(byte))
            }
            b' ' => encoded.push('+'),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_poll_is_held_as_real_servers_do() {
        for (timeout, no_hangup, expected) in [
            (None, None, None),
            (Some("3000"), None, Some(10_000)),
            (Some("12000"), None, Some(11_500)),
            (Some("30000"), None, Some(29_500)),
            (Some("30000"), Some("true"), None),
            (Some("99999999"), None, Some(600_000)),
            (Some("soon"), None, None),
        ] {
            let mut headers = HeaderMap::new();
            timeout.map(|value| headers.insert("Long-Pulling-Timeout", value.parse().unwrap()));
            no_hangup.map(|value| {
                headers.insert("Long-Pulling-Timeout-No-Hangup", value.parse().unwrap())
            });
            assert_eq!(
                hold(&headers),
                expected.map(Duration::from_millis),
                "{timeout:?} {no_hangup:?}"
            );
        }
    }

    #[test]
    fn listened_configs_are_read_with_and_without_a_namespace() {
        let listened = parse("a\u{2}G\u{2}1\u{1}b\u{2}G\u{2}\u{2}dev\u{1}").expect("two configs");
        let keys: Vec<_> = listened
            .iter()
            .map(|it| (it.key.clone(), it.md5.as_str()))
            .collect();
        assert_eq!(
            keys,
            [
                (ConfigKey::new("", "G", "a"), "1"),
                (ConfigKey::new("dev", "G", "b"), "")
            ]
        );
        let lines: String = listened.iter().map(Listened::line).collect();
        assert_eq!(encode(&lines), "a%02G%01b%02G%02dev%01");
        for bad in ["", "a", "a\u{2}G", "a b\u{2}G\u{2}1\u{1}"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
