//! What `cargo xtask tidy` demands beyond the compiler and clippy.
//!
//! Each check is a function from texts to faults, so that its tests need no files.

mod files;
mod layers;
mod manifests;
mod words;

use crate::repo::Repo;
use crate::source::Source;
use crate::{Outcome, judge};

pub(crate) use words::mentions_std;

pub(crate) fn run(repo: &Repo) -> Outcome {
    let mut faults = Vec::new();
    let mut longest = Vec::new();
    for package in packages(repo) {
        let manifest = repo.read(&format!("{package}/Cargo.toml"))?;
        faults.extend(manifests::faults(&package, &manifest));

        let mut sources = Vec::new();
        for path in repo.files(&package, "rs") {
            let text = repo.read(&path)?;
            longest.push((text.lines().count(), path.clone()));
            sources.push((path, text));
        }
        faults.extend(files::refused_names(sources.iter().map(|(path, _)| path.as_str())));
        faults.extend(files::dead(&package, &manifest, &sources));
        let sources = files::with_test_modules(&sources);
        faults.extend(words::faults(&package, &sources));
        if package == "crates/motet-proto" {
            faults.extend(layers::faults(&sources));
        }
    }
    faults.extend(manifests::banned_in_lock(&repo.read("Cargo.lock")?));

    longest.sort();
    println!("the longest files:");
    for (lines, path) in longest.iter().rev().take(10) {
        println!("{lines:6}  {path}");
    }
    judge("tidy", &faults)
}

/// Every member of the workspace, as a folder.
fn packages(repo: &Repo) -> Vec<String> {
    let mut packages = repo.packages("crates");
    packages.extend(repo.packages("examples"));
    packages.push("xtask".into());
    packages
}

/// The parsed files of one package, with the modules that only tests compile marked as such.
pub(crate) fn sources_of(repo: &Repo, package: &str) -> Result<Vec<Source>, String> {
    let mut texts = Vec::new();
    for path in repo.files(package, "rs") {
        let text = repo.read(&path)?;
        texts.push((path, text));
    }
    Ok(files::with_test_modules(&texts))
}
