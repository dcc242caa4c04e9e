//! `motet realm join [FILE]`: the line comes from stdin or a file, never from an argument, which
//! others could see.

use std::io::{self, Read};

use clap::Args;
use motet::Realms;

use super::show::RealmObject;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet realm join` is told.
#[derive(Args, Debug)]
pub(crate) struct JoinArgs {
    /// File that holds the line; - or nothing is stdin
    #[arg(default_value = "-")]
    file: String,
}

pub(crate) fn run(args: &JoinArgs, context: &Context) -> Result<Exit, Failure> {
    if args.file.starts_with("motet1-") {
        let what = "the line was given as an argument; others can read arguments; \
                    give it on stdin: motet realm join < FILE";
        return Err(Failure::usage(what));
    }
    let line = read(&args.file)?;
    let (info, stored) = Realms::open()?.join(line.trim())?;
    let realm = RealmObject::from(info);
    if !stored {
        context.out.remark(format!("realm {} was joined already", realm.name));
    }
    context.out.document(&realm, |realm| {
        format!(
            "joined realm {} ({})\nuse it: motet --realm {0} sub '**'\n",
            realm.name, realm.fingerprint
        )
    })?;
    Ok(Exit::Done)
}

fn read(file: &str) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::usage(format!("{file} cannot be read; {error}; name the file with the line"))
    };
    let mut line = String::new();
    if file == "-" {
        io::stdin().take(LINE_MAX).read_to_string(&mut line).map_err(failed)?;
    } else {
        let file = std::fs::File::open(file).map_err(failed)?;
        file.take(LINE_MAX).read_to_string(&mut line).map_err(failed)?;
    }
    Ok(line)
}

/// An invitation is far shorter, in bytes.
const LINE_MAX: u64 = 64 * 1024;
