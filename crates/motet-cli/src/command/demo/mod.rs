//! `motet demo`: discovery, encryption, repair and recovery, shown with real processes on real
//! sockets. Every number in it comes from the endpoints' own reports.

mod cast;
pub(crate) mod endpoint;
mod scene;
mod stage;

use std::path::PathBuf;

use clap::Args;

use self::stage::Stage;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet demo` is told.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Keep the temporary state directory
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(args: DemoArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = Folder::make(args.keep)?;
    let mut stage = Stage::new(context, folder.path.clone())?;
    let played = scene::play(&mut stage).await;
    stage.close().await;
    drop(folder);
    match played {
        Ok(()) => Ok(Exit::Done),
        Err(failure) => Err(failure),
    }
}

/// A temporary directory, removed when it is dropped.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn make(keep: bool) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("motet-demo-{:016x}", stage::chance()));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|error| {
            let what = format!("{} cannot be made; {error}; set TMPDIR", path.display());
            Failure::new(Exit::Failed, "M0401", what)
        })?;
        Ok(Self { path, keep })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is left to the system's own sweep of temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
