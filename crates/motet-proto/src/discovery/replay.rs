//! Realm packets that were received twice.

use crate::ids::EndpointKey;
use alloc::collections::{BTreeMap, BTreeSet};

/// Senders remembered. Beyond it the one that was quiet longest is forgotten; a replay of its
/// packets then repeats an old hint, and no more. About 100 B each.
const SENDERS_MAX: usize = 4_096;

/// Numbers behind the highest that are told apart.
const WINDOW: u64 = 64;

/// A 64-entry window per sender.
#[derive(Default, Debug)]
pub(super) struct Replay {
    senders: BTreeMap<EndpointKey, Window>,
    by_use: BTreeSet<(u64, EndpointKey)>,
    uses: u64,
}

#[derive(Debug)]
struct Window {
    top: u64,
    /// Bit n: `top - n` was seen.
    seen: u64,
    used: u64,
}

impl Replay {
    /// Notes the packet and tells whether it is new.
    pub(super) fn fresh(&mut self, key: EndpointKey, counter: u64) -> bool {
        self.uses += 1;
        let used = self.uses;
        if let Some(window) = self.senders.get_mut(&key) {
            self.by_use.remove(&(window.used, key));
            self.by_use.insert((used, key));
            window.used = used;
            return window.note(counter);
        }
        if self.senders.len() >= SENDERS_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.senders.remove(&oldest);
        }
        self.senders.insert(key, Window { top: counter, seen: 1, used });
        self.by_use.insert((used, key));
        true
    }
}

impl Window {
    fn note(&mut self, counter: u64) -> bool {
        if let Some(ahead) = counter.checked_sub(self.top)
            && ahead > 0
        {
            self.seen = if ahead < WINDOW { self.seen << ahead | 1 } else { 1 };
            self.top = counter;
            return true;
        }
        let behind = self.top - counter;
        if behind >= WINDOW || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EndpointId;

    fn sender(n: u64) -> EndpointKey {
        EndpointKey { id: EndpointId([7; 16]), incarnation: n }
    }

    #[test] // D-3
    fn a_packet_is_taken_once_whatever_the_order() {
        let mut replay = Replay::default();
        let takes = [5, 9, 5, 7, 7, 6, 9, 73, 9, 10, 10, 72].map(|n| replay.fresh(sender(1), n));

        let wanted = [true, true, false, true, false, true, false, true, false, true, false, true];
        assert_eq!(takes, wanted);
        assert!(!replay.fresh(sender(1), 3), "too old to tell");
        assert!(replay.fresh(sender(1), u64::MAX) && !replay.fresh(sender(1), u64::MAX));
    }

    #[test] // D-3
    fn the_table_of_senders_is_bounded_and_keeps_the_busy_ones() {
        let mut replay = Replay::default();

        for n in 0..20_000 {
            replay.fresh(sender(n), 1);
            replay.fresh(sender(0), 2);
        }

        assert_eq!(replay.senders.len(), SENDERS_MAX);
        assert_eq!(replay.by_use.len(), SENDERS_MAX);
        assert!(!replay.fresh(sender(0), 2));
    }
}
