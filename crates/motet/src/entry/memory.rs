//! Where peers were: a small file that outlives the endpoint. Hints, nothing more.
//!
//! ```text
//! motet peers 1
//! 10.0.0.5:37321 1764212345      when somebody was last there, in seconds since 1970
//! check 5d1c92a8e07b6f34         over all before it
//! ```
//!
//! All endpoints of a user in one realm share it. Of two that write at once one wins; that costs
//! the next start at most a moment.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file of one realm.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    /// Only addresses of this host.
    host_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    addr: SocketAddr,
    /// Seconds since 1970.
    seen: u64,
}

impl Memory {
    pub(crate) fn new(path: PathBuf, host_only: bool) -> Self {
        Self { path, host_only }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is worth trying, best first. A damaged file is an error that says so, and worth nothing.
    pub(crate) fn load(&self) -> Result<Vec<SocketAddr>, String> {
        let entries = self.read(now())?;
        let mine = |entry: &Entry| !self.host_only || entry.addr.ip().is_loopback();
        Ok(entries.into_iter().filter(mine).map(|entry| entry.addr).collect())
    }

    /// Notes that somebody is at these addresses, best first. Others that are not too old are kept
    /// while there is room.
    pub(crate) fn store(&self, live: &[SocketAddr]) -> io::Result<()> {
        let now = now();
        let before = self.read(now).unwrap_or_default();
        let text = write(&merge(live, &before, now));
        if let Some(directory) = self.path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        motet_net::replace_secret(&self.path, text.as_bytes())
    }

    fn read(&self, now: u64) -> Result<Vec<Entry>, String> {
        let bytes = match motet_net::read_secret(&self.path) {
            Ok(bytes) => bytes,
            Err(motet_net::SecretError::NotFound) => return Ok(Vec::new()),
            Err(error) => return Err(format!("{error}; it is ignored")),
        };
        let mut entries = parse(&bytes).ok_or("it is damaged; it is ignored and made anew")?;
        entries.retain(|entry| now.saturating_sub(entry.seen) <= KEPT_SECONDS);
        Ok(entries)
    }
}

/// Those that are there, then those that were, newest first.
fn merge(live: &[SocketAddr], before: &[Entry], now: u64) -> Vec<Entry> {
    let mut all: Vec<Entry> = live.iter().map(|addr| Entry { addr: *addr, seen: now }).collect();
    let mut before: Vec<Entry> =
        before.iter().filter(|entry| !live.contains(&entry.addr)).copied().collect();
    // A clock that went back left moments that are still to come.
    before.iter_mut().for_each(|entry| entry.seen = entry.seen.min(now));
    before.sort_by_key(|entry| std::cmp::Reverse(entry.seen));
    all.extend(before);
    all.truncate(KEPT_MAX);
    all
}

fn write(entries: &[Entry]) -> String {
    let mut text = format!("{HEAD}\n");
    for Entry { addr, seen } in entries {
        text.push_str(&format!("{addr} {seen}\n"));
    }
    let check = check(&text);
    text + &format!("check {check}\n")
}

/// `None` unless it is whole.
fn parse(bytes: &[u8]) -> Option<Vec<Entry>> {
    let text = str::from_utf8(bytes).ok()?;
    let at = text.rfind("check ")?;
    let (body, last) = text.split_at_checked(at)?;
    if last.strip_prefix("check ")?.trim_end() != check(body) {
        return None;
    }
    let mut lines = body.lines();
    if lines.next() != Some(HEAD) {
        return None;
    }
    let entry = |line: &str| {
        let (addr, seen) = line.split_once(' ')?;
        Some(Entry { addr: addr.parse().ok()?, seen: seen.parse().ok()? })
    };
    let entries: Option<Vec<Entry>> = lines.map(entry).collect();
    entries.filter(|entries| entries.len() <= KEPT_MAX)
}

fn check(text: &str) -> String {
    let hash = crate::state::hash(&[b"motet peers", text.as_bytes()]);
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> u64 {
    motet_net::wall_ms() / 1_000
}

const HEAD: &str = "motet peers 1";
/// Addresses kept: what the core tries.
pub(super) const KEPT_MAX: usize = motet_proto::discovery::REMEMBERED_MAX;
/// An address where nobody was for a week is another's by now.
const KEPT_SECONDS: u64 = 7 * 24 * 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], n))
    }

    fn entry(n: u16, seen: u64) -> Entry {
        Entry { addr: addr(n), seen }
    }

    #[test]
    fn what_is_written_is_read_and_any_changed_byte_is_noticed() {
        let entries = [entry(1, 100), entry(2, 90)];
        let text = write(&entries);
        assert_eq!(parse(text.as_bytes()), Some(entries.to_vec()));
        for at in 0..text.len() - 1 {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            assert_eq!(parse(&damaged), None, "byte {at}");
            assert_eq!(parse(&text.as_bytes()[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn those_who_are_there_come_first_and_the_oldest_go() {
        let before: Vec<Entry> = (0..64).map(|n| entry(n, u64::from(n))).collect();
        let merged = merge(&[addr(7), addr(1_000)], &before, 1_000);
        assert_eq!(merged[..3], [entry(7, 1_000), entry(1_000, 1_000), entry(63, 63)]);
        assert_eq!((merged.len(), merged[63]), (64, entry(1, 1)));
        assert_eq!(merge(&[], &[entry(1, 5_000)], 1_000), [entry(1, 1_000)], "a clock set back");
    }
}
