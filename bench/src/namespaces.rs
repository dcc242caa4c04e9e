//! Two network namespaces with a pair of virtual cards between them: MTU 1500, offloads off, packets
//! dropped at random on arrival at either end.
//!
//! They have no names: each lives as long as the process that holds it, so nothing is left behind
//! even when this program is killed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Failure, Process, one_line};

/// Addresses of the two ends.
pub(crate) const HOSTS: [&str; 2] = ["10.213.0.1", "10.213.0.2"];
/// Names of the cards.
pub(crate) const CARDS: [&str; 2] = ["bench0", "bench1"];

/// How long a card may take until it is running.
const RUNNING_LIMIT: Duration = Duration::from_secs(5);

/// The pair; both ends go away with it.
#[derive(Debug)]
pub(crate) struct Namespaces {
    ends: [Process; 2],
}

impl Namespaces {
    /// Makes the pair.
    pub(crate) fn new(drop_percent: u32) -> Result<Self, Failure> {
        if !nix::unistd::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let ends = [hold()?, hold()?];
        let made = Self { ends };
        let right = made.ends[1].id().to_string();
        let [a, b] = CARDS;
        made.run(
            0,
            &[
                "ip", "link", "add", a, "mtu", "1500", "type", "veth", "peer", "name", b, "mtu",
                "1500", "netns", &right,
            ],
        )?;
        for end in 0..2 {
            let (card, host) = (CARDS[end], format!("{}/24", HOSTS[end]));
            made.run(
                end,
                &[
                    "ethtool", "-K", card, "tso", "off", "gso", "off", "gro", "off", "tx", "off",
                    "rx", "off", "sg", "off",
                ],
            )?;
            made.run(end, &["ip", "addr", "add", &host, "dev", card])?;
            made.run(end, &["ip", "link", "set", "lo", "up"])?;
            made.run(end, &["ip", "link", "set", card, "up"])?;
            if drop_percent > 0 {
                let share = format!("{:.2}", f64::from(drop_percent) / 100.0);
                made.run(
                    end,
                    &[
                        "iptables",
                        "-A",
                        "INPUT",
                        "-i",
                        card,
                        "-m",
                        "statistic",
                        "--mode",
                        "random",
                        "--probability",
                        &share,
                        "-j",
                        "DROP",
                    ],
                )?;
            }
        }
        made.wait_for_cards()?;
        Ok(made)
    }

    /// The kernel says up to a second later than `ip link set up` that a card is running. Who starts
    /// before may overlook it: Zenoh's publisher then stays silent for good.
    fn wait_for_cards(&self) -> Result<(), Failure> {
        let until = Instant::now() + RUNNING_LIMIT;
        for (end, card) in CARDS.iter().enumerate() {
            let look = format!("ip -brief link show dev {card} | grep -q ' UP '");
            while self.run(end, &["sh", "-c", &look]).is_err() {
                if Instant::now() > until {
                    return Err(format!("{card} is not up after {RUNNING_LIMIT:?}"));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    /// The words in front of a command that is to run at one end.
    pub(crate) fn enter(&self, end: usize) -> Vec<String> {
        let net = format!("--net=/proc/{}/ns/net", self.ends[end].id());
        ["nsenter", &net, "--"].map(str::to_owned).to_vec()
    }

    fn run(&self, end: usize, command: &[&str]) -> Result<(), Failure> {
        let words = self.enter(end);
        let out = Command::new(&words[0]).args(&words[1..]).args(command).output();
        let out = out.map_err(|error| format!("{}: {error}", words[0]))?;
        let said = String::from_utf8_lossy(&out.stderr);
        out.status
            .success()
            .then_some(())
            .ok_or_else(|| format!("{}: {}", command[0], one_line(said.trim())))
    }
}

fn hold() -> Result<Process, Failure> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let me = me.display().to_string();
    let before = [me.as_str(), "supervised", "--", "unshare", "--net", "--"].map(str::to_owned);
    let process = Process::start(Path::new(&me), &before, &["hold".to_owned()], &[])?;
    process.ready(Duration::from_secs(5))?;
    Ok(process)
}
