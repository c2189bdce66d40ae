//! What only a server's HTTP API tells: the login, lists over all groups, the history of a config.
//!
//! The API differs by version, and some of it needs an administrator. Each question is asked in version 3's form and
//! then in version 1's; the first answer counts.

mod lists;
mod login;

use std::time::Duration;

use pailou_nacos::ServerAddress;
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::Value;

pub(crate) use lists::{ConfigAddress, Namespace};
pub(crate) use login::Login;

/// Longer answers are not read.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// How much of a server's words is shown.
const MAX_SHOWN_CHARS: usize = 160;

/// One server's HTTP API.
pub(crate) struct Http {
    client: reqwest::Client,
    server: ServerAddress,
    token: Option<String>,
}

/// An answer of any status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The server's clock.
    pub(crate) date: Option<String>,
    pub(crate) text: String,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    /// The server has no such API.
    #[error("this server has no such API")]
    Absent,
    /// No right, or no login.
    #[error("refused: {0}")]
    Forbidden(String),
    /// Something else went wrong.
    #[error("{0}")]
    Failed(String),
}

impl Http {
    /// No request takes longer than `limit`.
    pub(crate) fn new(server: ServerAddress, limit: Duration) -> anyhow::Result<Http> {
        let client = reqwest::Client::builder()
            .timeout(limit)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Http {
            client,
            server,
            token: None,
        })
    }

    /// Asks for something and takes whatever comes.
    pub(crate) async fn look(&self, path: &str) -> Result<Answer, HttpError> {
        self.send(self.request(Method::GET, path)).await
    }

    /// Whether anybody may read a config, with or without a login; it need not exist.
    pub(crate) async fn is_open(&self, config: ConfigAddress<'_>) -> Result<bool, HttpError> {
        let (new, old) = config.queries();
        for (path, query) in [("/v3/client/cs/config", new), ("/v1/cs/configs", old)] {
            let answer = self
                .send(self.request(Method::GET, path).query(&query))
                .await?;
            let is_missing = answer.text.contains("config data not exist");
            match answer.status.as_u16() {
                401 | 403 => return Ok(false),
                200 => return Ok(true),
                404 if is_missing => return Ok(true),
                _ if answer.is_absent() => {}
                status => {
                    let words = answer.words();
                    return Err(HttpError::Failed(format!("HTTP {status}: {words}")));
                }
            }
        }
        Err(HttpError::Absent)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("http://{}/nacos{path}", self.server));
        match &self.token {
            // In a header, never in the address, which servers log.
            Some(token) => request.header("accessToken", token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, HttpError> {
        let failed = |error: reqwest::Error| HttpError::Failed(chain(&error.without_url()));
        let mut response = request.send().await.map_err(failed)?;
        let date = response
            .headers()
            .get(header::DATE)
            .and_then(|date| date.to_str().ok())
            .map(str::to_owned);
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER_BYTES {
                return Err(HttpError::Failed("the answer is too long".to_owned()));
            }
        }
        Ok(Answer {
            status,
            date,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// The JSON of the first of several forms of a question that is answered. Without one, the most telling refusal.
    async fn ask(&self, forms: &[(&str, &[(&str, &str)])]) -> Result<Value, HttpError> {
        let mut refusal = HttpError::Absent;
        for (path, query) in forms {
            let request = self.request(Method::GET, path).query(query);
            match self.send(request).await.and_then(|answer| answer.json()) {
                Ok(json) => return Ok(json),
                Err(HttpError::Absent) => {}
                Err(error) if refusal == HttpError::Absent => refusal = error,
                Err(_) => {}
            }
        }
        Err(refusal)
    }
}

impl Answer {
    /// Whether nothing is at the path: what no existing API answers, by version.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.status.as_u16(), 404 | 405 | 410 | 501)
            || (self.status.as_u16() == 500 && self.text.contains("No static resource"))
    }

    fn json(self) -> Result<Value, HttpError> {
        let refused = |answer: &Answer| {
            let words = answer.words();
            match answer.status.as_u16() {
                401 | 403 => HttpError::Forbidden(words),
                status => HttpError::Failed(format!("HTTP {status}: {words}")),
            }
        };
        if self.is_absent() {
            return Err(HttpError::Absent);
        }
        if !self.status.is_success() {
            return Err(refused(&self));
        }
        let json: Value = serde_json::from_str(&self.text).map_err(|_| refused(&self))?;
        match json.get("code").and_then(Value::as_i64) {
            None | Some(0 | 200) => Ok(json),
            Some(_) => Err(refused(&self)),
        }
    }

    /// The server's words, short and printable.
    pub(crate) fn words(&self) -> String {
        let json = serde_json::from_str::<Value>(&self.text).unwrap_or_default();
        let message = json.get("message").and_then(Value::as_str);
        message
            .unwrap_or(&self.text)
            .trim()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_SHOWN_CHARS)
            .collect()
    }
}

/// An error with its causes, which is where the reason stands.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_or_says_why_not() {
        let failed = |text: &str| Err(HttpError::Failed(text.to_owned()));
        let forbidden = |text: &str| Err(HttpError::Forbidden(text.to_owned()));
        for (status, text, expected) in [
            (200, r#"{"code":0,"data":1}"#, Ok(())),
            (200, r#"{"code":200,"data":1}"#, Ok(())),
            (200, r#"{"count":0}"#, Ok(())),
            (
                200,
                r#"{"code":20004,"message":"no"}"#,
                failed("HTTP 200: no"),
            ),
            (200, "<html>", failed("HTTP 200: <html>")),
            (
                403,
                r#"{"message":"user\nnot found!"}"#,
                forbidden("user not found!"),
            ),
            (401, "who", forbidden("who")),
            (404, "", Err(HttpError::Absent)),
            (410, "{}", Err(HttpError::Absent)),
            (500, "No static resource nacos/x", Err(HttpError::Absent)),
            (500, "caused: x;", failed("HTTP 500: caused: x;")),
        ] {
            let answer = Answer {
                status: StatusCode::from_u16(status).expect("a status"),
                date: None,
                text: text.to_owned(),
            };
            assert_eq!(answer.json().map(drop), expected, "{status} {text}");
        }
    }
}
