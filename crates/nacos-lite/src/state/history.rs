//! What became of configs: the last changes, in a list that forgets the oldest.

use std::{collections::VecDeque, sync::Arc};

use crate::ConfigKey;

/// Changes that are remembered, of all configs together.
const MAX_CHANGES: usize = 10_000;

/// And how many bytes of content they may hold.
const MAX_BYTES: usize = 64 << 20;

/// What was done to a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Insert,
    Update,
    Delete,
}

impl Operation {
    /// As servers write it: a column of ten characters.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Operation::Insert => "I         ",
            Operation::Update => "U         ",
            Operation::Delete => "D         ",
        }
    }
}

/// One change. Its content is the one that came with an insertion, and the one that an update or a removal took away, as
/// on real servers.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) id: u64,
    pub(crate) key: ConfigKey,
    pub(crate) operation: Operation,
    pub(crate) content: Arc<str>,
    pub(crate) md5: String,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

/// The changes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    changes: VecDeque<Change>,
    bytes: usize,
    last_id: u64,
}

impl History {
    pub(crate) fn record(
        &mut self,
        key: &ConfigKey,
        operation: Operation,
        content: Arc<str>,
        md5: String,
        at: i64,
    ) {
        self.last_id += 1;
        self.bytes += content.len();
        self.changes.push_back(Change {
            id: self.last_id,
            key: key.clone(),
            operation,
            content,
            md5,
            at,
        });
        while self.changes.len() > MAX_CHANGES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.changes.pop_front() else {
                return;
            };
            self.bytes -= oldest.content.len();
        }
    }

    /// The changes of a config, newest first.
    pub(crate) fn of(&self, key: &ConfigKey) -> impl Iterator<Item = &Change> {
        self.changes
            .iter()
            .rev()
            .filter(move |change| change.key == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_comes_first_and_the_oldest_is_forgotten() {
        let mut history = History::default();
        let (one, other) = (ConfigKey::from("one"), ConfigKey::from("other"));
        let content: Arc<str> = "x".repeat(MAX_BYTES / 3).into();
        for (key, operation) in [
            (&one, Operation::Insert),
            (&one, Operation::Update),
            (&other, Operation::Insert),
            (&one, Operation::Delete),
        ] {
            history.record(key, operation, content.clone(), String::new(), 0);
        }
        let left: Vec<_> = history.of(&one).map(|it| (it.id, it.operation)).collect();
        assert_eq!(left, [(4, Operation::Delete), (2, Operation::Update)]);
        assert!(history.bytes <= MAX_BYTES);
    }
}
