//! Realms of this user on this host.

mod init;
mod invite;
mod join;
mod show;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What can be done with realms.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a realm with a fresh secret
    Init(init::InitArgs),
    /// Print the line that makes whoever has it a full member
    Invite(invite::InviteArgs),
    /// Become a member by such a line, from stdin or a file
    Join(join::JoinArgs),
    /// What is known of a realm, or of all of them, without the secret
    #[command(visible_aliases = ["list", "ls"])]
    Show(show::ShowArgs),
}

pub(crate) fn run(verb: Verb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => init::run(args, context),
        Verb::Invite(args) => invite::run(args, context),
        Verb::Join(args) => join::run(&args, context),
        Verb::Show(args) => show::run(args, context),
    }
}
