//! `motet realm show [NAME]`.

use clap::Args;
use motet::{RealmInfo, Realms};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet realm show` is told.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The realm; else all of them
    name: Option<String>,
}

/// A realm for programs.
#[derive(Debug, Serialize)]
pub(crate) struct RealmObject {
    pub(crate) name: String,
    pub(crate) fingerprint: String,
    path: String,
}

impl From<RealmInfo> for RealmObject {
    fn from(info: RealmInfo) -> Self {
        let path = info.path.display().to_string();
        Self { name: info.name, fingerprint: info.fingerprint, path }
    }
}

pub(crate) fn run(args: ShowArgs, context: &Context) -> Result<Exit, Failure> {
    let realms = Realms::open()?;
    let names = match args.name {
        Some(name) => vec![name],
        None => realms.list()?,
    };
    let mut known = Vec::new();
    for name in names {
        known.push(RealmObject::from(realms.show(&name)?));
    }
    if known.is_empty() {
        context.out.remark("no realm here yet; make one with: motet realm init NAME");
    }
    context.out.table(&known, ["REALM", "FINGERPRINT", "FILE"], |realm| {
        [realm.name.clone(), realm.fingerprint.clone(), realm.path.clone()]
    })?;
    Ok(Exit::Done)
}
