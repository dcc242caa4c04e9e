//! A lease with name servers: begun, renewed, rested and ended.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::NAMES;
use super::client::{Names, count};
use super::messages::Entry;
use crate::role::pause;
use crate::service::{Change, ServiceWatch};

/// What a lease is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Stand,
    /// End, but perhaps stand again.
    Rest,
    End,
}

/// A lease that is kept. Dropping it ends the lease without waiting.
#[derive(Debug)]
pub(crate) struct Keeping {
    pub(super) want: watch::Sender<Want>,
    /// Whether it stands.
    pub(super) told: watch::Receiver<bool>,
    pub(super) task: JoinHandle<()>,
}

impl Keeping {
    /// Lets the lease stand, or ends it for now.
    pub(crate) fn stand(&self, on: bool) {
        let want = if on { Want::Stand } else { Want::Rest };
        self.want.send_if_modified(|old| std::mem::replace(old, want) != want);
    }

    /// Waits until the lease stands, or does not; false if that does not come about any more.
    pub(crate) async fn stands(&self, on: bool) -> bool {
        self.told.clone().wait_for(|stands| *stands == on).await.is_ok()
    }

    /// Ends the lease, and waits until the name servers that are there know it.
    pub(crate) async fn end(mut self) {
        self.want.send_replace(Want::End);
        // A task that broke keeps nothing.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.want.send_replace(Want::End);
    }
}

/// Keeps one.
pub(super) struct Keeper {
    pub(super) names: Names,
    pub(super) entry: Entry,
    pub(super) wanted: watch::Receiver<Want>,
    pub(super) tell: watch::Sender<bool>,
}

impl Keeper {
    pub(super) async fn run(mut self) {
        let Ok(mut servers) = self.names.endpoint.service(NAMES) else { return };
        let every = Duration::from_millis(self.entry.ttl_ms) / 3;
        let mut stands = *self.tell.borrow();
        let mut renew = !stands;
        while !self.names.endpoint.hold.core.is_closed() {
            let wanted = *self.wanted.borrow_and_update();
            match wanted {
                Want::Stand => {}
                Want::Rest | Want::End => {
                    if std::mem::take(&mut stands) {
                        self.entry.count = count();
                        self.names.end(self.entry.clone()).await;
                        self.tell.send_replace(false);
                    }
                    // Whoever held it has gone without a word: that is an end, too.
                    if wanted == Want::End || self.wanted.changed().await.is_err() {
                        return;
                    }
                    renew = true;
                    continue;
                }
            }
            if renew {
                self.entry.count = count();
                let put = self.names.put(&self.entry);
                // No name server now: the next one that comes gets the whole registration.
                let taken = tokio::select! {
                    taken = put => taken.is_ok(),
                    _ = self.wanted.changed() => {
                        stands = true; // perhaps: it is to be ended
                        continue;
                    }
                };
                stands |= taken;
                if taken {
                    self.tell.send_replace(true);
                }
            }
            let again = if stands { every } else { every.min(LOOK_AGAIN) };
            tokio::select! {
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    renew = false;
                }
                () = pause(again) => renew = true,
                () = first_of_all(&mut servers) => renew = true,
            }
        }
    }
}

/// Waits for a name server that is the only one: it may know nothing, and has nobody to ask (B-24).
async fn first_of_all(servers: &mut ServiceWatch) {
    while let Some(change) = servers.next().await {
        if matches!(change.change, Change::Up | Change::Back) && servers.instances().len() == 1 {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Without a name server one is looked for so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
