//! One login attempt at one server: a form posted by HTTP/1.1.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;

use super::Outcome;
use crate::{
    error::reason,
    exchange::exchange,
    network::Network,
    options::{Credentials, ServerAddress},
};

/// Where servers take logins: since 3.0, and before (gone from the stock server in 3.2).
const PATHS: [&str; 2] = ["/nacos/v3/auth/user/login", "/nacos/v1/auth/login"];

/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// How much of a server's words is shown.
const MAX_SHOWN_CHARS: usize = 160;

/// What a refusal means, whatever its words: a real server says "No message available" of a wrong password, "user not found!"
/// too, and "Access Denied" while it has not loaded its users.
const LIKELY_CAUSES: &str = " (likely: a wrong password, an unknown user, or a server that has just started and has not loaded its users yet)";

pub(super) struct Form {
    body: Bytes,
    password: String,
    /// The server to ask next.
    pub(super) server: usize,
    /// The path that worked last.
    path: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    access_token: Option<String>,
    token_ttl: Option<f64>,
}

impl Form {
    pub(super) fn new(credentials: &Credentials) -> Self {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("username", &credentials.username)
            .append_pair("password", &credentials.password)
            .finish();
        Self {
            body: body.into(),
            password: credentials.password.clone(),
            server: 0,
            path: 0,
        }
    }

    /// Tries the paths at this server, beginning with the one that worked last.
    pub(super) async fn post(&mut self, network: &Network, server: &ServerAddress) -> Outcome {
        for _ in 0..PATHS.len() {
            let outcome = match self.post_to(network, server, PATHS[self.path]).await {
                Ok((status, body)) => self.judge(server, status, &body),
                Err(error) => Outcome::Unreachable(format!("{server}: {}", reason(&*error))),
            };
            if outcome != Outcome::Absent {
                return outcome;
            }
            self.path = (self.path + 1) % PATHS.len();
        }
        Outcome::Absent
    }

    async fn post_to(
        &self,
        network: &Network,
        server: &ServerAddress,
        path: &str,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(self.body.clone()))?;
        let (head, body) = exchange(network, server, request, MAX_ANSWER_BYTES)
            .await?
            .into_parts();
        Ok((head.status, body))
    }

    /// Only a token is a success, and only what no login can answer means that there is no login here: a wrong
    /// password, an unknown user and a user that is not loaded yet are 403 or 500, by version.
    fn judge(&self, server: &ServerAddress, status: StatusCode, body: &[u8]) -> Outcome {
        let text = String::from_utf8_lossy(body);
        if matches!(status.as_u16(), 404 | 405 | 410 | 501)
            || (status.as_u16() == 500 && text.contains("No static resource"))
        {
            return Outcome::Absent;
        }
        let answer = serde_json::from_slice::<Answer>(body)
            .ok()
            .filter(|_| status.is_success());
        if let Some(Answer {
            access_token: Some(token),
            token_ttl,
        }) = answer
            && !token.is_empty()
        {
            let life = token_ttl.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            return Outcome::Token {
                token: Arc::from(token),
                life,
            };
        }
        let causes = if matches!(status.as_u16(), 401 | 403 | 500) {
            LIKELY_CAUSES
        } else {
            ""
        };
        Outcome::Refused(format!(
            "{server}: HTTP {}: {}{causes}",
            status.as_u16(),
            self.shown(&text)
        ))
    }

    /// The server's words, short, printable and without the password, should a server repeat it.
    fn shown(&self, text: &str) -> String {
        #[derive(Deserialize)]
        struct Fault {
            message: String,
        }
        let words = serde_json::from_str(text)
            .map_or_else(|_| text.to_owned(), |fault: Fault| fault.message);
        let words = if self.password.is_empty() {
            words
        } else {
            words.replace(&self.password, "***")
        };
        words
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
    fn only_a_token_is_a_login_and_only_a_missing_path_is_none() {
        let form = Form::new(&Credentials::new("nacos", "hunter2"));
        let server = "nacos".parse().unwrap();
        let refused = |text: &str| Outcome::Refused(format!("nacos:8848: {text}"));
        let explained = |text: &str| refused(&format!("{text}{LIKELY_CAUSES}"));
        let token = |seconds: Option<u64>| Outcome::Token {
            token: "t".into(),
            life: seconds.map(Duration::from_secs),
        };
        for (status, body, expected) in [
            (
                200,
                r#"{"accessToken":"t","tokenTtl":18000,"globalAdmin":true}"#,
                token(Some(18000)),
            ),
            (200, r#"{"accessToken":"t"}"#, token(None)),
            (200, r#"{"accessToken":"t","tokenTtl":-1}"#, token(None)),
            (
                200,
                r#"{"accessToken":""}"#,
                refused(r#"HTTP 200: {"accessToken":""}"#),
            ),
            (200, r#"{"code":0}"#, refused(r#"HTTP 200: {"code":0}"#)),
            (200, "<html>", refused("HTTP 200: <html>")),
            (
                403,
                r#"{"status":403,"message":"user not found!"}"#,
                explained("HTTP 403: user not found!"),
            ),
            (
                403,
                "no hunter2\nfor you",
                explained("HTTP 403: no *** for you"),
            ),
            (
                500,
                "caused: User nacos not found;",
                explained("HTTP 500: caused: User nacos not found;"),
            ),
            (
                500,
                r#"{"status":500,"message":"No message available"}"#,
                explained("HTTP 500: No message available"),
            ),
            (
                500,
                "No static resource nacos/v3/auth/user/login.",
                Outcome::Absent,
            ),
            (404, "", Outcome::Absent),
            (405, "", Outcome::Absent),
            (410, "", Outcome::Absent),
            (501, "", Outcome::Absent),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                form.judge(&server, status, body.as_bytes()),
                expected,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_password_of_odd_characters_is_encoded() {
        let form = Form::new(&Credentials::new("nacos", "a&b=c d+é%"));
        assert_eq!(
            &form.body[..],
            b"username=nacos&password=a%26b%3Dc+d%2B%C3%A9%25"
        );
    }
}
