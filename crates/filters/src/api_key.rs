//! Lets requests pass that carry a key of a known consumer.

mod consumers;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue};
use pailou_config::Field;
use tokio::time::Instant;

use crate::carrier::Carrier;
use crate::except::Except;
use crate::header::{self, Way};
use crate::identity::Identity;
use crate::registry::{Entry, Scope};
use crate::sources::{Kind, Place, Source, Wish};
use crate::{Ask, AskError, Change, Gate, Next, Refusal, RequestHead, Step, Waiting};

pub(crate) use consumers::Consumers;

pub(crate) const ENTRY: Entry = Entry::steps(
    "api_key",
    "{ config: api-keys.yaml, from: 'header:x-api-key', consumer_header: x-consumer, consumers: [partner-a], except: ['/public/**'] }",
    "Lets requests pass that carry the key of a consumer, of which only the SHA-256 is known here; any other is 401, or 403 for a consumer that is not among `consumers`. The endpoint gets the name in place of the key.",
    compile,
);

/// Longer keys are refused unread.
const MAX_KEY_BYTES: usize = 4096;

/// How long a request waits for keys that nothing was heard of yet.
const WAIT: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_secs(1);

/// Keys are long and random, so that a plain SHA-256 of one tells nothing about it. What is looked up is the digest: how long that
/// takes tells a client about a number that it cannot choose.
///
/// Cost per request: a digest of the key and one look-up; no lock.
#[derive(Debug)]
struct ApiKey {
    keys: Keys,
    from: Vec<Carrier>,
    consumer_header: Option<HeaderName>,
    /// Those that may in; all of them if none are given.
    consumers: Option<Vec<String>>,
    except: Except,
}

#[derive(Debug)]
enum Keys {
    /// They stand in the route document.
    Fixed(Arc<Consumers>),
    Followed(Arc<Source>),
}

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let mut given: Vec<_> = ["keys", "file", "config"]
        .into_iter()
        .filter_map(|name| Some((name, fields.optional(name)?)))
        .collect();
    let from = match fields.optional("from") {
        Some(from) => Carrier::list(&from),
        None => Some(vec![Carrier::Header(HeaderName::from_static("x-api-key"))]),
    };
    let consumer_header = fields.optional("consumer_header").map(|field| {
        let name = field.string()?;
        header::name_of(&name, &field, Way::Request)
    });
    let consumers = fields
        .optional("consumers")
        .map(|field| field.each(Field::string));
    let except = fields.optional("except").map(|field| Except::read(&field));
    fields.finish();
    let keys = match (given.pop(), given.pop()) {
        (Some(("keys", keys)), None) => {
            Consumers::of_field(&keys).map(|keys| Keys::Fixed(keys.into()))
        }
        (Some((name, place)), None) => {
            let sources = scope.shared.sources();
            let place = Place::named(sources, name, &place);
            place.map(|place| Keys::Followed(sources.source(Kind::ApiKeys, place)))
        }
        _ => {
            field.fault_expected(
                "no place of keys, or more than one",
                "`keys`, `file` or `config`",
            );
            None
        }
    };
    Some(vec![Step::Gate(Box::new(ApiKey {
        keys: keys?,
        from: from?,
        consumer_header: consumer_header.map_or(Some(None), |name| name.map(Some))?,
        consumers: consumers.map_or(Some(None), |names| names.map(Some))?,
        except: except.unwrap_or_else(|| Some(Except::default()))?,
    }))])
}

impl ApiKey {
    /// What becomes of the request; nothing where no keys are there to say.
    fn judge(&self, head: &mut RequestHead<'_>) -> Option<Next> {
        header::drop_in_any_spelling(head.headers, &self.consumer_header);
        if self.except.takes(head.facts) {
            return Some(Next::Continue);
        }
        let consumer = match self.key(head) {
            Ok(Some(key)) => self.keys()?.of_key(&key),
            Ok(None) => return Some(refuse(head, Refusal::KeyMissing)),
            Err(_) => None,
        };
        let Some(consumer) = consumer else {
            return Some(refuse(head, Refusal::KeyInvalid));
        };
        Some(self.accept(head, consumer))
    }

    fn key(&self, head: &RequestHead<'_>) -> Result<Option<Vec<u8>>, ()> {
        for carrier in &self.from {
            match carrier.find(head) {
                Ok(None) => {}
                Ok(Some(key)) if key.len() <= MAX_KEY_BYTES => return Ok(Some(key.into_owned())),
                Ok(Some(_)) | Err(_) => return Err(()),
            }
        }
        Ok(None)
    }

    fn keys(&self) -> Option<Arc<Consumers>> {
        match &self.keys {
            Keys::Fixed(keys) => Some(Arc::clone(keys)),
            Keys::Followed(source) => source.consumers(),
        }
    }

    fn accept(&self, head: &mut RequestHead<'_>, consumer: Arc<Identity>) -> Next {
        let name = consumer.subject.as_deref().unwrap_or_default();
        if self
            .consumers
            .as_ref()
            .is_some_and(|names| !names.iter().any(|known| known == name))
        {
            return Next::Refuse(Refusal::ConsumerDenied);
        }
        if let (Some(header), Ok(name)) = (&self.consumer_header, HeaderValue::from_str(name)) {
            head.headers.insert(header, name);
        }
        self.from.iter().for_each(|carrier| carrier.remove(head));
        head.effects.identity = Some(consumer);
        Next::Continue
    }
}

fn refuse(head: &mut RequestHead<'_>, refusal: Refusal) -> Next {
    let challenge = HeaderValue::from_static("ApiKey");
    head.effects
        .response
        .push(Change::Set(WWW_AUTHENTICATE, challenge));
    Next::Refuse(refusal)
}

impl Gate for ApiKey {
    fn at_once(&self, head: &mut RequestHead<'_>) -> Option<Next> {
        self.judge(head)
    }

    fn request<'a>(
        &'a self,
        head: &'a mut RequestHead<'_>,
        _ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>> {
        Box::pin(async move {
            if let Keys::Followed(source) = &self.keys
                && source.wish(Instant::now()) == Wish::Granted
            {
                source.look_again(WAIT).await;
            }
            self.judge(head).ok_or(AskError::NoKeys)
        })
    }

    fn purpose(&self) -> String {
        "waits for its keys".to_owned()
    }

    fn timeout(&self) -> Duration {
        WAIT + MARGIN
    }
}
