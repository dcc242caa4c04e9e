//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::case::Case;
use crate::row::Peer;

/// motet and the systems people would pick instead, side by side on one machine.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Measure, print one table of ratios, write JSON and plots
    Compare(Compare),
    /// Install the peers' Debian packages (as root)
    Install,
    /// Write tables and plots anew from results.json
    Render {
        /// Where results.json is
        #[arg(long, value_name = "DIR", default_value = RESULTS)]
        out: PathBuf,
    },
    #[command(hide = true)]
    Supervised {
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    #[command(hide = true)]
    Hold,
}

#[derive(Debug, Parser)]
pub(crate) struct Compare {
    /// Peers, separated by commas [default: all]
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "PEER,…",
        hide_default_value = true
    )]
    pub(crate) peers: Vec<Peer>,

    /// Cases, separated by commas [default: all; with --quick one of each kind]
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "CASE,…",
        hide_default_value = true
    )]
    pub(crate) cases: Vec<Case>,

    /// Rounds over the peers [default: 5; with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: Option<u32>,

    /// Short windows, one round: under three minutes once everything is built
    #[arg(long)]
    pub(crate) quick: bool,

    /// Where results.json, results.md and the plots go
    #[arg(long, value_name = "DIR", default_value = RESULTS)]
    pub(crate) out: PathBuf,

    /// Let motet spin before it sleeps, for so many microseconds, in the case `spin`
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) spin: Option<u64>,
}

const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        for (option, known) in [("--peers", "zenoh"), ("--cases", "fan64")] {
            let error = Args::try_parse_from(["x", "compare", option, "frob"]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("frob") && text.contains(known), "{text}");
        }
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let args = Args::try_parse_from(["x", "compare", "--peers", "motet,zmq"]).unwrap();
        let Action::Compare(compare) = args.action else { panic!("{args:?}") };
        assert_eq!(compare.peers, [Peer::Motet, Peer::Zmq]);
    }
}
