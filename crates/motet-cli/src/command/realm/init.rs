//! `motet realm init [NAME]`.

use clap::Args;
use motet::Realms;

use super::show::RealmObject;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet realm init` is told.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// Its name; else that of --realm
    name: Option<String>,
}

pub(crate) fn run(args: InitArgs, context: &Context) -> Result<Exit, Failure> {
    let name = args.name.unwrap_or_else(|| context.global.realm.clone());
    let realms = Realms::open()?;
    let made = realms.init(&name)?;
    let realm = RealmObject::from(realms.show(&name)?);
    if !made {
        context.out.remark(format!("realm {name} was here already; nothing has changed"));
    }
    context.out.document(&realm, |realm| {
        format!(
            "realm {} ({})\ninvite another machine: motet realm invite {0}\n",
            realm.name, realm.fingerprint
        )
    })?;
    Ok(Exit::Done)
}
