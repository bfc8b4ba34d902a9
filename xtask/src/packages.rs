//! What is published: packages are made without a network, carry nothing that does not belong in
//! them, and compile by themselves.

use crate::shell::{cargo, command, root, run, target_dir};
use crate::steps::Outcome;
use std::fs;
use std::path::{Path, PathBuf};

/// Package and folder in the repository.
const PACKAGES: [(&str, &str); 3] =
    [("minionn-core", "core"), ("minionn", ""), ("minionn-host", "host")];

/// Where a file of a package may be.
const FOLDERS: [&str; 4] = ["src/", "ffi/", "include/", "examples/"];

/// Beside these, at the top.
const FILES: [&str; 9] = [
    ".cargo_vcs_info.json",
    "Cargo.lock",
    "Cargo.toml",
    "Cargo.toml.orig",
    "LICENSE",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "build.rs",
];

/// Most bytes of a file: trained networks and vectors are larger.
const LARGEST: u64 = 200 << 10;

pub(crate) fn check() -> Result<Outcome, String> {
    let names: Vec<String> = PACKAGES
        .iter()
        .flat_map(|(name, _)| ["--package".to_owned(), (*name).to_owned()])
        .collect();
    // Whoever is at work has changes; what is built from them is checked here.
    run(cargo("package --quiet --offline --no-verify --allow-dirty").args(&names))?;
    let folder = target_dir().join("package-check");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut sizes = Vec::new();
    for (name, at) in PACKAGES {
        let (bytes, unpacked) = unpack(name, &folder)?;
        let foreign = foreign(&unpacked)?;
        if !foreign.is_empty() {
            return Err(format!("package {name} carries {}", foreign.join(", ")));
        }
        move_to(&unpacked, &folder.join("tree").join(at))?;
        sizes.push(format!("{name} {} kB", bytes.div_ceil(1000)));
    }
    compile(&folder.join("tree"))?;
    Ok(Outcome::Passed(sizes.join(", ")))
}

/// Unpacks the archive of a package. Returns its bytes, and where it is.
fn unpack(name: &str, folder: &Path) -> Result<(u64, PathBuf), String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))
        .map_err(|error| format!("Cargo.toml: {error}"))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .ok_or("Cargo.toml has no version")?;
    let name = format!("{name}-{version}");
    let archive = target_dir().join("package").join(format!("{name}.crate"));
    let bytes =
        fs::metadata(&archive).map_err(|error| format!("{}: {error}", archive.display()))?;
    run(command("tar --extract --gzip --file").arg(&archive).arg("--directory").arg(folder))?;
    Ok((bytes.len(), folder.join(name)))
}

/// Files that no package should have.
fn foreign(package: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut folders = vec![package.to_owned()];
    while let Some(folder) = folders.pop() {
        let fail = |error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let size = fs::metadata(&path).map_err(fail)?.len();
            let name = path.strip_prefix(package).unwrap_or(&path).to_string_lossy().into_owned();
            if !belongs(&name, size) {
                found.push(format!("{name} ({size} bytes)"));
            }
        }
    }
    Ok(found)
}

fn belongs(name: &str, size: u64) -> bool {
    let known = FILES.contains(&name) || FOLDERS.iter().any(|folder| name.starts_with(folder));
    known && size <= LARGEST
}

fn move_to(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    for entry in fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))? {
        let entry = entry.map_err(|error| error.to_string())?;
        fs::rename(entry.path(), to.join(entry.file_name())).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Checks the packages as members of a workspace whose root, the C ABI, has our profiles, with our
/// lock file: so the crates that they depend on are those that the lints have checked already.
fn compile(tree: &Path) -> Result<(), String> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let manifest = tree.join("Cargo.toml");
    let mut text = read(&manifest)?;
    text += "\n[workspace]\nmembers = [\"core\", \"host\"]\nresolver = \"3\"\n";
    text += "\n[patch.crates-io]\nminionn-core = { path = \"core\" }\n";
    fs::write(&manifest, text).map_err(|error| format!("{}: {error}", manifest.display()))?;
    fs::copy(root().join("Cargo.lock"), tree.join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    // The lock file loses what our own tools need.
    let mut command = cargo("metadata --offline --format-version 1");
    run(command.current_dir(tree))?;
    let mut command = cargo("check --quiet --offline --workspace --target-dir");
    run(command.arg(target_dir()).current_dir(tree)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_vectors_do_not_belong() {
        assert!(belongs("src/lib.rs", 9000) && belongs("README.md", 1));
        assert!(!belongs("models/digits_relu.minionn", 100));
        assert!(!belongs("tests/vectors/linear.json", 100));
        assert!(!belongs("src/network.minionn", LARGEST + 1));
    }
}
