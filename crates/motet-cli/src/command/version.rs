//! `motet version`.

use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};

#[derive(Debug, Serialize)]
struct Version {
    version: &'static str,
}

pub(crate) fn run(context: &Context) -> Result<Exit, Failure> {
    let version = Version { version: env!("CARGO_PKG_VERSION") };
    context.out.document(&version, |version| format!("motet {}\n", version.version))?;
    Ok(Exit::Done)
}
