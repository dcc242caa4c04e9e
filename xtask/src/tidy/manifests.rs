//! Who may depend on whom, read from the manifests.

use toml::Table;

/// What one member of the workspace may depend on.
struct Direction {
    /// Folder, or its start if it ends in `/`.
    package: &'static str,
    /// Members of the workspace it may import.
    internal: &'static [&'static str],
    external: External,
}

enum External {
    /// Nothing else: a new dependency is a decision, taken here.
    Only(&'static [&'static str]),
    /// Anything but these.
    Not(&'static [&'static str]),
}

use External::{Not, Only};

const DIRECTIONS: &[Direction] = &[
    Direction { package: "crates/motet-wire", internal: &[], external: Only(&[]) },
    Direction {
        package: "crates/motet-proto",
        internal: &["motet-wire"],
        external: Only(&["bytes", "chacha20", "foca", "libm", "rand", "rand_core"]),
    },
    Direction {
        package: "crates/motet-crypto",
        internal: &["motet-proto", "motet-wire"],
        external: Not(&["tokio", "socket2", "rustix", "libc", "quinn-udp", "if-addrs", "ring"]),
    },
    Direction {
        package: "crates/motet-sim",
        internal: &["motet-proto", "motet-wire", "motet-crypto"],
        external: Not(&["tokio", "socket2", "rustix", "libc", "quinn-udp", "if-addrs"]),
    },
    Direction { package: "crates/motet-net", internal: &[], external: Not(&["tokio", "mio"]) },
    Direction {
        package: "crates/motet",
        internal: &["motet-proto", "motet-crypto", "motet-net"],
        external: Not(&["clap", "axum"]),
    },
    Direction {
        package: "crates/motet-store",
        internal: &["motet"],
        external: Not(&["axum", "clap"]),
    },
    Direction { package: "crates/motet-gateway", internal: &["motet"], external: Not(&["clap"]) },
    Direction {
        package: "crates/motet-cli",
        internal: &["motet", "motet-store", "motet-gateway"],
        external: Not(&[]),
    },
    Direction {
        package: "examples/",
        // Families of programs share their words.
        internal: &[
            "motet",
            "motet-store",
            "motet-gateway",
            "motet-example-words",
            "motet-example-translation",
        ],
        external: Not(&[]),
    },
    Direction { package: "xtask", internal: &[], external: Not(&[]) },
];

/// Packages that no build of ours may hold: one crypto provider is enough.
const BANNED: &[&str] = &["ring"];

pub(super) fn faults(package: &str, manifest: &str) -> Vec<String> {
    let Some(direction) = DIRECTIONS.iter().find(|it| {
        it.package == package || it.package.ends_with('/') && package.starts_with(it.package)
    }) else {
        return vec![format!("{package}: say in xtask/src/tidy/manifests.rs what it may import")];
    };
    let manifest: Table = match manifest.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("{package}/Cargo.toml: {error}")],
    };
    let mut faults = Vec::new();
    for (kind, name) in dependencies(&manifest) {
        let internal = name == "motet" || name.starts_with("motet-");
        let refused = if internal {
            // Tests may run in the simulator, which ships in nothing.
            let for_tests = kind == "dev-dependencies" && name == "motet-sim";
            !for_tests && !direction.internal.contains(&name.as_str())
        } else if kind == "dev-dependencies" {
            false
        } else {
            match direction.external {
                Only(allowed) => !allowed.contains(&name.as_str()),
                Not(denied) => denied.contains(&name.as_str()),
            }
        };
        if refused {
            faults.push(format!("{package}/Cargo.toml: {kind} must not name {name}"));
        }
    }
    if !inherits_lints(&manifest) {
        faults.push(format!("{package}/Cargo.toml: [lints] workspace = true is missing"));
    }
    faults
}

fn inherits_lints(manifest: &Table) -> bool {
    manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true)
}

/// Kind and package name of every dependency, those of single targets included.
fn dependencies(manifest: &Table) -> Vec<(&'static str, String)> {
    let targets = manifest.get("target").and_then(|it| it.as_table());
    let per_target = targets.into_iter().flat_map(|it| it.values().filter_map(|it| it.as_table()));
    let mut found = Vec::new();
    for section in std::iter::once(manifest).chain(per_target) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = section.get(kind).and_then(|it| it.as_table()) else { continue };
            for (key, value) in table {
                let renamed = value.get("package").and_then(|it| it.as_str());
                found.push((kind, renamed.unwrap_or(key).to_owned()));
            }
        }
    }
    found
}

pub(super) fn banned_in_lock(lock: &str) -> Vec<String> {
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names
        .filter(|name| BANNED.contains(name))
        .map(|name| format!("Cargo.lock: holds {name}; `cargo tree -i {name}` says through whom"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    #[test]
    fn a_core_crate_that_imports_a_runtime_is_refused() {
        let manifest = format!("{LINTS}[dependencies]\nmotet-wire.workspace = true\ntokio = \"1\"");

        assert_eq!(
            faults("crates/motet-proto", &manifest),
            ["crates/motet-proto/Cargo.toml: dependencies must not name tokio"]
        );
    }

    #[test]
    fn the_command_never_reaches_below_the_library() {
        let manifest = format!("{LINTS}[target.'cfg(unix)'.dependencies]\nmotet-net = \"1\"");

        assert_eq!(faults("crates/motet-cli", &manifest).len(), 1);
        assert_eq!(faults("examples/words", &manifest).len(), 1);
        assert!(faults("crates/motet", &manifest).is_empty());
    }

    #[test]
    fn a_new_name_for_a_package_hides_nothing() {
        let manifest = format!(
            "{LINTS}[dependencies]\nwire = {{ package = \"motet-wire\", version = \"1\" }}"
        );

        assert_eq!(faults("crates/motet-net", &manifest).len(), 1);
    }

    #[test]
    fn tests_may_use_the_simulator_and_any_outside_crate() {
        let manifest = format!("{LINTS}[dev-dependencies]\nmotet-sim = \"1\"\nproptest = \"1\"");

        assert!(faults("crates/motet-proto", &manifest).is_empty());
    }

    #[test]
    fn an_unknown_crate_has_to_be_placed_first() {
        assert_eq!(faults("crates/motet-new", LINTS).len(), 1);
        assert_eq!(faults("crates/motet-wire", "").len(), 1, "lints are not inherited");
    }

    #[test]
    fn a_lock_file_with_a_second_crypto_provider_is_refused() {
        assert_eq!(banned_in_lock("[[package]]\nname = \"ring\"\nversion = \"0.17\"").len(), 1);
        assert!(banned_in_lock("name = \"ring-buffer\"").is_empty());
    }
}
