//! What an endpoint wants, and what it knows of what others want.
//!
//! A hint: it decides whom a writer offers a stream to. The offer and its answer are the truth.

use super::filter::TopicFilter;
use super::matching::Index;
use super::name::TopicName;
use super::sieve::Sieve;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use motet_wire::record::Interest;

/// Changes of our own set that are kept; who is further behind gets a snapshot.
pub const DELTAS_KEPT: usize = 256;
/// Filters, exact ones and patterns together, that are kept of one peer.
pub const REMOTE_FILTERS_MAX: usize = 10_000;

/// The interest set of this endpoint: what its subscriptions ask for together.
///
/// The version counts changes and starts at 0, the empty set. P-10
#[derive(Clone, Debug, Default)]
pub struct LocalInterest {
    exact: BTreeMap<u64, u32>,
    patterns: BTreeMap<Arc<str>, u32>,
    history: bool,
    version: u64,
    changes: VecDeque<Change>,
}

/// One step from a version to the next.
#[derive(Clone, Debug)]
enum Change {
    Exact { hash: u64, added: bool },
    Pattern { text: Arc<str>, added: bool },
    Flags,
}

impl LocalInterest {
    /// One more subscription asks for `filter`; `hash` is the realm's keyed hash of a topic name,
    /// asked for only if the filter is exact. True if the set changed.
    pub fn add(&mut self, filter: &TopicFilter, hash: impl FnOnce(&str) -> u64) -> bool {
        let (count, change) = match filter.exact_name() {
            Some(name) => {
                let hash = hash(name);
                let count = self.exact.entry(hash).or_insert(0);
                (count, Change::Exact { hash, added: true })
            }
            None => {
                let count = self.patterns.entry(filter.arc()).or_insert(0);
                (count, Change::Pattern { text: filter.arc(), added: true })
            }
        };
        *count += 1;
        let changed = *count == 1;
        if changed {
            self.note(change);
        }
        changed
    }

    /// One subscription fewer asks for `filter`. True if the set changed; false also if nobody
    /// asked for it.
    pub fn remove(&mut self, filter: &TopicFilter, hash: impl FnOnce(&str) -> u64) -> bool {
        let change = match filter.exact_name() {
            Some(name) => {
                let hash = hash(name);
                release(&mut self.exact, &hash).then_some(Change::Exact { hash, added: false })
            }
            None => {
                let text = filter.arc();
                release(&mut self.patterns, &text).then_some(Change::Pattern { text, added: false })
            }
        };
        change.map(|change| self.note(change)).is_some()
    }

    /// Says whether any subscription wants the past. True if that changed.
    pub fn set_history(&mut self, wanted: bool) -> bool {
        let changed = self.history != wanted;
        if changed {
            self.history = wanted;
            self.note(Change::Flags);
        }
        changed
    }

    /// A new version of the same set: who took an offer back may make it again.
    pub fn renew(&mut self) {
        self.note(Change::Flags);
    }

    /// How often the set has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Exact topics and patterns in the set.
    pub fn len(&self) -> usize {
        self.exact.len() + self.patterns.len()
    }

    /// Nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// The whole set.
    pub fn snapshot(&self) -> Interest {
        Interest {
            added: self.exact.keys().copied().collect(),
            patterns_added: self.patterns.keys().map(|text| String::from(&**text)).collect(),
            ..self.empty_from(0)
        }
    }

    /// The net change since version `base`; `None` if that is too long ago, or not one of ours:
    /// then a snapshot serves. Never for base 0, which means a snapshot. P-11
    pub fn delta_since(&self, base: u64) -> Option<Interest> {
        let steps = usize::try_from(self.version.checked_sub(base)?).ok()?;
        if base == 0 || steps > self.changes.len() {
            return None;
        }
        // Changes of one item alternate, so the first tells what it was and the last what it is.
        let (mut exact, mut patterns) = (BTreeMap::new(), BTreeMap::new());
        let slip = usize::from(crate::planted::on("interest_delta_on_wrong_base"));
        let steps = steps.saturating_sub(slip);
        for change in self.changes.iter().skip(self.changes.len() - steps) {
            match change {
                Change::Exact { hash, added } => note_net(&mut exact, *hash, *added),
                Change::Pattern { text, added } => note_net(&mut patterns, &**text, *added),
                Change::Flags => {}
            }
        }
        let mut delta = self.empty_from(base);
        (delta.added, delta.removed) = net(exact);
        (delta.patterns_added, delta.patterns_removed) = net(patterns);
        Some(delta)
    }

    fn empty_from(&self, base: u64) -> Interest {
        let flags = if self.history { Interest::HISTORY } else { 0 };
        Interest { base, version: self.version, flags, ..Interest::default() }
    }

    fn note(&mut self, change: Change) {
        self.version += 1;
        if self.changes.len() == DELTAS_KEPT {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }
}

/// Takes one reference; true if it was the last.
fn release<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) -> bool {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => {
            *count -= 1;
            false
        }
        Some(_) => counts.remove(key).is_some(),
        None => false,
    }
}

/// Remembers the first and the last thing that happened to an item.
fn note_net<K: Ord>(items: &mut BTreeMap<K, (bool, bool)>, item: K, added: bool) {
    items.entry(item).or_insert((added, added)).1 = added;
}

/// What is there now and was not, and the reverse.
fn net<K, O: From<K>>(items: BTreeMap<K, (bool, bool)>) -> (Vec<O>, Vec<O>) {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for (item, (first, last)) in items {
        match (first, last) {
            (true, true) => added.push(item.into()),
            (false, false) => removed.push(item.into()),
            _ => {}
        }
    }
    (added, removed)
}

