//! The live cell: where the writer puts a table and requests find it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::Table;

/// The table in force. Clones are the same cell.
///
/// ```
/// use pailou_routing::{Table, TableCell};
///
/// let cell = TableCell::default();
/// assert_eq!(cell.load().revision(), 0);
/// cell.publish(Table::assemble(1, "", Vec::new()));
/// assert_eq!(cell.load().revision(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct TableCell {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: ArcSwap<Table>,
    /// Tables that were replaced and that a request may still hold.
    retired: Mutex<Vec<Arc<Table>>>,
}

impl TableCell {
    /// A cell with a table in it.
    pub fn new(table: Table) -> TableCell {
        TableCell {
            shared: Arc::new(Shared {
                current: ArcSwap::from_pointee(table),
                retired: Mutex::default(),
            }),
        }
    }

    /// The table in force. Load it once per request, so that one request never
    /// sees two tables. Wait-free.
    pub fn load(&self) -> Guard<Arc<Table>> {
        self.shared.current.load()
    }

    /// Puts a table in force: every later [`load`](TableCell::load) sees it.
    ///
    /// The one before is kept until no request holds it any more, and then freed
    /// here or in [`sweep`](TableCell::sweep): freeing ten thousand routes takes
    /// time that no request should pay.
    pub fn publish(&self, table: Table) {
        let previous = self.shared.current.swap(Arc::new(table));
        let mut retired = self.retired();
        retired.push(previous);
        free_unused(&mut retired);
    }

    /// Frees replaced tables that no request holds any more, and tells how many
    /// are still held. The writer calls it from time to time.
    pub fn sweep(&self) -> usize {
        let mut retired = self.retired();
        free_unused(&mut retired);
        retired.len()
    }

    fn retired(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Table>>> {
        // A list of Arcs stays whole, whatever panicked beside it.
        self.shared
            .retired
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TableCell {
    fn default() -> TableCell {
        TableCell::new(Table::empty())
    }
}

/// Nobody can load a replaced table again, so a count of one stays one.
fn free_unused(retired: &mut Vec<Arc<Table>>) {
    retired.retain(|table| Arc::strong_count(table) > 1);
}
