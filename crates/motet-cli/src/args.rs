//! What can be typed: the verbs, and the flags that all of them share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, ValueEnum};

use crate::command::Command;
use crate::quantity;

/// Programs on a network share data and offer services by name: no addresses, no ports, no broker.
#[derive(Debug, Parser)]
#[command(name = "motet", version, about, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The verb.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every verb. Each can be given as a variable of the environment too.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Realm to be in; made at first use
    #[arg(
        long,
        global = true,
        value_name = "R",
        env = "MOTET_REALM",
        default_value = "default",
        hide_env = true
    )]
    pub(crate) realm: String,

    /// Name of this endpoint; if another live endpoint has it, the command ends with 4
    #[arg(long, global = true, value_name = "N", env = "MOTET_NAME", hide_env = true)]
    pub(crate) name: Option<String>,

    /// Interfaces to use, as globs; with ! in front, not to use
    #[arg(
        long,
        global = true,
        value_name = "GLOB",
        env = "MOTET_INTERFACE",
        value_delimiter = ',',
        hide_env = true
    )]
    pub(crate) interface: Vec<String>,

    /// Peer to try where multicast does not reach: HOST, HOST:PORT, or @FILE with one a line
    #[arg(
        long,
        global = true,
        value_name = "EP",
        env = "MOTET_PEER",
        value_delimiter = ',',
        hide_env = true
    )]
    pub(crate) peer: Vec<String>,

    /// Port or address to listen on, instead of the first free one of 37321-37384
    #[arg(long, global = true, value_name = "EP", env = "MOTET_LISTEN", hide_env = true)]
    pub(crate) listen: Option<String>,

    /// Address to tell others instead of those of the interfaces
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        env = "MOTET_ADVERTISE",
        value_delimiter = ',',
        hide_env = true
    )]
    pub(crate) advertise: Vec<std::net::IpAddr>,

    /// Tag of this endpoint, by which others can choose it
    ///
    /// With `endpoint list`: list only those whose tag K is V, a regular expression. There is no
    /// variable of the environment for it, so that none is left out of a list by accident.
    #[arg(long, global = true, value_name = "K=V", value_parser = quantity::tag)]
    pub(crate) tag: Vec<(String, String)>,

    /// Group that discovery uses, or off
    #[arg(
        long,
        global = true,
        value_name = "ADDR:PORT|off",
        env = "MOTET_MULTICAST",
        hide_env = true
    )]
    pub(crate) multicast: Option<String>,

    /// How far to reach
    #[arg(
        long,
        global = true,
        value_enum,
        env = "MOTET_SCOPE",
        default_value = "lan",
        hide_env = true
    )]
    pub(crate) scope: Scope,

    /// File of this endpoint's key; without it the key is fresh at every start
    #[arg(long, global = true, value_name = "FILE", env = "MOTET_KEY", hide_env = true)]
    pub(crate) key: Option<PathBuf>,

    /// When silent peers are given up: fast (1 s), normal (5 s), lazy (30 s), or RATExN as 500msx3
    #[arg(
        long,
        global = true,
        value_name = "PROFILE",
        env = "MOTET_LIVENESS",
        default_value = "normal",
        hide_env = true
    )]
    pub(crate) liveness: String,

    /// How long to wait for others
    #[arg(long, global = true, value_name = "DUR", env = "MOTET_TIMEOUT", default_value = "5s", value_parser = quantity::duration, hide_env = true)]
    pub(crate) timeout: Duration,

    /// Look for messages for so many microseconds before sleeping: quicker answers, a busy core
    #[arg(
        long,
        global = true,
        value_name = "MICROS",
        env = "MOTET_SPIN",
        default_value_t = 0,
        hide_default_value = true,
        hide_env = true
    )]
    pub(crate) spin: u32,

    /// Form of the output
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        env = "MOTET_OUTPUT",
        default_value = "text",
        hide_env = true
    )]
    pub(crate) output: Format,

    /// No remarks on stderr, only errors
    #[arg(long, global = true, env = "MOTET_QUIET", action = ArgAction::SetTrue, hide_env = true)]
    pub(crate) quiet: bool,

    /// What to tell on stderr about the endpoint itself
    #[arg(
        long,
        global = true,
        value_enum,
        env = "MOTET_LOG",
        default_value = "warn",
        hide_env = true
    )]
    pub(crate) log: Log,

    /// Colours
    #[arg(
        long,
        global = true,
        value_enum,
        env = "MOTET_COLOR",
        default_value = "auto",
        hide_env = true
    )]
    pub(crate) color: Color,

    /// Faults between socket and core, to try things out: loss=5%,dup=1%,reorder=2%,corrupt=0.1%,seed=7
    #[arg(long, global = true, value_name = "FAULTS", env = "MOTET_IMPAIR", hide_env = true)]
    pub(crate) impair: Option<String>,

    /// Be in an open realm: encrypted, but anybody may join and nobody is authenticated
    #[arg(long, global = true, env = "MOTET_INSECURE", action = ArgAction::SetTrue, hide_env = true)]
    pub(crate) insecure: bool,
}

/// How far an endpoint reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// This host only.
    Host,
    /// The networks this host is on.
    Lan,
}

/// Form of what goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One document; one object a line from verbs that stream.
    Json,
    /// One object a line.
    Jsonl,
    /// Not in this version.
    Yaml,
}

/// What is told on stderr about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Log {
    /// Nothing.
    Off,
    /// Conflicts, mismatches, readers that are too slow.
    Warn,
    /// Peers, readers and writers that come and go.
    Info,
    /// Every event.
    Debug,
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
