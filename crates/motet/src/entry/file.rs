//! A peers file: a contact a line, looked at again and again.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::peer::Peer;
use crate::error::OpenError;

/// A peers file and what it last held.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    stamp: Stamp,
    pub(crate) peers: BTreeSet<Peer>,
}

/// Changes when the file does: when it was written, its size, and which file it is.
type Stamp = Option<(SystemTime, u64, u64)>;

/// Why a peers file is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    path: PathBuf,
    line: Option<usize>,
    reason: String,
}

impl Watched {
    /// Reads it for the first time.
    pub(crate) fn open(path: PathBuf) -> Result<Self, OpenError> {
        let stamp = stamp(&path);
        match read(&path) {
            Ok(peers) => Ok(Self { path, stamp, peers }),
            Err(wrong) => Err(OpenError::PeersFile { place: wrong.place(), reason: wrong.reason }),
        }
    }

    /// Reads it again if it has changed; whether its peers have. An error is told once per change,
    /// and leaves the peers as they are.
    pub(crate) fn look(&mut self) -> Result<bool, Wrong> {
        let stamp = stamp(&self.path);
        if std::mem::replace(&mut self.stamp, stamp) == stamp {
            return Ok(false);
        }
        let peers = read(&self.path)?;
        Ok(std::mem::replace(&mut self.peers, peers) != self.peers)
    }
}

impl Wrong {
    /// Where it is wrong.
    pub(crate) fn place(&self) -> String {
        let line = self.line.map_or_else(String::new, |line| format!(", line {line}"));
        format!("the peers file {}{line}", self.path.display())
    }

    /// What is wrong and what to do.
    pub(crate) fn what(&self) -> &str {
        &self.reason
    }
}

fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len(), about.ino()))
}

fn read(path: &Path) -> Result<BTreeSet<Peer>, Wrong> {
    let wrong = |line, reason| Wrong { path: path.to_owned(), line, reason };
    let unread = |error: std::io::Error| {
        wrong(None, format!("{error}; make it, or leave out this --peer @FILE"))
    };
    let file = std::fs::File::open(path).map_err(unread)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(wrong(None, format!("it is longer than {BYTES_MAX} bytes; {FEW}")));
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| wrong(None, "it is not text; give a peer a line".to_owned()))?;
    parse(&text).map_err(|(line, reason)| wrong(Some(line), reason))
}

/// The peers of a text, or the first line that is wrong and why.
fn parse(text: &str) -> Result<BTreeSet<Peer>, (usize, String)> {
    let mut peers = BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let peer = Peer::parse(line).ok_or_else(|| {
            let what = "is no peer; give HOST or HOST:PORT, one a line; # begins a comment";
            (at + 1, format!("{line:?} {what}"))
        })?;
        peers.insert(peer);
        if peers.len() > PEERS_MAX {
            return Err((at + 1, format!("there are more than {PEERS_MAX} peers; {FEW}")));
        }
    }
    Ok(peers)
}

const FEW: &str = "a few contacts are enough, the others are learnt from them";
/// Peers of one file: as many as the core tries.
const PEERS_MAX: usize = 256;
const BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_skipped_and_a_bad_line_is_named() {
        let peers = parse("# ours\n\n10.0.0.5  # the press\nudp/gate.example:4000\n10.0.0.5\n");
        let shown: Vec<String> = peers.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.5", "gate.example:4000"]);
        let (line, reason) = parse("10.0.0.5\n\n10.0.0.6, 10.0.0.7\n").unwrap_err();
        assert_eq!(line, 3);
        assert!(reason.contains("10.0.0.6, 10.0.0.7") && reason.contains("one a line"), "{reason}");
        let many: String = (0..300).map(|n| format!("host{n}\n")).collect();
        assert_eq!(parse(&many).unwrap_err().0, 257);
    }
}
