//! Where and with what it was measured.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine and the versions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// UTC.
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) system: String,
    /// Load of the last minute before the run began.
    pub(crate) load: String,
    /// Settings of the kernel that the figures depend on.
    pub(crate) sysctl: Vec<String>,
    /// Peers and their versions.
    pub(crate) versions: Vec<String>,
}

impl Machine {
    /// Reads it.
    pub(crate) fn read() -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = file("/proc/cpuinfo");
        let cpu = value(&cpuinfo, "model name", ':').unwrap_or("unknown").to_owned();
        let release = file("/etc/os-release");
        let system = value(&release, "PRETTY_NAME", '=').unwrap_or_default().replace('"', "");
        let load = file("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
        let sysctl = ["net/core/rmem_max", "net/core/wmem_max", "net/ipv4/tcp_congestion_control"];
        let read = |name: &str| {
            format!("{} = {}", name.replace('/', "."), file(&format!("/proc/sys/{name}")).trim())
        };
        Self {
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            cpu,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            system,
            load,
            sysctl: sysctl.map(read).to_vec(),
            versions: versions(),
        }
    }

    /// One line.
    pub(crate) fn line(&self) -> String {
        let Self { date, cpu, cores, kernel, system, load, .. } = self;
        format!("{date}; {cores} × {cpu}; {system}, Linux {kernel}; load before: {load}")
    }
}

fn value<'a>(text: &'a str, key: &str, separator: char) -> Option<&'a str> {
    let pairs = text.lines().filter_map(|line| line.split_once(separator));
    pairs.map(|(k, v)| (k.trim(), v.trim())).find(|(k, _)| *k == key).map(|(_, v)| v)
}

fn said(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().map(|out| out.stdout).unwrap_or_default();
    String::from_utf8_lossy(&out).trim().to_owned()
}

/// Crates as locked, packages as installed.
fn versions() -> Vec<String> {
    let lock = include_str!("../Cargo.lock");
    let crates = ["motet", "zenoh", "zmq", "async-nats", "rumqttc", "iceoryx2", "rusteron-client"];
    let of_crate = |name: &str| {
        let after = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1)?;
        Some(format!("{name} {}", after.split('"').next()?))
    };
    let packages = ["nats-server", "mosquitto", "libzmq5", "cyclonedds-dev"];
    let of_package = |name: &str| {
        let version = said("dpkg-query", &["--show", "--showformat=${Version}", name]);
        (!version.is_empty()).then(|| format!("{name} {version} (Debian)"))
    };
    let crates = crates.iter().filter_map(|name| of_crate(name));
    crates.chain(packages.iter().filter_map(|name| of_package(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locked_version_of_motet_is_found() {
        assert!(versions().iter().any(|line| line.starts_with("motet 0.")));
    }

    #[test]
    fn values_are_found_by_their_key() {
        assert_eq!(value("a : 1\nmodel name : X Y\n", "model name", ':'), Some("X Y"));
        assert_eq!(value("", "model name", ':'), None);
    }
}
