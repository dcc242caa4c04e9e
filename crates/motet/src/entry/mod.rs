//! Ways in where multicast does not reach: contacts by address, by name and by file, and where
//! peers were in an earlier run.
//!
//! A contact is a hint; the core dials it. What is here looks names up, watches files and writes
//! down who is there. It runs as a task beside the driver and ends with it.

mod file;
mod memory;
mod peer;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use motet_proto::Node;
use motet_proto::transport::liveness::State;
use motet_proto::wire::record::roles;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) use self::memory::Memory;
pub(crate) use self::peer::Peer;
use crate::driver::Core;
use crate::error::OpenError;
use crate::event::Event;
use file::Watched;

/// Everybody that an endpoint was told to try.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    given: BTreeSet<Peer>,
    files: Vec<Watched>,
}

impl Contacts {
    /// Of `HOST`, `HOST:PORT`, `udp/…` and `@FILE`; files are read.
    pub(crate) fn parse(peers: &[String]) -> Result<Self, OpenError> {
        let mut contacts = Self::default();
        for text in peers {
            if let Some(path) = text.trim().strip_prefix('@') {
                contacts.files.push(Watched::open(PathBuf::from(path))?);
            } else {
                let peer = Peer::parse(text);
                let peer = peer.ok_or_else(|| OpenError::PeerSyntax { peer: text.clone() })?;
                contacts.given.insert(peer);
            }
        }
        Ok(contacts)
    }

    fn wanted(&self) -> BTreeSet<Peer> {
        let files = self.files.iter().flat_map(|file| &file.peers);
        self.given.iter().chain(files).cloned().collect()
    }
}

/// Keeps the contacts of an endpoint up to date.
pub(crate) struct Guide {
    contacts: Contacts,
    /// What the node was told of: by address at once, by name as they are found.
    told: BTreeMap<Peer, Lookup>,
    memory: Option<Arc<Memory>>,
    /// What was last written down, and when to look again.
    written: Vec<SocketAddr>,
    write_at: Instant,
    renew_at: Instant,
    files_at: Instant,
    running: usize,
    sender: mpsc::Sender<Found>,
    found: mpsc::Receiver<Found>,
}

type Found = (Peer, io::Result<BTreeSet<IpAddr>>);

/// A contact, and what is known of its addresses.
#[derive(Debug)]
struct Lookup {
    addresses: BTreeSet<IpAddr>,
    /// When to look its name up; `None` while that is under way, and for addresses.
    at: Option<Instant>,
    wait: Duration,
    /// It was said that it has no address.
    failing: bool,
}

impl Guide {
    pub(crate) fn new(contacts: Contacts, memory: Option<Arc<Memory>>) -> Self {
        let now = Instant::now();
        let (sender, found) = mpsc::channel(LOOKUPS_MAX);
        Self {
            contacts,
            told: BTreeMap::new(),
            memory,
            written: Vec::new(),
            write_at: now + WRITE_FIRST,
            renew_at: now + RENEW_EVERY,
            files_at: now + FILES_EVERY,
            running: 0,
            sender,
            found,
        }
    }

    /// Whether there is nothing to do, now or later.
    pub(crate) fn is_idle(&self) -> bool {
        self.memory.is_none() && self.contacts.files.is_empty() && {
            let names = |peer: &Peer| peer.ip().is_none();
            !self.contacts.given.iter().any(names)
        }
    }

    /// Tells the node of contacts that are addresses, before its first turn.
    pub(crate) fn begin(&mut self, core: &Core) {
        self.apply(core);
    }

