//! cargo-deny: bans, licences and sources always, advisories where their database can be had.

use std::process::Stdio;

use crate::Outcome;
use crate::repo::Repo;

const VERSION: &str = "0.20.2";

/// Longest wait for the advisory database, in seconds: a filtered network may never answer.
const FETCH_SECONDS: &str = "60";

pub(crate) fn run(repo: &Repo) -> Outcome {
    repo.require_cargo_tool("deny", VERSION)?;
    repo.cargo(&["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])?;
    let fetched = repo
        .command("timeout", &[FETCH_SECONDS, "cargo", "deny", "fetch", "db"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if fetched.is_ok_and(|status| status.success()) {
        repo.cargo(&["deny", "check", "--disable-fetch", "advisories"])
    } else {
        println!("advisories skipped: no database");
        Ok(())
    }
}
