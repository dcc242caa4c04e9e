//! Books of the services layer, as verbs.

use super::super::Node;
use crate::crypto::Crypto;
use crate::ids::{BookId, EndpointId};
use crate::services::CallRefused;
use crate::time::Time;
use alloc::collections::BTreeSet;

impl<C: Crypto> Node<C> {
    /// Opens a book: calls that name it in their settings go only to instances whose endpoints are
    /// written into it. Calls wait until it is written; [`Event::BookLacks`](crate::Event::BookLacks)
    /// says when one does.
    ///
    /// # Errors
    /// [`CallRefused`]: the name, or 4,096 are open.
    pub fn open_book(&mut self, now: Time, service: &str) -> Result<BookId, CallRefused> {
        let name = self.seek(now, service)?;
        let id = self.wiring(now).layer.open_book(&name)?;
        self.run_services(now);
        Ok(id)
    }

    /// What is in a book from now on, 65,536 endpoints at most. `asked`: when that was asked for; a
    /// call that found nobody before ends if it still does. `None` while nobody has answered.
    pub fn write_book(
        &mut self,
        now: Time,
        id: BookId,
        asked: Option<Time>,
        listed: BTreeSet<EndpointId>,
    ) {
        self.with_services(now, |layer| layer.write_book(id, asked, listed));
    }

    /// Closes a book: calls that wait in it find nobody.
    pub fn close_book(&mut self, now: Time, id: BookId) {
        self.with_services(now, |layer| layer.close_book(now, id));
    }
}
