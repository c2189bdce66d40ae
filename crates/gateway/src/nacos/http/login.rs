//! The login, and why it failed.

use http::Method;
use pailou_config::Secret;
use serde::Deserialize;

use super::{Answer, Http, Question};

/// What became of a login.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// There is a token now.
    LoggedIn,
    /// The user is there and has another password, in the server's words.
    WrongPassword(String),
    /// The server does not know the user, or has not loaded it yet, in its words.
    UnknownUser(String),
    /// The server's words do not say which of the two.
    Refused(String),
    /// The server has no login.
    Absent,
    /// It was not answered.
    Failed(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    access_token: String,
}

impl Http {
    /// Logs in; later questions carry the token.
    pub(crate) async fn login(&mut self, user: &str, password: &Secret) -> Login {
        let form = [("username", user), ("password", password.expose())];
        for (version, path) in [(3, "/v3/auth/user/login"), (1, "/v1/auth/login")] {
            let question = Question::new(Method::POST, path).form(&form);
            let answer = match self.send(question).await {
                Ok(answer) => answer,
                Err(error) => {
                    let came = self.first_bytes(Method::POST, path).await;
                    return Login::Failed(match came {
                        Some(came) => format!("{error}; the answer begins with {came}"),
                        None => error.to_string(),
                    });
                }
            };
            if answer.is_absent() {
                continue;
            }
            let token = serde_json::from_str::<Token>(&answer.text).ok();
            if let Some(token) = token.filter(|_| answer.status.is_success()) {
                self.token = Some(token.access_token);
                return Login::LoggedIn;
            }
            return refusal(version, &answer, password);
        }
        Login::Absent
    }
}

/// Which status means what differs between the two versions, as seen on real servers.
fn refusal(version: u8, answer: &Answer, password: &Secret) -> Login {
    let status = answer.status.as_u16();
    let said = answer.words();
    // Should a server repeat the password, we do not.
    let words = format!("HTTP {status}: {said}").replace(password.expose(), "***");
    match (version, status) {
        (3, 403) => Login::UnknownUser(words),
        (3, 500) => Login::WrongPassword(words),
        (1, 403) => Login::WrongPassword(words),
        (1, 500) if said.contains("not found") => Login::UnknownUser(words),
        _ => Login::Refused(words),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_refusal_is_told_apart_by_version() {
        let refused = |words: &str| Login::Refused(words.to_owned());
        for (version, status, text, expected) in [
            (
                3,
                500,
                r#"{"message":"No message available"}"#,
                Login::WrongPassword("HTTP 500: No message available".to_owned()),
            ),
            (
                3,
                403,
                r#"{"message":"Access Denied"}"#,
                Login::UnknownUser("HTTP 403: Access Denied".to_owned()),
            ),
            (
                1,
                403,
                r#"{"message":"user not found!"}"#,
                Login::WrongPassword("HTTP 403: user not found!".to_owned()),
            ),
            (
                1,
                500,
                "caused: User nacos not found;",
                Login::UnknownUser("HTTP 500: caused: User nacos not found;".to_owned()),
            ),
            (
                1,
                500,
                r#"{"message":"Handle API Compatibility failed"}"#,
                refused("HTTP 500: Handle API Compatibility failed"),
            ),
            (3, 400, "no hunter2 here", refused("HTTP 400: no *** here")),
        ] {
            let answer = Answer {
                status: StatusCode::from_u16(status).expect("a status"),
                date: None,
                text: text.to_owned(),
            };
            let login = refusal(version, &answer, &Secret::new("hunter2"));
            assert_eq!(login, expected, "{version} {status} {text}");
        }
    }
}
