//! Host names of instances, resolved beside the request path.
//!
//! An instance may be registered under a host name. Its addresses are looked up when the name first
//! appears and again every half minute (a setting); a lookup that fails changes nothing, the last good addresses
//! stand. Requests only ever see addresses.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A name without any address is looked up so many times as often.
const HURRY: u32 = 10;
/// How long one lookup may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// The most addresses of one name that are used.
const MAX_ADDRESSES: usize = 16;
/// The most lookups at a time: each occupies a thread.
const MAX_LOOKUPS: usize = 16;

/// The answer to a lookup, in the making.
pub(crate) type Answer = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// What a lookup found, or why it found nothing.
type Found = Result<Vec<IpAddr>, String>;

/// Turns a host name into addresses.
pub(crate) trait Lookup: Send + Sync + 'static {
    /// Looks `host` up; the caller bounds the time.
    fn lookup(&self, host: Arc<str>) -> Answer;
}

/// The system's resolver.
#[derive(Debug)]
pub(crate) struct SystemLookup {
    slots: Arc<Semaphore>,
}

impl SystemLookup {
    /// A resolver that runs few lookups at a time.
    pub(crate) fn new() -> SystemLookup {
        SystemLookup {
            slots: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }
}

impl Lookup for SystemLookup {
    fn lookup(&self, host: Arc<str>) -> Answer {
        let slots = Arc::clone(&self.slots);
        Box::pin(async move {
            let _slot = slots.acquire_owned().await;
            let found = tokio::net::lookup_host((&*host, 0)).await?;
            Ok(found.map(|address: SocketAddr| address.ip()).collect())
        })
    }
}

/// The names that one service's instances use, and their addresses.
pub(crate) struct Names {
    lookup: Arc<dyn Lookup>,
    /// How often a name is looked up again.
    refresh: Duration,
    known: HashMap<Arc<str>, Name>,
    running: JoinSet<(Arc<str>, Found)>,
}

#[derive(Debug)]
struct Name {
    /// Empty until the first lookup has succeeded.
    addresses: Vec<IpAddr>,
    error: Option<String>,
    is_running: bool,
    next: Instant,
}

/// What is known of a name.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Resolved<'a> {
    /// The addresses, sorted; the last good ones if a later lookup failed.
    Addresses(&'a [IpAddr]),
    /// The first lookup is under way.
    Pending,
    /// No lookup has succeeded yet: the last error.
    Failed(&'a str),
}

impl Names {
    /// No names yet.
    pub(crate) fn new(lookup: Arc<dyn Lookup>, refresh: Duration) -> Names {
        Names {
            lookup,
            refresh,
            known: HashMap::new(),
            running: JoinSet::new(),
        }
    }

    /// Sets which names are needed: new ones are looked up, the rest is forgotten.
    pub(crate) fn need(&mut self, hosts: &BTreeSet<&str>) {
        self.known.retain(|host, _| hosts.contains(&**host));
        for &host in hosts {
            if !self.known.contains_key(host) {
                let host: Arc<str> = host.into();
                let name = Name {
                    addresses: Vec::new(),
                    error: None,
                    is_running: false,
                    next: Instant::now(),
                };
                self.known.insert(host, name);
            }
        }
        self.start_due();
    }

    /// What is known of `host` now.
    pub(crate) fn resolved(&self, host: &str) -> Resolved<'_> {
        match self.known.get(host) {
            None => Resolved::Pending,
            Some(name) if !name.addresses.is_empty() => Resolved::Addresses(&name.addresses),
            Some(name) => match &name.error {
                Some(error) => Resolved::Failed(error),
                None => Resolved::Pending,
            },
        }
    }

    /// Whether the first lookup of some name is still under way.
    pub(crate) fn is_pending(&self) -> bool {
        self.known
            .values()
            .any(|name| name.addresses.is_empty() && name.error.is_none())
    }

    /// Waits until a name has other addresses, or a first error. Never returns while no name is needed.
    ///
    /// Cancelling it loses nothing.
    pub(crate) async fn changed(&mut self) {
        loop {
            let due = self
                .known
                .values()
                .filter(|name| !name.is_running)
                .map(|name| name.next)
                .min();
            tokio::select! {
                Some(done) = self.running.join_next(), if !self.running.is_empty() => {
                    // A lookup neither panics nor is cancelled while this set lives.
                    if let Ok((host, result)) = done
                        && self.take(&host, result)
                    {
                        return;
                    }
                }
                () = sleep_until(due), if due.is_some() => self.start_due(),
                else => std::future::pending().await,
            }
        }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for (host, name) in &mut self.known {
            if name.is_running || name.next > now {
                continue;
            }
            name.is_running = true;
            let host = Arc::clone(host);
            let answer = self.lookup.lookup(Arc::clone(&host));
            self.running.spawn(async move {
                let result = match tokio::time::timeout(LOOKUP_TIMEOUT, answer).await {
                    Ok(Ok(addresses)) if addresses.is_empty() => Err("no address".to_owned()),
                    Ok(Ok(addresses)) => Ok(addresses),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("timed out".to_owned()),
                };
                (host, result)
            });
        }
    }

    /// Stores the result of a lookup; whether the endpoints may differ now.
    fn take(&mut self, host: &Arc<str>, result: Found) -> bool {
        // A name may have been dropped and needed again meanwhile: a late answer serves as well.
        let Some(name) = self.known.get_mut(host) else {
            return false;
        };
        name.is_running = false;
        name.next = Instant::now() + self.refresh;
        match result {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(MAX_ADDRESSES);
                let changed = name.addresses != addresses;
                name.addresses = addresses;
                name.error = None;
                changed
            }
            Err(error) => {
                // Without any address the instance is out: look again soon.
                if name.addresses.is_empty() {
                    name.next = Instant::now() + self.refresh / HURRY;
                }
                let changed = name.addresses.is_empty() && name.error.as_ref() != Some(&error);
                if name.error.is_none() && !name.addresses.is_empty() {
                    tracing::warn!(target: "pailou", host = &**host, error, "a host name cannot be resolved, its last addresses stay");
                } else {
                    tracing::debug!(host = &**host, error, "host name not resolved");
                }
                name.error = Some(error);
                changed
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const REFRESH: Duration = Duration::from_secs(30);

    type Answers = Mutex<HashMap<String, Result<Vec<IpAddr>, String>>>;

    /// Answers from a table that the test changes; a name that is not in it never answers.
    #[derive(Default)]
    struct Table(Answers);

    impl Table {
        fn set(&self, host: &str, answer: Result<&[&str], &str>) {
            let answer = answer
                .map(|ips| ips.iter().map(|ip| ip.parse().expect("an IP")).collect())
                .map_err(str::to_owned);
            self.0
                .lock()
                .expect("not poisoned")
                .insert(host.to_owned(), answer);
        }
    }

    impl Lookup for Table {
        fn lookup(&self, host: Arc<str>) -> Answer {
            let answer = self.0.lock().expect("not poisoned").get(&*host).cloned();
            Box::pin(async move {
                match answer {
                    Some(answer) => answer.map_err(std::io::Error::other),
                    None => std::future::pending().await,
                }
            })
        }
    }

    fn ips(ips: &[&str]) -> Vec<IpAddr> {
        ips.iter().map(|ip| ip.parse().expect("an IP")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_resolved_refreshed_and_kept_when_a_lookup_fails() {
        let table = Arc::new(Table::default());
        table.set("a.local", Ok(&["10.0.0.2", "10.0.0.1", "10.0.0.2"]));
        let mut names = Names::new(Arc::clone(&table) as Arc<dyn Lookup>, REFRESH);
        names.need(&BTreeSet::from(["a.local"]));
        assert!(names.is_pending());
        names.changed().await;
        let first = ips(&["10.0.0.1", "10.0.0.2"]);
        assert_eq!(names.resolved("a.local"), Resolved::Addresses(&first));

        table.set("a.local", Err("no such host"));
        let failing = tokio::time::timeout(Duration::from_secs(100), names.changed()).await;
        assert!(failing.is_err(), "a failed lookup changes nothing");
        assert_eq!(names.resolved("a.local"), Resolved::Addresses(&first));

        table.set("a.local", Ok(&["10.0.0.3"]));
        let started = Instant::now();
        names.changed().await;
        assert!(started.elapsed() <= REFRESH);
        let second = ips(&["10.0.0.3"]);
        assert_eq!(names.resolved("a.local"), Resolved::Addresses(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_an_answer_is_an_error_and_is_tried_again() {
        let table = Arc::new(Table::default());
        let mut names = Names::new(Arc::clone(&table) as Arc<dyn Lookup>, REFRESH);
        names.need(&BTreeSet::from(["silent.local"]));
        names.changed().await;
        assert_eq!(
            names.resolved("silent.local"),
            Resolved::Failed("timed out")
        );
        assert!(!names.is_pending());
        table.set("silent.local", Ok(&["10.0.0.1"]));
        names.changed().await;
        let found = ips(&["10.0.0.1"]);
        assert_eq!(names.resolved("silent.local"), Resolved::Addresses(&found));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_not_needed_any_more_is_forgotten() {
        let table = Arc::new(Table::default());
        table.set("a.local", Ok(&["10.0.0.1"]));
        let mut names = Names::new(Arc::clone(&table) as Arc<dyn Lookup>, REFRESH);
        names.need(&BTreeSet::from(["a.local"]));
        names.changed().await;
        names.need(&BTreeSet::new());
        assert_eq!(names.resolved("a.local"), Resolved::Pending);
        let idle = tokio::time::timeout(Duration::from_secs(3600), names.changed()).await;
        assert!(idle.is_err());
    }
}
