//! What tells this host from every other.

use std::fs;

/// Machine id followed by boot id, as the files hold them without white space: the same for all
/// processes of one boot of one machine, and different elsewhere. Meant to be hashed before anybody
/// else sees it, as `machine-id(5)` asks.
///
/// In a container without a machine id the boot id alone remains, which is the host's. Empty only
/// where neither file can be read.
#[must_use]
pub fn host_id_source() -> Vec<u8> {
    let machine = first_of(&["/etc/machine-id", "/var/lib/dbus/machine-id"]);
    let boot = first_of(&["/proc/sys/kernel/random/boot_id"]);
    [machine, boot].concat()
}

fn first_of(paths: &[&str]) -> Vec<u8> {
    let contents = paths.iter().filter_map(|path| fs::read(path).ok());
    contents
        .map(|bytes| bytes.trim_ascii().to_vec())
        .find(|bytes| !bytes.is_empty())
        .unwrap_or_default()
}
