//! `motet realm invite [NAME]`.

use clap::Args;
use motet::Realms;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet realm invite` is told.
#[derive(Args, Debug)]
pub(crate) struct InviteArgs {
    /// The realm; else that of --realm
    name: Option<String>,
}

#[derive(Serialize)]
struct Invitation<'a> {
    realm: &'a str,
    line: &'a str,
}

pub(crate) fn run(args: InviteArgs, context: &Context) -> Result<Exit, Failure> {
    let name = args.name.unwrap_or_else(|| context.global.realm.clone());
    let line = Realms::open()?.invite(&name)?;
    context.out.remark(format!(
        "whoever has this line is a full member of realm {name}; on the other machine: motet realm join"
    ));
    let invitation = Invitation { realm: &name, line: line.as_str() };
    context.out.document(&invitation, |invitation| format!("{}\n", invitation.line))?;
    Ok(Exit::Done)
}
