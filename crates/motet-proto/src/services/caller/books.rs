//! Books: who may get calls, as somebody else says, such as name servers (V-50).
//!
//! Who asks for what is in a book is the host: it is told when a call finds nobody in one, writes what
//! it learns, and says when it asked. Calls of one book wait in a line of their own.
//!
//! Bounds: [`BOOKS_MAX`] books, [`LISTED_MAX`] endpoints in one.

use super::*;

/// Books that are open.
const BOOKS_MAX: usize = 4_096;
/// Endpoints in one book.
const LISTED_MAX: usize = 65_536;

/// Who may get calls.
struct Book {
    service: Arc<str>,
    listed: BTreeSet<EndpointId>,
    /// When what is in it was asked for.
    asked: Option<Time>,
    /// Calls that wait for credit or for an instance.
    waiting: VecDeque<u64>,
}

/// All of them.
#[derive(Default)]
pub(in crate::services) struct Books {
    open: BTreeMap<BookId, Book>,
    next: u32,
    /// Those in which a call finds nobody.
    lacking: BTreeSet<BookId>,
}

impl Books {
    pub(in crate::services) fn open(&mut self, service: &Arc<str>) -> Result<BookId, CallRefused> {
        if self.open.len() >= BOOKS_MAX {
            return Err(CallRefused::Books);
        }
        let id = BookId(self.next);
        self.next += 1;
        let (listed, waiting) = (BTreeSet::new(), VecDeque::new());
        self.open.insert(id, Book { service: service.clone(), listed, asked: None, waiting });
        Ok(id)
    }

    /// The calls that waited in it.
    pub(in crate::services) fn close(&mut self, id: BookId) -> VecDeque<u64> {
        self.lacking.remove(&id);
        self.open.remove(&id).map(|book| book.waiting).unwrap_or_default()
    }

    /// What is in it from now on; the service. `asked`: when that was asked for, if it was answered.
    pub(in crate::services) fn write(
        &mut self,
        id: BookId,
        asked: Option<Time>,
        mut listed: BTreeSet<EndpointId>,
    ) -> Option<Arc<str>> {
        let book = self.open.get_mut(&id)?;
        if let Some(first) = listed.iter().nth(LISTED_MAX).copied() {
            listed.split_off(&first);
        }
        (book.asked, book.listed) = (asked, listed);
        Some(book.service.clone())
    }

    pub(in crate::services) fn next_lacking(&mut self) -> Option<BookId> {
        self.lacking.pop_first()
    }

    pub(super) fn of(&self, service: &Arc<str>) -> Vec<BookId> {
        let ours = self.open.iter().filter(|(_, book)| book.service == *service);
        ours.map(|(id, _)| *id).collect()
    }

    pub(super) fn lists(&self, id: BookId, whom: EndpointId) -> bool {
        let listed = |book: &Book| book.listed.contains(&whom);
        self.open.get(&id).is_some_and(listed) || crate::planted::on("book_not_heeded")
    }

    /// A call has found nobody since then: whoever writes the book is told. True if what is in it was
    /// asked for after that.
    pub(super) fn ask_for(&mut self, id: BookId, since: Time) -> bool {
        let Some(book) = self.open.get(&id) else { return true };
        self.lacking.insert(id);
        book.is_new(since)
    }

    /// When it is clear that nobody is there, for a call that has found nobody `since` then; `usual`: by
    /// what members say.
    pub(super) fn empty_at(
        &self,
        id: Option<BookId>,
        since: Time,
        usual: Option<Time>,
    ) -> Option<Time> {
        let Some(book) = id.and_then(|id| self.open.get(&id)) else { return usual };
        match book.is_new(since) {
            false => None,
            // V-51: it was asked for, and nobody is in it.
            true if book.listed.is_empty() => Some(since),
            // Those in it may be starting again, or are being looked for.
            true => usual.map(|at| at.max(since + RETURN_FOR)),
        }
    }

    /// The line that calls of a service wait in; `None` if the book is closed, or of another service.
    pub(super) fn waiting<'a>(
        &'a mut self,
        now: Time,
        service: &Arc<str>,
        id: Option<BookId>,
        directory: &'a mut Directory,
    ) -> Option<&'a mut VecDeque<u64>> {
        match id {
            None => Some(&mut directory.service(now, service).waiting),
            Some(id) => {
                let book = self.open.get_mut(&id).filter(|book| book.service == *service);
                book.map(|book| &mut book.waiting)
            }
        }
    }
}

impl Book {
    fn is_new(&self, since: Time) -> bool {
        self.asked.is_some_and(|asked| asked >= since) || crate::planted::on("book_always_new")
    }
}

impl Callers {
    /// What is in a book from now on.
    pub(in crate::services) fn write_book(
        &mut self,
        id: BookId,
        asked: Option<Time>,
        listed: BTreeSet<EndpointId>,
        directory: &Directory,
    ) {
        let Some(service) = self.books.write(id, asked, listed) else { return };
        self.feed.insert(service);
        self.rearm_book(id, directory);
    }

    /// A book is no more: calls that wait in it find nobody.
    pub(in crate::services) fn close_book(
        &mut self,
        now: Time,
        id: BookId,
        directory: &mut Directory,
    ) {
        for call in self.books.close(id) {
            if self.calls.get(&call).is_some_and(|call| call.waits) {
                self.end_failed(now, call, FailureKind::NoResponders, directory);
            }
        }
    }

    fn rearm_book(&mut self, id: BookId, directory: &Directory) {
        let ours = self.calls.iter().filter(|(_, call)| call.spec.settings.book == Some(id));
        let ids: Vec<u64> = ours.filter(|(_, call)| call.waits).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.rearm(id, directory));
    }
}
