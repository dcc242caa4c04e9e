//! Sees every frame of its namespace, looks for words in clear and keeps the datagrams.
//!
//! Says `ready`; answers `report` by `report frames=… longest=… fragments=… found=WORD,…`.

use std::fs::File;
use std::io::{BufRead, BufWriter, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use socket2::{Domain, Protocol, Socket, Type};

use crate::frames::Frame;
use crate::{Outcome, say};

#[derive(Args)]
pub(crate) struct Witness {
    /// Words to look for.
    #[arg(long)]
    word: Vec<String>,
    /// Keeps the first datagrams here: for each its length (u32, little-endian) and its payload.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// `ETH_P_ALL` of linux/if_ether.h, in network order.
const ALL_PROTOCOLS: i32 = 0x0003_u16.to_be() as i32;
/// Datagrams kept at most.
const KEPT_MAX: u64 = 20_000;

impl Witness {
    pub(crate) fn run(self) -> Outcome {
        let mut socket =
            Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(ALL_PROTOCOLS)))?;
        socket.set_recv_buffer_size(4 << 20)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?; // how soon a command is seen
        let mut keep = self.keep.as_ref().map(File::create).transpose()?.map(BufWriter::new);
        let (sender, commands) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = std::io::stdin().lock().lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        say("ready");
        let (mut frames, mut longest, mut fragments, mut kept) = (0u64, 0, 0u64, 0u64);
        let mut found = vec![false; self.word.len()];
        let mut buffer = vec![0; 1 << 16];
        let mut asked = None;
        loop {
            match commands.try_recv() {
                Ok(_) => asked = Some(Instant::now()),
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            }
            let n = match socket.read(&mut buffer) {
                Ok(n) => n,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    0
                }
                // The interface went down or away: others may still talk.
                Err(error) if error.raw_os_error() == Some(ENETDOWN) => continue,
                Err(error) => return Err(error.into()),
            };
            // What came before the question is seen when nothing waits, or soon after it.
            if asked.is_some_and(|at: Instant| n == 0 || at.elapsed() > AFTER) {
                asked = None;
                let words = self.word.iter().zip(&found).filter(|(_, found)| **found);
                let found = words.map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(",");
                if let Some(keep) = &mut keep {
                    keep.flush()?;
                }
                say(&format!(
                    "report frames={frames} longest={longest} fragments={fragments} kept={kept} \
                     found={found}"
                ));
            }
            if n == 0 {
                continue;
            }
            let bytes = &buffer[..n];
            let frame = Frame::read(bytes);
            frames += 1;
            longest = longest.max(frame.ip_length);
            fragments += u64::from(frame.fragment);
            for (word, found) in self.word.iter().zip(&mut found) {
                *found =
                    *found || bytes.windows(word.len()).any(|window| window == word.as_bytes());
            }
            if let (Some(keep), Some(payload)) = (&mut keep, frame.payload)
                && kept < KEPT_MAX
            {
                keep.write_all(&(payload.len() as u32).to_le_bytes())?;
                keep.write_all(payload)?;
                kept += 1;
            }
        }
    }
}

/// How long a witness that never rests looks on before it reports.
const AFTER: Duration = Duration::from_millis(500);
/// errno(3) on Linux.
const ENETDOWN: i32 = 100;