    /// Goes on until the endpoint is gone.
    pub(crate) async fn run(mut self, core: Weak<Core>) {
        loop {
            let Some(held) = core.upgrade().filter(|core| !core.is_closed()) else { return };
            let next = self.turn(&held).await;
            drop(held);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                Some((peer, result)) = self.found.recv() => {
                    self.running -= 1;
                    if let Some(core) = core.upgrade() {
                        self.on_found(&core, &peer, result);
                    }
                }
            }
        }
    }

    /// Does what is due; when the next is.
    async fn turn(&mut self, core: &Arc<Core>) -> Instant {
        let now = Instant::now();
        let mut next = now + LOOKUP_AGAIN;
        if !self.contacts.files.is_empty() {
            if self.files_at <= now {
                self.files_at = now + FILES_EVERY;
                self.read_files(core);
            }
            next = next.min(self.files_at);
        }
        if let Some(memory) = self.memory.clone() {
            if self.write_at <= now {
                self.write_at = now + WRITE_EVERY;
                self.remember(core, memory, now).await;
            }
            next = next.min(self.write_at);
        }
        for (peer, lookup) in &mut self.told {
            match lookup.at {
                Some(at) if at <= now && self.running < LOOKUPS_MAX => {
                    lookup.at = None;
                    self.running += 1;
                    tokio::spawn(look_up(peer.clone(), self.sender.clone()));
                }
                // Its turn comes when another lookup has ended.
                Some(at) if at <= now => {}
                Some(at) => next = next.min(at),
                None => {}
            }
        }
        next
    }

    /// What is wanted and not told yet is told; what is told and not wanted any more is taken back.
    fn apply(&mut self, core: &Core) {
        let wanted = self.contacts.wanted();
        let gone: Vec<Peer> =
            self.told.keys().filter(|peer| !wanted.contains(peer)).cloned().collect();
        for peer in gone {
            if let Some(lookup) = self.told.remove(&peer) {
                told(core, &peer, &lookup.addresses, &BTreeSet::new());
            }
        }
        for peer in wanted {
            if self.told.contains_key(&peer) {
                continue;
            }
            let addresses: BTreeSet<IpAddr> = peer.ip().into_iter().collect();
            told(core, &peer, &BTreeSet::new(), &addresses);
            let at = peer.ip().is_none().then(Instant::now);
            let lookup = Lookup { addresses, at, wait: LOOKUP_MIN, failing: false };
            self.told.insert(peer, lookup);
        }
    }

    fn on_found(&mut self, core: &Core, peer: &Peer, result: io::Result<BTreeSet<IpAddr>>) {
        // Taken out of its file while it was looked up.
        let Some(lookup) = self.told.get_mut(peer) else { return };
        let now = Instant::now();
        match result {
            Ok(addresses) => {
                told(core, peer, &lookup.addresses, &addresses);
                *lookup = Lookup {
                    addresses,
                    at: Some(now + LOOKUP_AGAIN),
                    wait: LOOKUP_MIN,
                    failing: false,
                };
            }
            Err(error) => {
                // What it was found at last is tried on.
                lookup.at = Some(now + lookup.wait);
                lookup.wait = (lookup.wait * 2).min(LOOKUP_AGAIN);
                if !std::mem::replace(&mut lookup.failing, true) {
                    let reason = format!(
                        "it has no address: {error}; check the name, or give its IP address; \
                         it is looked up again and again"
                    );
                    core.notice(failed(&format!("the peer {peer}"), &reason));
                }
            }
        }
    }

    fn read_files(&mut self, core: &Core) {
        let mut changed = false;
        for file in &mut self.contacts.files {
            match file.look() {
                Ok(differs) => changed |= differs,
                Err(error) => {
                    let reason = format!("{}; its last valid peers are kept", error.what());
                    core.notice(failed(&error.place(), &reason));
                }
            }
        }
        if changed {
            self.apply(core);
        }
    }

    async fn remember(&mut self, core: &Core, memory: Arc<Memory>, now: Instant) {
        let live = live(core);
        if live.is_empty() || (live == self.written && now < self.renew_at) {
            return;
        }
        self.renew_at = now + RENEW_EVERY;
        self.written.clone_from(&live);
        let path = memory.path().display().to_string();
        let stored = tokio::task::spawn_blocking(move || memory.store(&live)).await;
        let stored = stored.unwrap_or_else(|ended| Err(ended.into()));
        if let Err(error) = stored {
            core.notice(failed(&path, &format!("peers cannot be remembered: {error}")));
        }
    }
}

/// Writes down who is there, for the next start; on a thread for files.
pub(crate) async fn remember(core: &Core) {
    let Some(memory) = core.about.memory.clone() else { return };
    let live = live(core);
    if !live.is_empty() {
        // A hint that is not written costs the next start a moment, this end nothing.
        let _ = tokio::task::spawn_blocking(move || memory.store(&live)).await;
    }
}

/// Where live peers can be reached, in the order in which they are worth remembering: contacts
/// first, then one of each host, then the rest.
fn live(core: &Core) -> Vec<SocketAddr> {
    core.with(|inner, _| reachable(&inner.node))
}

fn reachable(node: &Node<motet_crypto::AwsLc>) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    let mut hosts: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for peer in node.peers() {
        let watching = peer.roles & roles::OBSERVER != 0;
        if watching || matches!(peer.state, State::Dead(_)) {
            continue;
        }
        let addr = SocketAddr::new(peer.addr.ip().to_canonical(), peer.addr.port());
        let contact = peer.roles & roles::SEED != 0;
        let nth = hosts.entry(addr.ip()).or_default();
        found.push((!contact, *nth, addr));
        *nth += 1;
        let advertised = peer.addresses.iter().find(|other| **other != addr);
        // Of a host with two networks the other one may be what is left.
        found.extend(advertised.map(|other| (!contact, u32::MAX, *other)));
    }
    found.sort();
    found.dedup_by_key(|(_, _, addr)| *addr);
    found.into_iter().map(|(_, _, addr)| addr).take(memory::KEPT_MAX).collect()
}

/// The node learns that the addresses of a contact are others now.
fn told(core: &Core, peer: &Peer, before: &BTreeSet<IpAddr>, now: &BTreeSet<IpAddr>) {
    core.act(|inner, at| {
        for ip in before.difference(now) {
            inner.node.remove_contact(&peer.at(*ip));
        }
        for ip in now.difference(before) {
            inner.node.add_contact(at, &peer.at(*ip));
        }
    });
}

async fn look_up(peer: Peer, sender: mpsc::Sender<Found>) {
    let found = tokio::net::lookup_host((peer.host(), 0)).await;
    let found = found.map(|all| all.map(|addr| addr.ip()).collect::<BTreeSet<IpAddr>>());
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has none");
    let found = found.and_then(|all| if all.is_empty() { Err(none()) } else { Ok(all) });
    let _ = sender.send((peer, found)).await; // the endpoint may be gone
}

/// The event that tells of a contact that is of no use now.
pub(crate) fn failed(contact: &str, reason: &str) -> Event {
    Event::ContactFailed { contact: contact.into(), reason: reason.into() }
}

/// Lookups of names at once.
const LOOKUPS_MAX: usize = 8;
/// The wait after a lookup that failed, doubled after each.
const LOOKUP_MIN: Duration = Duration::from_secs(1);
/// The longest wait, and how often a name is looked up that has addresses.
const LOOKUP_AGAIN: Duration = Duration::from_secs(60);
/// How often peers files are looked at: a person waits for it.
const FILES_EVERY: Duration = Duration::from_secs(2);
/// From the start until peers are first written down.
const WRITE_FIRST: Duration = Duration::from_secs(2);
/// How often it is looked whether others are there now; each costs a small file.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// How often the file is written although nothing changed, so that it does not age.
const RENEW_EVERY: Duration = Duration::from_secs(3_600);
