//! Variables of the environment that nobody reads.

use crate::nearest::nearest;

/// Says on stderr which `MOTET_*` variables are unknown, with the nearest name: a typo is not to be
/// ignored in silence.
pub(crate) fn report_unknown(quiet: bool) {
    if quiet {
        return;
    }
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("MOTET_")) else { continue };
        if KNOWN.contains(&name) {
            continue;
        }
        match nearest(name, KNOWN.iter().copied()) {
            Some(near) => eprintln!("warning: {name} is no setting of motet; did you mean {near}?"),
            None => eprintln!("warning: {name} is no setting of motet; see: motet --help"),
        }
    }
}

/// Each is a global flag, but for the directory of the realms' secrets.
const KNOWN: &[&str] = &[
    "MOTET_REALM",
    "MOTET_NAME",
    "MOTET_INTERFACE",
    "MOTET_PEER",
    "MOTET_LISTEN",
    "MOTET_ADVERTISE",
    "MOTET_MULTICAST",
    "MOTET_SCOPE",
    "MOTET_KEY",
    "MOTET_LIVENESS",
    "MOTET_TIMEOUT",
    "MOTET_SPIN",
    "MOTET_OUTPUT",
    "MOTET_QUIET",
    "MOTET_LOG",
    "MOTET_COLOR",
    "MOTET_IMPAIR",
    "MOTET_INSECURE",
    "MOTET_STATE",
];
