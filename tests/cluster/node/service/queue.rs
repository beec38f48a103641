//! Requests that wait: first come, first served, and no more than there is room for.

use std::{
    collections::VecDeque,
    net::TcpStream,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// A request that waits for a worker.
pub(crate) struct Item {
    /// Where the answer goes.
    pub(crate) stream: TcpStream,
    /// When it came.
    pub(crate) since: Instant,
}

/// A bounded queue.
pub(crate) struct Queue {
    items: Mutex<VecDeque<Item>>,
    some: Condvar,
    room: usize,
}

impl Queue {
    /// A queue for so many.
    pub(crate) fn new(room: usize) -> Self {
        Self { items: Mutex::default(), some: Condvar::new(), room }
    }

    fn items(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one at the end; gives it back when there is no room.
    pub(crate) fn put(&self, item: Item) -> Result<(), Item> {
        let mut items = self.items();
        if items.len() >= self.room {
            return Err(item);
        }
        items.push_back(item);
        self.some.notify_one();
        Ok(())
    }

    /// The first one, waited for.
    pub(crate) fn take(&self) -> Item {
        let mut items = self.items();
        loop {
            if let Some(item) = items.pop_front() {
                return item;
            }
            items = self.some.wait(items).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.items().len()
    }
}
