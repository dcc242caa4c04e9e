//! The peers' Debian packages.

use std::process::Command;

use crate::Outcome;

const PACKAGES: [&str; 11] = [
    "nats-server",
    "mosquitto",
    "libzmq3-dev",
    "cyclonedds-dev",
    "cyclonedds-tools",
    "pkg-config",
    "clang",
    "libclang-dev",
    "iproute2",
    "iptables",
    "ethtool",
];

/// Installs them. Packages that start a server of their own are kept from doing so.
pub(crate) fn install() -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        return Err("installing packages needs root".into());
    }
    run(Command::new("apt-get").arg("update"))?;
    let mut command = Command::new("apt-get");
    command.args(["install", "--yes", "--no-install-recommends"]).args(PACKAGES);
    // invoke-rc.d(8) starts nothing while this is set: the bench starts its own servers.
    run(command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1"))
}

fn run(command: &mut Command) -> Outcome {
    let status = command.status()?;
    status.success().then_some(()).ok_or_else(|| format!("{command:?}: {status}").into())
}
