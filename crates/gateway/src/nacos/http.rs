//! What only a server's HTTP API tells: the login, lists over all groups, the history of a config.
//!
//! The API differs by version, and some of it needs an administrator. Each question is asked in version 3's form and
//! then in version 1's; the first answer counts.

mod lists;
mod login;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use pailou_nacos::{ClientOptions, Error, ServerAddress, http_request};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) use lists::{ConfigAddress, Namespace};
pub(crate) use login::Login;

/// Longer answers are not read.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// How much of a server's words is shown.
const MAX_SHOWN_CHARS: usize = 160;

/// The same of an answer that is no HTTP.
const MAX_SHOWN_BYTES: usize = 80;

/// How long its first bytes are waited for.
const LOOK: Duration = Duration::from_secs(1);

/// One server's HTTP API.
pub(crate) struct Http {
    options: ClientOptions,
    server: ServerAddress,
    token: Option<String>,
}

/// What is asked for.
pub(crate) struct Question {
    method: Method,
    target: String,
    /// The body of a form.
    form: Option<String>,
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
    /// Reaches the server as a client with these options does, TLS and time limit included.
    pub(crate) fn new(options: ClientOptions, server: ServerAddress) -> Http {
        let options = ClientOptions {
            max_message_bytes: MAX_ANSWER_BYTES,
            ..options
        };
        Http {
            options,
            server,
            token: None,
        }
    }

    /// Asks for something and takes whatever comes.
    pub(crate) async fn look(&self, path: &str) -> Result<Answer, HttpError> {
        self.send(Question::new(Method::GET, path)).await
    }

    /// Whether anybody may read a config, with or without a login; it need not exist.
    pub(crate) async fn is_open(&self, config: ConfigAddress<'_>) -> Result<bool, HttpError> {
        let (new, old) = config.queries();
        for (path, query) in [("/v3/client/cs/config", new), ("/v1/cs/configs", old)] {
            let answer = self
                .send(Question::new(Method::GET, path).query(&query))
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

    /// How the answer to an empty request begins, as it came, where that is no HTTP that can be read: quoted, and no more of it
    /// than a line. Nothing of it is known over TLS, or where nothing comes.
    pub(crate) async fn first_bytes(&self, method: Method, path: &str) -> Option<String> {
        if self.server.is_https {
            return None;
        }
        let host = self.server.host.as_str();
        let look = async {
            let mut stream = TcpStream::connect((host, self.server.port)).await?;
            let head = format!(
                "{method} /nacos{path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                self.server
            );
            stream.write_all(head.as_bytes()).await?;
            let mut came = [0; MAX_SHOWN_BYTES];
            let read = stream.read(&mut came).await?;
            std::io::Result::Ok(came[..read].to_vec())
        };
        let came = tokio::time::timeout(LOOK, look).await.ok()?.ok()?;
        let line = came.split(|byte| *byte == b'\n').next()?;
        let line = String::from_utf8_lossy(line);
        (!line.is_empty()).then(|| format!("{:?}", line.trim_end()))
    }

    async fn send(&self, question: Question) -> Result<Answer, HttpError> {
        let mut request = Request::builder()
            .method(question.method)
            .uri(question.target);
        if let Some(token) = &self.token {
            // In a header, never in the address, which servers log.
            request = request.header("accessToken", token);
        }
        if question.form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request
            .body(Bytes::from(question.form.unwrap_or_default()))
            .map_err(|error| HttpError::Failed(error.to_string()))?;
        let answer = http_request(&self.options, &self.server, request).await;
        let answer = answer.map_err(|error| {
            HttpError::Failed(match error {
                Error::NotConnected(problem) => problem,
                other => other.to_string(),
            })
        })?;
        let date = answer.headers().get(header::DATE);
        Ok(Answer {
            status: answer.status(),
            date: date.and_then(|date| date.to_str().ok()).map(str::to_owned),
            text: String::from_utf8_lossy(answer.body()).into_owned(),
        })
    }

    /// The JSON of the first of several forms of a question that is answered. Without one, the most telling refusal.
    async fn ask(&self, forms: &[(&str, &[(&str, &str)])]) -> Result<Value, HttpError> {
        let mut refusal = HttpError::Absent;
        for (path, query) in forms {
            let question = Question::new(Method::GET, path).query(query);
            match self.send(question).await.and_then(|answer| answer.json()) {
                Ok(json) => return Ok(json),
                Err(HttpError::Absent) => {}
                Err(error) if refusal == HttpError::Absent => refusal = error,
                Err(_) => {}
            }
        }
        Err(refusal)
    }
}

impl Question {
    /// The path is that behind `/nacos`.
    pub(crate) fn new(method: Method, path: &str) -> Question {
        Question {
            method,
            target: format!("/nacos{path}"),
            form: None,
        }
    }

    pub(crate) fn query(mut self, pairs: &[(&str, &str)]) -> Question {
        if !pairs.is_empty() {
            self.target = format!("{}?{}", self.target, encode(pairs));
        }
        self
    }

    pub(crate) fn form(mut self, pairs: &[(&str, &str)]) -> Question {
        self.form = Some(encode(pairs));
        self
    }
}

fn encode(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
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
