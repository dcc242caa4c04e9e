//! `cargo xtask lab`: real packets between network namespaces, one line of figures per scenario.
//!
//! Needs root and `ip`; faults are made with `iptables`. Everything happens in namespaces of this
//! run, which a janitor process removes however the run ends.
#![allow(clippy::disallowed_methods, reason = "real processes and packets, in real time")]

mod discovery;
mod entry;
mod figures;
mod hostile;
mod lanes;
mod many;
mod net;
mod process;
mod services;
mod sessions;
mod streams;

use std::path::PathBuf;
use std::time::Duration;

use figures::Figures;
use net::Net;

use crate::Outcome;
use crate::repo::Repo;

/// What scenarios run in.
struct Lab {
    /// The program `motet-lab`.
    program: PathBuf,
    /// Removed at the end: the realm's secret, recordings.
    directory: PathBuf,
    net: Net,
    /// Fewer messages and rounds: for tests.
    quick: bool,
}

/// A scenario prints what it measured, whether its promise held or not.
type Scenario = fn(&Lab, &mut Figures) -> Outcome;

/// Name, seconds it may take, and what it does.
const SCENARIOS: &[(&str, u64, Scenario)] = &[
    ("bulk", 600, streams::bulk),
    ("first-message", 180, discovery::first_message),
    ("death", 90, sessions::death),
    ("address", 120, sessions::address),
    ("no-multicast", 60, discovery::no_multicast),
    ("ipv6", 60, discovery::ipv6),
    ("mtu", 120, streams::mtu),
    ("stranger", 180, hostile::stranger),
    ("starters", 60, discovery::starters),
    ("capture", 60, hostile::capture),
    ("cloud", 120, entry::cloud),
    ("many", 600, many::many),
    ("services", 300, services::services),
    ("lane-cost", 300, lanes::cost),
    ("lane-loss", 600, lanes::loss),
    ("lane-laggards", 180, lanes::laggards),
    ("lane-cut", 120, lanes::cut),
    ("lane-snooping", 120, lanes::snooping),
];

pub(crate) fn run(repo: &Repo, arguments: &[&str]) -> Outcome {
    let names = || SCENARIOS.iter().map(|(name, ..)| *name);
    let mut wanted = Vec::new();
    let (mut json, mut quick) = (false, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "-o" => json = rest.next() == Some(&"json"),
            "--quick" => quick = true,
            "lanes" => wanted.extend(names().filter(|name| name.starts_with("lane-"))),
            name => wanted.push(name),
        }
    }
    if let Some(unknown) = wanted.iter().find(|name| SCENARIOS.iter().all(|it| it.0 != **name)) {
        let known = names().collect::<Vec<_>>().join(", ");
        return Err(format!(
            "no scenario `{unknown}`; there are: {known}, and lanes for all of them"
        ));
    }
    net::possible()?;
    let program = program(repo)?;
    let mut faults = Vec::new();
    for (name, seconds, scenario) in SCENARIOS {
        if !wanted.is_empty() && !wanted.contains(name) {
            continue;
        }
        let directory = std::env::temp_dir().join(format!("motet-lab-{}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let _watchdog = process::Watchdog::start(name, Duration::from_secs(*seconds));
        let lab = Lab { program: program.clone(), net: Net::open(&directory)?, directory, quick };
        let mut figures = Figures::of(name);
        let outcome = scenario(&lab, &mut figures);
        figures.print(outcome.as_ref().err().map(String::as_str), json);
        faults.extend(outcome.err().map(|reason| format!("{name}: {reason}")));
    }
    crate::judge("lab", &faults)
}

/// The program to run: the one named by `MOTET_LAB`, else a release build of it.
fn program(repo: &Repo) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("MOTET_LAB") {
        return Ok(path.into());
    }
    repo.cargo(&["build", "--quiet", "--release", "--package", "motet-example-lab"])?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo.path("target"), PathBuf::from);
    Ok(target.join("release/motet-lab"))
}

/// Breaks the scenario with this reason unless the promise holds.
fn demand(holds: bool, promise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(promise()) }
}