/// What we know of a peer's interest set.
#[derive(Clone, Debug, Default)]
pub struct RemoteInterest {
    exact: Vec<u64>, // sorted: 8 bytes a topic
    patterns: Index<()>,
    /// For topics that are not told one by one.
    sieve: Option<Sieve>,
    everything: bool,
    history: bool,
    version: u64,
    refused: u64,
    bad_patterns: u64,
}

/// A delta that does not continue what we have; a snapshot is needed. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale {
    /// The version that we have.
    pub have: u64,
    /// The version that the delta changes.
    pub base: u64,
    /// The version that it leads to.
    pub version: u64,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { have, base, version } = self;
        write!(f, "the delta leads from version {base} to {version}, but we have {have}")
    }
}

impl core::error::Error for Stale {}

impl RemoteInterest {
    /// Takes a snapshot or a delta. True if the set changed. What is not newer than what we have
    /// is ignored. P-12
    ///
    /// # Errors
    /// [`Stale`]: a delta on another version than ours. Ask for a snapshot. P-13
    pub fn apply(&mut self, update: &Interest) -> Result<bool, Stale> {
        if update.version <= self.version {
            return Ok(false);
        }
        if update.base == 0 {
            return Ok(self.replace(update));
        }
        if update.base != self.version {
            let (base, version) = (update.base, update.version);
            return Err(Stale { have: self.version, base, version });
        }
        let mut changed = self.remove(update);
        changed |= self.add(update);
        changed |= self.set_flags(update);
        self.version = update.version;
        Ok(changed)
    }

    /// The version we have; 0 is nothing yet.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether the peer asks for `name`, whose realm hash is `hash`. May be wrong, either way: it
    /// is a hint.
    pub fn wants(&self, name: &TopicName, hash: u64) -> bool {
        if self.exact.binary_search(&hash).is_ok()
            || self.sieve.as_ref().is_some_and(|sieve| sieve.may_have(hash))
        {
            return true;
        }
        (self.everything && !name.is_reserved()) || self.patterns.any_match(name)
    }

    /// Whether any of its subscriptions wants the past.
    pub fn wants_history(&self) -> bool {
        self.history
    }

    /// Filters held of this peer.
    pub fn len(&self) -> usize {
        self.exact.len() + self.patterns.len()
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Filters refused so far because [`REMOTE_FILTERS_MAX`] were held. P-14
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Patterns skipped so far because they are no filters. P-15
    pub fn bad_patterns(&self) -> u64 {
        self.bad_patterns
    }

    fn replace(&mut self, snapshot: &Interest) -> bool {
        let mut new = Self { version: snapshot.version, ..Self::default() };
        new.add(snapshot);
        new.set_flags(snapshot);
        new.refused = new.refused.saturating_add(self.refused);
        new.bad_patterns = new.bad_patterns.saturating_add(self.bad_patterns);
        let changed = new.exact != self.exact
            || new.patterns != self.patterns
            || new.everything != self.everything
            || new.sieve != self.sieve
            || new.history != self.history;
        *self = new;
        changed
    }

    /// A filter stands for many topics. One that cannot be looked into means all of them: its sender
    /// is offered everything, and refuses what it does not want. Costs offers, never a message. P-16
    fn set_flags(&mut self, update: &Interest) -> bool {
        let (mut everything, mut sieve) = (self.everything, self.sieve.clone());
        if update.base == 0 {
            (everything, sieve) = (false, None);
        }
        if let Some(filter) = &update.filter {
            sieve = Sieve::decode(filter).unwrap_or_else(|_| {
                self.bad_patterns = self.bad_patterns.saturating_add(1); // M-21
                None
            });
            everything = sieve.is_none();
        }
        let history = update.flags & Interest::HISTORY != 0;
        let changed =
            (everything, history) != (self.everything, self.history) || sieve != self.sieve;
        (self.everything, self.history, self.sieve) = (everything, history, sieve);
        changed
    }

    fn remove(&mut self, update: &Interest) -> bool {
        let before = self.len();
        let mut gone = update.removed.clone();
        gone.sort_unstable();
        self.exact.retain(|hash| gone.binary_search(hash).is_err());
        for pattern in &update.patterns_removed {
            if let Ok(filter) = TopicFilter::parse(pattern) {
                self.patterns.remove(&filter, ());
            }
        }
        self.len() != before
    }

    fn add(&mut self, update: &Interest) -> bool {
        let before = self.len();
        let mut new = update.added.clone();
        new.sort_unstable();
        new.dedup();
        new.retain(|hash| self.exact.binary_search(hash).is_err());
        let room = REMOTE_FILTERS_MAX.saturating_sub(self.len());
        self.refuse(new.len().saturating_sub(room));
        new.truncate(room);
        self.exact.append(&mut new);
        self.exact.sort_unstable();
        for (n, pattern) in update.patterns_added.iter().enumerate() {
            if self.len() >= REMOTE_FILTERS_MAX {
                self.refuse(update.patterns_added.len() - n);
                break;
            }
            match TopicFilter::parse(pattern) {
                Ok(filter) => {
                    self.patterns.add(&filter, ());
                }
                Err(_) => self.bad_patterns = self.bad_patterns.saturating_add(1),
            }
        }
        self.len() != before
    }

    fn refuse(&mut self, n: usize) {
        self.refused = self.refused.saturating_add(n as u64);
    }
}
