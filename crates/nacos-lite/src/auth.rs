//! The one user and its tokens. The tokens are opaque, since this server holds no secrets.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::ClockMove;

/// How many tokens are remembered; the oldest goes first.
const MAX_TOKENS: usize = 10_000;

/// What a real server says to a request without a token.
const UNKNOWN_USER: &str =
    "Code: 401, Message: User not found! Please check user exist or password is right!.";

/// Logins and what they gave out.
pub(crate) struct Tokens {
    user: Option<(String, String)>,
    ttl: Duration,
    issued: Mutex<BTreeMap<String, Issued>>,
}

struct Issued {
    number: u64,
    expires: Instant,
}

/// Why a login failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LoginError {
    UnknownUser,
    WrongPassword,
}

/// A login that succeeded.
pub(crate) struct Login {
    pub(crate) token: String,
    pub(crate) ttl: Duration,
}

impl Tokens {
    pub(crate) fn new(user: Option<(String, String)>, ttl: Duration) -> Self {
        Self {
            user,
            ttl,
            issued: Mutex::default(),
        }
    }

    /// Whether requests need a token at all.
    pub(crate) fn are_needed(&self) -> bool {
        self.user.is_some()
    }

    /// Gives out a token. Without authentication everybody gets one, as on real servers.
    pub(crate) fn login(&self, user: &str, password: &str) -> Result<Login, LoginError> {
        self.identify(user, password)?;
        let token = format!("{:032x}", fastrand::u128(..));
        let now = Instant::now();
        let mut issued = self.lock();
        let number = issued
            .values()
            .map(|it| it.number)
            .max()
            .map_or(0, |last| last + 1);
        if issued.len() >= MAX_TOKENS {
            let oldest = issued
                .iter()
                .min_by_key(|(_, it)| it.number)
                .map(|(token, _)| token.clone());
            oldest.map(|oldest| issued.remove(&oldest));
        }
        issued.insert(
            token.clone(),
            Issued {
                number,
                expires: now + self.ttl,
            },
        );
        Ok(Login {
            token,
            ttl: self.ttl,
        })
    }

    /// Whether a request with this token may go on; the error is the message of a real 3.1.0 server.
    pub(crate) fn check(&self, token: Option<&str>) -> Result<(), &'static str> {
        if !self.are_needed() {
            return Ok(());
        }
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(UNKNOWN_USER);
        };
        match self.lock().get(token) {
            Some(issued) if issued.expires > Instant::now() => Ok(()),
            Some(_) => Err("Code: 401, Message: token expired!."),
            // The head of a JSON Web Token: another server's, since our own look otherwise.
            None if token.starts_with("eyJ") => Err("Code: 401, Message: Invalid signature."),
            None => Err("Code: 401, Message: unsupported signature algorithm."),
        }
    }

    /// Whether a request with user and password in place of a token may go on.
    pub(crate) fn verify(&self, user: &str, password: &str) -> Result<(), &'static str> {
        self.identify(user, password).map_err(|_| UNKNOWN_USER)
    }

    fn identify(&self, user: &str, password: &str) -> Result<(), LoginError> {
        match &self.user {
            Some((known, _)) if known != user => Err(LoginError::UnknownUser),
            Some((_, right)) if right != password => Err(LoginError::WrongPassword),
            _ => Ok(()),
        }
    }

    pub(crate) fn expire_all(&self) {
        let now = Instant::now();
        self.lock()
            .values_mut()
            .for_each(|issued| issued.expires = now);
    }

    /// Lets tokens expire sooner, or later.
    pub(crate) fn move_clock(&self, by: ClockMove) {
        for issued in self.lock().values_mut() {
            let moved = match by {
                ClockMove::Ahead(by) => issued.expires.checked_sub(by),
                ClockMove::Back(by) => issued.expires.checked_add(by),
            };
            issued.expires = moved.unwrap_or_else(Instant::now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(
            Some(("nacos".into(), "secret".into())),
            Duration::from_secs(60),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_lives_as_long_as_it_says() {
        let tokens = tokens();
        let login = tokens
            .login("nacos", "secret")
            .expect("the password is right");
        assert_eq!(login.ttl, Duration::from_secs(60));
        assert_eq!(tokens.check(Some(&login.token)), Ok(()));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(
            tokens
                .check(Some(&login.token))
                .is_err_and(|why| why.contains("token expired!"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_can_be_made_to_expire() {
        let tokens = tokens();
        let login = tokens
            .login("nacos", "secret")
            .expect("the password is right");
        tokens.expire_all();
        assert!(tokens.check(Some(&login.token)).is_err());
        let again = tokens
            .login("nacos", "secret")
            .expect("the password is right");
        assert_eq!(tokens.check(Some(&again.token)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_are_refused_with_the_reason() {
        let tokens = tokens();
        assert_eq!(
            tokens.login("nobody", "secret").err(),
            Some(LoginError::UnknownUser)
        );
        assert_eq!(
            tokens.login("nacos", "wrong").err(),
            Some(LoginError::WrongPassword)
        );
        for (token, reason) in [
            (None, "User not found!"),
            (Some(""), "User not found!"),
            (Some("abc.def.ghi"), "unsupported signature algorithm"),
            (Some("eyJhbGciOiJIUzI1NiJ9.e30.x"), "Invalid signature"),
        ] {
            assert!(
                tokens.check(token).is_err_and(|why| why.contains(reason)),
                "{token:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_tokens_are_kept_than_the_bound() {
        let tokens = tokens();
        let first = tokens
            .login("nacos", "secret")
            .expect("the password is right");
        {
            let mut issued = tokens.lock();
            for number in 1..MAX_TOKENS as u64 {
                issued.insert(
                    number.to_string(),
                    Issued {
                        number,
                        expires: Instant::now(),
                    },
                );
            }
        }
        let last = tokens
            .login("nacos", "secret")
            .expect("the password is right");
        assert_eq!(tokens.lock().len(), MAX_TOKENS);
        assert!(tokens.check(Some(&first.token)).is_err());
        assert_eq!(tokens.check(Some(&last.token)), Ok(()));
    }
}
