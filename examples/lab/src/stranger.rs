//! Sends hostile datagrams from an address of its own and counts what comes back.
//!
//! Says `sent datagrams=… bytes=…` when it is done and `answers datagrams=… bytes=…` for `report`.

use std::collections::BTreeSet;
use std::io::{BufRead, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use crate::content::next;
use crate::{Outcome, say};

#[derive(Args)]
pub(crate) struct Stranger {
    /// Whom to annoy.
    #[arg(long, required = true)]
    to: Vec<SocketAddr>,
    /// Datagrams that a witness kept.
    #[arg(long)]
    kept: Option<PathBuf>,
    /// How many to send.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// At most so many a second.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Only recorded first handshake packets, unchanged.
    #[arg(long)]
    only_handshakes: bool,
    /// Only this text, in clear.
    #[arg(long)]
    text: Option<String>,
    /// Chooses the run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// First bytes: version 1 and the type of packet.
const REALM: u8 = 0x11;
const HS1: u8 = 0x12;
const DATA: u8 = 0x16;

impl Stranger {
    pub(crate) fn run(self) -> Outcome {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_nonblocking(true)?;
        let recorded = self.kept.as_deref().map(load).transpose()?.unwrap_or_default();
        let of = |kind: u8| recorded.iter().filter(move |it| it.first() == Some(&kind));
        let handshakes: Vec<&Vec<u8>> = of(HS1).collect::<BTreeSet<_>>().into_iter().collect();
        if self.only_handshakes && handshakes.is_empty() {
            return Err("no first handshake packet was recorded".into());
        }
        say(&format!(
            "ready recorded={} beacons={} handshakes={} data={}",
            recorded.len(),
            of(REALM).count(),
            handshakes.len(),
            of(DATA).count()
        ));
        let mut answers = Answers::default();
        let mut state = self.seed;
        let (mut sent, mut bytes) = (0, 0);
        let begun = Instant::now();
        for n in 0..self.count {
            let datagram = match (&self.text, self.only_handshakes) {
                (Some(text), _) => text.clone().into_bytes(),
                (None, true) => handshakes[n as usize % handshakes.len()].clone(),
                (None, false) => hostile(&recorded, &mut state),
            };
            let to = self.to[n as usize % self.to.len()];
            match socket.send_to(&datagram, to) {
                Ok(_) => (sent, bytes) = (sent + 1, bytes + datagram.len()),
                // A full buffer; or that a port was closed, told late.
                Err(error) if refused(&error) => {}
                Err(error) => return Err(error.into()),
            }
            answers.take(&socket)?;
            let due = Duration::from_secs_f64(n as f64 / self.rate as f64);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        say(&format!("sent datagrams={sent} bytes={bytes}"));
        for command in std::io::stdin().lock().lines() {
            command?;
            answers.take(&socket)?;
            say(&format!("answers datagrams={} bytes={}", answers.datagrams, answers.bytes));
        }
        Ok(())
    }
}

#[derive(Default)]
struct Answers {
    datagrams: u64,
    bytes: usize,
}

impl Answers {
    fn take(&mut self, socket: &UdpSocket) -> Outcome {
        let mut buffer = [0; 1 << 16];
        loop {
            match socket.recv(&mut buffer) {
                Ok(n) => (self.datagrams, self.bytes) = (self.datagrams + 1, self.bytes + n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if refused(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn refused(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused)
}

/// One hostile datagram: noise, or something that members sent, bent or as it was.
fn hostile(recorded: &[Vec<u8>], state: &mut u64) -> Vec<u8> {
    let draw = next(state);
    let kind = draw % 6;
    let model = match recorded.len() as u64 {
        0 => None,
        n => Some(&recorded[(next(state) % n) as usize]),
    };
    let noise = |state: &mut u64, length: u64| -> Vec<u8> {
        (0..length).map(|_| next(state) as u8).collect()
    };
    match (kind, model) {
        // A header that looks right, and noise under it.
        (1, _) | (2..=5, None) => {
            let first = [REALM, HS1, 0x13, 0x14, 0x15, DATA, 0x17, 0x18, 0x19, 0x1a];
            let length = 1 + next(state) % 1_200;
            let mut datagram = noise(state, length);
            datagram[0] = first[(draw >> 8) as usize % first.len()];
            datagram
        }
        // Cut short.
        (2, Some(model)) => model[..(draw >> 8) as usize % (model.len() + 1)].to_vec(),
        // One bit, anywhere: header, body or tag.
        (3, Some(model)) if !model.is_empty() => {
            let mut datagram = model.clone();
            let bit = (draw >> 8) as usize % (datagram.len() * 8);
            datagram[bit / 8] ^= 1 << (bit % 8);
            datagram
        }
        // The right header, a wrong mac.
        (4, Some(model)) => {
            let mut datagram = model.clone();
            let end = datagram.len().saturating_sub(16);
            datagram[end..].iter_mut().for_each(|byte| *byte = next(state) as u8);
            datagram
        }
        // Replayed as it was.
        (5, Some(model)) => model.clone(),
        _ => {
            let length = next(state) % 1_500;
            noise(state, length)
        }
    }
}

fn load(path: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path)?;
    let mut rest = &bytes[..];
    let mut all = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((payload, after)) = after.split_at_checked(length) else { break };
        all.push(payload.to_vec());
        rest = after;
    }
    Ok(all)
}
