//! The C side of the ABI: the header is fresh and compiles everywhere, the symbols are the pinned
//! ones, a C program runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../ffi/header.rs"]
mod header;

const STRICT: &[&str] = &["-pedantic", "-Wall", "-Wextra", "-Werror"];
const SANITIZE: &[&str] = &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Runs a command; shows what it said when it fails.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn exists(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success())
}

/// The static library of this profile.
fn library() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    run(Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--package", "minionn", "--target-dir"])
        .arg(target)
        .current_dir(root()));
    target.join("debug/libminionn.a")
}

#[test]
fn header_is_fresh() {
    let fresh = scratch("minionn.h");
    header::write(root(), &fresh);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert!(
        read(&fresh) == read(&root().join("include/minionn.h")),
        "include/minionn.h is stale: cargo xtask header"
    );
}

#[test]
fn header_compiles_as_every_standard() {
    let main = scratch("main.c");
    std::fs::write(
        &main,
        "#include \"minionn.h\"\nint main(void) { return minionn_strerror(MINIONN_OK) == 0; }\n",
    )
    .unwrap();
    let main_cpp = scratch("main.cpp");
    std::fs::write(
        &main_cpp,
        "#include \"minionn.hpp\"\nint main() { return minionn::Options().stock != 1; }\n",
    )
    .unwrap();
    let mut compilers = 0;
    for (tool, source, standards) in [
        ("gcc", &main, &["c99", "c11", "c17"][..]),
        ("clang", &main, &["c99", "c11", "c17"]),
        ("g++", &main_cpp, &["c++17", "c++20"]),
        ("clang++", &main_cpp, &["c++17", "c++20"]),
    ] {
        if !exists(tool) {
            println!("skipped: {tool} is not installed");
            continue;
        }
        compilers += 1;
        for standard in standards {
            let include = root().join("include");
            run(Command::new(tool)
                .arg(format!("-std={standard}"))
                .args(STRICT)
                .arg("-fsyntax-only")
                .arg("-I")
                .arg(include)
                .arg(source));
        }
    }
    assert!(compilers >= 2, "a C and a C++ compiler are needed");
}

/// Words that begin with `minionn_` and end in front of a bracket.
fn functions(header: &str) -> BTreeSet<String> {
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['*', '/']));
    let starts = code.flat_map(|line| line.match_indices("minionn_").map(move |(i, _)| &line[i..]));
    let name = |s: &str| {
        s.split_once(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map(|(n, rest)| (n.to_owned(), s.len() - rest.len()))
    };
    starts
        .filter_map(|s| name(s).filter(|(_, end)| s.as_bytes()[end - 1] == b'(').map(|(n, _)| n))
        .collect()
}

#[test]
#[cfg(target_os = "linux")]
fn symbols_are_the_pinned_ones() {
    let pinned = std::fs::read_to_string(root().join("tests/c/symbols.txt")).unwrap();
    let pinned: BTreeSet<_> = pinned.lines().map(str::to_owned).collect();
    let listed = run(Command::new("nm")
        .args(["--extern-only", "--defined-only", "--format=posix"])
        .arg(library()));
    let exported = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.starts_with("minionn_"));
    assert_eq!(
        exported.map(str::to_owned).collect::<BTreeSet<_>>(),
        pinned,
        "tests/c/symbols.txt lists what programs may rely on"
    );
    assert_eq!(
        functions(&std::fs::read_to_string(root().join("include/minionn.h")).unwrap()),
        pinned
    );
}

#[test]
#[cfg(target_os = "linux")]
fn c_program_runs_both_parties() {
    let library = library();
    let program = scratch("two_parties");
    let mut answers = BTreeSet::new();
    for sanitize in [&[][..], SANITIZE] {
        let mut compiler = Command::new("gcc");
        compiler
            .args(["-std=c99", "-g"])
            .args(STRICT)
            .args(sanitize)
            .arg("-I")
            .arg(root().join("include"));
        compiler
            .arg(root().join("tests/c/two_parties.c"))
            .arg(&library)
            .args(["-lpthread", "-ldl", "-lm", "-o"])
            .arg(&program);
        run(&mut compiler);
        answers.insert(run(Command::new(&program).arg(root().join("models/digits_relu.minionn"))));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}
