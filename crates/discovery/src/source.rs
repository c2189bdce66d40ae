//! Where route documents come from: the [`Source`] trait, its supervision, and the inbox that sources fill.
//!
//! A source says what its document **is**, never what changed: text, missing or unreadable. The inbox
//! keeps the newest state of each document and drops what equals it, so no queue can hold an old state
//! back or lose the newest.
//!
//! To add a source: one file `source/<name>.rs` with a type that implements [`Source`], one arm in
//! `wiring::sources`, a case in the shared suite (`source/suite.rs`), a row in the `README.md` (a test
//! compares them).

mod file;
mod nacos;
#[cfg(test)]
mod suite;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub(crate) use self::file::FileSource;
pub(crate) use self::nacos::NacosSource;

/// The whole state of a document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum SourceState {
    /// Its text, which may be blank.
    Text(Arc<str>),
    /// The place was read, and there is no document.
    Missing,
    /// The place answered with something that cannot be a document, or may not be read: why.
    Unreadable(String),
}

/// One place that holds one route document.
pub(crate) trait Source: Send + Sync + 'static {
    /// The kind of place, as shown in views and logs.
    fn kind(&self) -> &'static str;

    /// Watches the place and puts each state into the outlet. Not being able to reach the place is no
    /// state: a source tries again by itself, and the last state stands.
    ///
    /// Returns only when it cannot go on, saying why; the supervisor then starts it afresh.
    fn run(self: Arc<Self>, outlet: Outlet) -> Pin<Box<dyn Future<Output = String> + Send>>;
}

/// The newest state of every document.
#[derive(Debug)]
pub(crate) struct Inbox {
    slots: Mutex<Vec<Slot>>,
    changed: Notify,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    state: Option<SourceState>,
    is_new: bool,
    /// Why the source cannot tell the state at the moment.
    trouble: Option<String>,
}

impl Inbox {
    /// An inbox for `documents` documents.
    pub(crate) fn new(documents: usize) -> Arc<Inbox> {
        Arc::new(Inbox {
            slots: Mutex::new(vec![Slot::default(); documents]),
            changed: Notify::new(),
        })
    }

    /// Where the source of the document at `index` puts its states.
    pub(crate) fn outlet(self: &Arc<Self>, index: usize) -> Outlet {
        Outlet {
            inbox: Arc::clone(self),
            index,
        }
    }

    /// Waits until some state has changed since the last [`Inbox::take`].
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What changed since the last call, in the order of the documents.
    pub(crate) fn take(&self) -> Vec<(usize, SourceState)> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        for (index, slot) in slots.iter_mut().enumerate() {
            if let (true, Some(state)) = (std::mem::take(&mut slot.is_new), &slot.state) {
                taken.push((index, state.clone()));
            }
        }
        taken
    }

    /// Makes every known state new again.
    pub(crate) fn renew(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots.iter_mut() {
            slot.is_new = slot.state.is_some();
        }
    }

    /// Makes the states of these documents new again, without notice: a later [`Inbox::take`] takes them.
    pub(crate) fn put_back(&self, documents: &[usize]) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for &document in documents {
            slots[document].is_new = slots[document].state.is_some();
        }
    }

    /// For each document, why its source cannot tell its state at the moment.
    pub(crate) fn troubles(&self) -> Vec<Option<String>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().map(|slot| slot.trouble.clone()).collect()
    }

    /// Whether every document has a state.
    pub(crate) fn is_complete(&self) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().all(|slot| slot.state.is_some())
    }
}

/// Where one source puts the states of its document.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    inbox: Arc<Inbox>,
    index: usize,
}

impl Outlet {
    /// Replaces the document's state; an equal one is dropped.
    pub(crate) fn put(&self, state: SourceState) {
        let mut slots = self.slots();
        let slot = &mut slots[self.index];
        slot.trouble = None;
        if slot.state.as_ref() != Some(&state) {
            slot.state = Some(state);
            slot.is_new = true;
            self.inbox.changed.notify_one();
        }
    }

    /// Notes why the state cannot be told at the moment, or that it can; whether that is news. The state
    /// itself stands.
    pub(crate) fn trouble(&self, trouble: Option<String>) -> bool {
        let mut slots = self.slots();
        let slot = &mut slots[self.index];
        let is_news = slot.trouble != trouble;
        slot.trouble = trouble;
        is_news
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.inbox
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> SourceState {
        SourceState::Text(text.into())
    }

    #[tokio::test]
    async fn the_newest_state_wins_and_an_equal_one_is_dropped() {
        let inbox = Inbox::new(2);
        let (first, second) = (inbox.outlet(0), inbox.outlet(1));
        first.put(text("a"));
        first.put(text("b"));
        assert!(!inbox.is_complete());
        second.put(SourceState::Missing);
        assert!(inbox.is_complete());
        inbox.changed().await;
        assert_eq!(inbox.take(), [(0, text("b")), (1, SourceState::Missing)]);
        first.put(text("b"));
        assert_eq!(inbox.take(), []);
        first.put(SourceState::Unreadable("locked".to_owned()));
        first.put(text("b"));
        assert_eq!(inbox.take(), [(0, text("b"))]);
    }
}
