//! The users and the hashes of their passwords.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use tokio::sync::Semaphore;

use super::Credentials;
use crate::AskError;
use crate::sources::{Contents, Read};

/// What a hash may cost: more than this is an attack on the gateway, or a slip.
const MAX_BCRYPT_COST: u32 = 14;
const MAX_ARGON2_KIB: u32 = 64 << 10;
const MAX_ARGON2_PASSES: u32 = 8;

/// Passwords that wait to be verified, beside those that are. More are refused at once.
const MOST_WAITING: usize = 256;

/// Users by name, each with the hash as it is written.
pub(crate) struct Users {
    hashes: HashMap<String, String>,
    /// What an unknown user's password is compared with, so that it takes as long.
    stand_in: Option<String>,
}

impl Users {
    /// Reads lines of `name:hash`, as `htpasswd -B` writes them. A line with a hash that is not served is passed over.
    pub(crate) fn read(text: &[u8]) -> Result<Read, String> {
        let text = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
        let (mut hashes, mut notes) = (HashMap::new(), Vec::new());
        for (at, line) in text.lines().enumerate() {
            let (line, number) = (line.trim(), at + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // A line without a colon may be a password by itself: it is not shown.
            let (name, hash) = line
                .split_once(':')
                .ok_or_else(|| format!("line {number} is not `name:hash`"))?;
            match flaw(name, hash) {
                None if hashes.contains_key(name) => {
                    return Err(format!("line {number}: the user is there twice"));
                }
                None => drop(hashes.insert(name.to_owned(), hash.to_owned())),
                Some(flaw) => notes.push(format!("line {number}: {flaw}")),
            }
        }
        if hashes.is_empty() && (!notes.is_empty() || text.trim().is_empty()) {
            return Err(notes.pop().unwrap_or_else(|| "it is blank".to_owned()));
        }
        // The costliest, or an unknown user would be answered sooner than some who are known.
        let stand_in = hashes.values().max_by_key(|hash| cost(hash)).cloned();
        Ok(Read {
            entries: hashes.len(),
            contents: Contents::Users(Arc::new(Users { hashes, stand_in })),
            notes,
        })
    }

    pub(super) fn hash(&self, name: &str) -> Option<&str> {
        self.hashes.get(name).map(String::as_str)
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Users({})", self.hashes.len())
    }
}

/// What keeps a line from being used.
fn flaw(name: &str, hash: &str) -> Option<&'static str> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Some("the name is empty, or has a control character");
    }
    if let Some(cost) = bcrypt_cost(hash) {
        let is_whole = hash.len() == 60 && hash.is_ascii();
        return match (is_whole, cost) {
            (true, ..=MAX_BCRYPT_COST) => None,
            (true, _) => Some("a cost of bcrypt above 14"),
            (false, _) => Some("a hash of bcrypt that is not whole"),
        };
    }
    match argon2_params(hash) {
        Some(params)
            if params.m_cost() <= MAX_ARGON2_KIB && params.t_cost() <= MAX_ARGON2_PASSES =>
        {
            None
        }
        Some(_) => Some("Argon2 with more than 64 MiB or 8 passes"),
        None => Some("a hash that is not served: bcrypt (`htpasswd -B`) and Argon2 are"),
    }
}

fn bcrypt_cost(hash: &str) -> Option<u32> {
    let rest = ["$2y$", "$2b$", "$2a$"]
        .iter()
        .find_map(|kind| hash.strip_prefix(kind))?;
    rest.split('$').next()?.parse().ok()
}

fn argon2_params(hash: &str) -> Option<Params> {
    let hash = PasswordHash::new(hash).ok()?;
    Params::try_from(&hash).ok()
}

/// How long a hash takes, roughly: a bcrypt of cost 10 is 50 ms, an Argon2 of 19 MiB and two passes 20 ms.
fn cost(hash: &str) -> u64 {
    match bcrypt_cost(hash) {
        Some(cost) => (50 << cost) >> 10,
        None => argon2_params(hash).map_or(0, |params| {
            (u64::from(params.m_cost()) * u64::from(params.t_cost())) >> 11
        }),
    }
}

/// One password that is compared with one hash.
pub(super) struct Verifying {
    password: Vec<u8>,
    hash: Option<String>,
    is_known: bool,
}

impl Verifying {
    pub(super) fn new(users: &Users, given: &Credentials) -> Verifying {
        let hash = users.hash(&given.name).map(str::to_owned);
        Verifying {
            password: given.password.clone(),
            is_known: hash.is_some(),
            hash: hash.or_else(|| users.stand_in.clone()),
        }
    }

    /// Compares them on a thread of its own, as many at a time as half of the cores.
    ///
    /// # Errors
    /// Too many wait already, or the gateway ends.
    pub(super) async fn run(self) -> Result<bool, AskError> {
        static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            Arc::new(Semaphore::new(cores.div_ceil(2)))
        });
        static WAITING: AtomicUsize = AtomicUsize::new(0);
        let Some(hash) = self.hash else {
            return Ok(false);
        };
        let _waiting = Waiting::begin(&WAITING).ok_or(AskError::Busy)?;
        let place = Arc::clone(&PLACES).acquire_owned().await;
        let place = place.map_err(|_| AskError::Busy)?;
        let (password, is_known) = (self.password, self.is_known);
        let compared = tokio::task::spawn_blocking(move || {
            // The client may have gone; the thread is busy all the same.
            let _place = place;
            matches(&password, &hash) && is_known
        });
        compared.await.map_err(|_| AskError::Busy)
    }
}

fn matches(password: &[u8], hash: &str) -> bool {
    if bcrypt_cost(hash).is_some() {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

/// A place in the queue.
struct Waiting(&'static AtomicUsize);

impl Waiting {
    fn begin(all: &'static AtomicUsize) -> Option<Waiting> {
        let waiting = Waiting(all);
        match all.fetch_add(1, Ordering::Relaxed) < MOST_WAITING {
            true => Some(waiting),
            // Its place is given back as it is dropped.
            false => None,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
