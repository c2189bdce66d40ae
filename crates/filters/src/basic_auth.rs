//! Lets requests pass that carry the name and password of a user.

mod known;
#[cfg(test)]
mod tests;
mod users;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use pailou_config::Field;

use crate::except::Except;
use crate::header::{self, Way};
use crate::identity::Identity;
use crate::registry::{Entry, Scope};
use crate::sources::{Kind, Place, Source, Wish};
use crate::{Ask, AskError, Change, Gate, Next, Refusal, RequestHead, Step, Waiting};
use known::{Known, Proof};
use users::Verifying;

pub(crate) use users::Users;

pub(crate) const ENTRY: Entry = Entry::steps(
    "basic_auth",
    "{ file: users.htpasswd, realm: intern, user_header: x-user, forward: false, except: ['/public/**'] }",
    "Lets requests pass that carry the name and password of a user (Basic), of which `file` or `config` has the hash by bcrypt or Argon2, as `htpasswd -B` writes it; any other is 401.",
    compile,
);

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Longer credentials are refused unread.
const MAX_BYTES: usize = 1024;

/// How long a request waits for users that nothing was heard of yet.
const WAIT: Duration = Duration::from_secs(1);

/// The whole time that a request waits, for other passwords that are verified before its own among others.
const TIMEOUT: Duration = Duration::from_secs(5);

/// RFC 7617. A password takes a tenth of a second of a core to verify, so that happens on a thread of its own, a few at a time,
/// and is known for five minutes then. An unknown user costs as much as a known one.
///
/// Cost per request: a digest and a look-up under the lock of one of sixteen shards, for credentials that were verified before.
#[derive(Debug)]
struct BasicAuth {
    users: Arc<Source>,
    challenge: HeaderValue,
    user_header: Option<HeaderName>,
    forwards: bool,
    except: Except,
    known: Known,
}

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let mut given: Vec<_> = ["file", "config"]
        .into_iter()
        .filter_map(|name| Some((name, fields.optional(name)?)))
        .collect();
    let challenge = match fields.optional("realm") {
        Some(realm) => challenge(&realm),
        None => Some(HeaderValue::from_static(
            "Basic realm=\"users\", charset=\"UTF-8\"",
        )),
    };
    let user_header = fields.optional("user_header").map(|field| {
        let name = field.string()?;
        header::name_of(&name, &field, Way::Request)
    });
    let forwards = match fields.optional("forward") {
        Some(forward) => forward.boolean(),
        None => Some(false),
    };
    let except = fields.optional("except").map(|field| Except::read(&field));
    fields.finish();
    let place = match (given.pop(), given.pop()) {
        (Some((name, place)), None) => Place::named(scope.shared.sources(), name, &place),
        _ => {
            field.fault_expected("no place of users, or more than one", "`file` or `config`");
            None
        }
    };
    Some(vec![Step::Gate(Box::new(BasicAuth {
        users: scope.shared.sources().source(Kind::Users, place?),
        challenge: challenge?,
        user_header: user_header.map_or(Some(None), |name| name.map(Some))?,
        forwards: forwards?,
        except: except.unwrap_or_else(|| Some(Except::default()))?,
        known: Known::new(),
    }))])
}

fn challenge(field: &Field<'_>) -> Option<HeaderValue> {
    let realm = field.string()?;
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\');
    if realm.is_empty() || !realm.bytes().all(is_plain) {
        field.fault_expected(
            "not a realm",
            "printable ASCII without quotes and backslashes",
        );
        return None;
    }
    HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")).ok()
}

/// What is said of a request without looking at a hash.
enum Early {
    Next(Next),
    /// The password has to be verified.
    Unknown(Credentials),
}

struct Credentials {
    name: String,
    password: Vec<u8>,
}

impl BasicAuth {
    fn early(&self, head: &mut RequestHead<'_>) -> Early {
        header::drop_in_any_spelling(head.headers, &self.user_header);
        if self.except.takes(head.facts) {
            return Early::Next(Next::Continue);
        }
        match credentials(head) {
            Ok(Some(given)) => match self.users.users() {
                Some(users) if self.is_known(&users, &given) => {
                    Early::Next(self.accept(head, &given.name))
                }
                _ => Early::Unknown(given),
            },
            Ok(None) => Early::Next(self.refuse(head, Refusal::CredentialsMissing)),
            Err(()) => Early::Next(self.refuse(head, Refusal::CredentialsInvalid)),
        }
    }

    fn is_known(&self, users: &Users, given: &Credentials) -> bool {
        let hash = users.hash(&given.name);
        hash.is_some_and(|hash| self.known.has(&Proof::of(given, hash), Instant::now()))
    }

    async fn verify(&self, given: Credentials) -> Result<Option<String>, AskError> {
        if self.users.users().is_none()
            && self.users.wish(tokio::time::Instant::now()) == Wish::Granted
        {
            self.users.look_again(WAIT).await;
        }
        let users = self.users.users().ok_or(AskError::NoKeys)?;
        let hash = users.hash(&given.name).map(str::to_owned);
        let verified = Verifying::new(&users, &given).run().await?;
        let (true, Some(hash)) = (verified, hash) else {
            return Ok(None);
        };
        self.known.insert(Proof::of(&given, &hash), Instant::now());
        Ok(Some(given.name))
    }

    fn accept(&self, head: &mut RequestHead<'_>, name: &str) -> Next {
        if let (Some(header), Ok(name)) = (&self.user_header, HeaderValue::from_str(name)) {
            head.headers.insert(header, name);
        }
        if !self.forwards {
            head.headers.remove(AUTHORIZATION);
        }
        head.effects.identity = Some(Arc::new(Identity::named(name)));
        Next::Continue
    }

    fn refuse(&self, head: &mut RequestHead<'_>, refusal: Refusal) -> Next {
        let change = Change::Set(WWW_AUTHENTICATE, self.challenge.clone());
        head.effects.response.push(change);
        Next::Refuse(refusal)
    }
}

/// What a request carries; an error if it cannot be read.
fn credentials(head: &RequestHead<'_>) -> Result<Option<Credentials>, ()> {
    let mut values = head.headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let Some((scheme, encoded)) = value.as_bytes().split_at_checked(6) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Ok(None);
    }
    if values.next().is_some() || encoded.len() > MAX_BYTES {
        return Err(());
    }
    let plain = BASE64.decode(encoded.trim_ascii()).map_err(|_| ())?;
    let colon = plain.iter().position(|byte| *byte == b':').ok_or(())?;
    let name = String::from_utf8(plain[..colon].to_vec()).map_err(|_| ())?;
    Ok(Some(Credentials {
        name,
        password: plain[colon + 1..].to_vec(),
    }))
}

impl Gate for BasicAuth {
    fn at_once(&self, head: &mut RequestHead<'_>) -> Option<Next> {
        match self.early(head) {
            Early::Next(next) => Some(next),
            Early::Unknown(_) => None,
        }
    }

    fn request<'a>(
        &'a self,
        head: &'a mut RequestHead<'_>,
        _ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>> {
        Box::pin(async move {
            let given = match self.early(head) {
                Early::Next(next) => return Ok(next),
                Early::Unknown(given) => given,
            };
            Ok(match self.verify(given).await? {
                Some(name) => self.accept(head, &name),
                None => self.refuse(head, Refusal::CredentialsInvalid),
            })
        })
    }

    fn purpose(&self) -> String {
        "verifies a password".to_owned()
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }
}
