//! The two ends of a measured flow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::args::Args;
use crate::control::{self, Shared};
use crate::line::{Counted, Event, say};
use crate::{Outcome, PROBE};

/// The publishing end. First it sends a [`PROBE`] every millisecond or so until
/// [`Writer::started`], then messages until [`Writer::stopped`], then it flushes and is
/// [`Writer::done`].
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    window: Arc<OnceLock<Counted>>,
    payload: Vec<u8>,
    sent: u64,
}

impl Writer {
    /// Begins to listen to `motet-bench`, and says that it is ready.
    ///
    /// # Errors
    /// An argument is not understood.
    pub fn new(args: &Args) -> Outcome<Self> {
        let (shared, window) = (Arc::new(Shared::default()), Arc::new(OnceLock::new()));
        let (theirs, theirs_window) = (Arc::clone(&shared), Arc::clone(&window));
        std::thread::spawn(move || control::write_window(&theirs, &theirs_window));
        say(&Event::Ready);
        Ok(Self { shared, window, payload: vec![0x5a; args.size()?], sent: 0 })
    }

    /// All subscribers are there: messages now, no more probes.
    #[must_use]
    pub fn started(&self) -> bool {
        self.shared.started.load(Ordering::Acquire)
    }

    /// The window is over.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed)
    }

    /// The message: one buffer, sent again and again, as all peers' own benchmarks do.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Counts one message.
    pub fn sent(&mut self) {
        self.sent_many(1);
    }

    /// Counts messages.
    pub fn sent_many(&mut self, messages: u64) {
        self.sent += messages;
        self.shared.count.store(self.sent, Ordering::Relaxed);
    }

    /// Reports. Everything must have been flushed.
    pub fn done(self) {
        let mut counted = self.window.get().copied().unwrap_or_default();
        counted.total = self.sent;
        say(&Event::Done(counted));
    }
}

/// The receiving end; to be shared by the callbacks of one thread.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    size: usize,
    probed: AtomicBool,
}

impl Reader {
    /// Begins to listen to `motet-bench`. The process ends by itself after its report.
    ///
    /// # Errors
    /// An argument is not understood.
    pub fn new(args: &Args) -> Outcome<Arc<Self>> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let quiet = Duration::from_millis(args.number("quiet_ms", 1000)?);
        std::thread::spawn(move || control::read_window(&theirs, quiet));
        Ok(Arc::new(Self { shared, size: args.size()?, probed: AtomicBool::new(false) }))
    }

    /// Counts one message by its length; the first probe says that the way is open.
    #[inline]
    pub fn received(&self, length: usize) {
        if length == self.size {
            self.received_many(1);
        } else if length == PROBE.len() && !self.probed.swap(true, Ordering::Relaxed) {
            say(&Event::Ready);
        }
    }

    /// Counts messages of the right length.
    #[inline]
    pub fn received_many(&self, messages: u64) {
        // One thread counts: no atomic addition is needed.
        let count = self.shared.count.load(Ordering::Relaxed) + messages;
        self.shared.count.store(count, Ordering::Relaxed);
    }

    /// The report is made: the loop may close and return.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed)
    }

    /// Keeps the thread while others count.
    pub fn wait(&self) -> ! {
        loop {
            std::thread::park();
        }
    }
}
