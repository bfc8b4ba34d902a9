//! The steps of `cargo xtask test`, one function each, and what runs them.

use crate::shell::{cargo, command, root, run, target_dir};
use crate::{embedded, instructions, rules, tools};
use std::process::ExitCode;
use std::time::Instant;

/// How a step ended, if it did not fail, in a few words.
pub(crate) enum Outcome {
    Passed(String),
    Skipped(String),
}

type Result<T> = core::result::Result<T, String>;

/// One step: its heading, and what it does.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    title: &'static str,
    run: fn() -> Result<Outcome>,
}

pub(crate) const SETUP: Step = Step { title: "tools", run: setup };
pub(crate) const RULES: Step = Step { title: "rules of the code", run: rules };
pub(crate) const EMBEDDED: Step =
    Step { title: "firmware on emulated microcontrollers", run: embedded };
pub(crate) const RESULTS: Step = Step { title: "embedded-demo/RESULTS.md", run: results };
pub(crate) const ATTACKS: Step = Step { title: "attacks with defences stripped", run: attacks };
pub(crate) const CPP: Step = Step { title: "C and C++", run: cpp };
pub(crate) const BENCH: Step =
    Step { title: "instructions of hot paths", run: instructions::compare };
pub(crate) const ACCEPT: Step =
    Step { title: "instructions of hot paths, accepted", run: instructions::accept };
pub(crate) const HEADER: Step = Step { title: "include/minionn.h", run: header };

/// Everything, cheapest first.
pub(crate) const TEST: &[Step] = &[
    SETUP,
    Step { title: "formatting", run: formatting },
    RULES,
    Step { title: "lints", run: lints },
    Step { title: "tests", run: tests },
    ATTACKS,
    Step { title: "fuzz targets, a smoke test of each", run: fuzz },
    Step { title: "no_std build of core and C ABI", run: no_std },
    EMBEDDED,
    CPP,
    BENCH,
    Step { title: "documentation", run: documentation },
];

/// Runs steps up to the first failure.
pub(crate) fn run_all(steps: &[Step]) -> ExitCode {
    let start = Instant::now();
    let (mut passed, mut skipped) = (0, 0);
    for (i, step) in steps.iter().enumerate() {
        println!("[{}/{}] {}", i + 1, steps.len(), step.title);
        let begin = Instant::now();
        match (step.run)() {
            Ok(Outcome::Passed(note)) => {
                passed += 1;
                println!(
                    "      ok, {:.1} s{}{note}",
                    begin.elapsed().as_secs_f32(),
                    if note.is_empty() { "" } else { ": " }
                );
            }
            Ok(Outcome::Skipped(why)) => {
                skipped += 1;
                println!("      skipped: {why}");
            }
            Err(message) => {
                println!("{message}\n      FAILED: {}", step.title);
                summary(passed, Some(step), skipped, start);
                return ExitCode::FAILURE;
            }
        }
    }
    summary(passed, None, skipped, start);
    ExitCode::SUCCESS
}

fn summary(passed: usize, failed: Option<&Step>, skipped: usize, start: Instant) {
    let minutes = start.elapsed().as_secs_f32() / 60.0;
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    let failed = failed.map_or("0 failed".to_owned(), |step| format!("1 failed ({})", step.title));
    println!("\n{passed} passed, {failed}{skipped}, {minutes:.1} minutes");
}

/// Runs commands one after the other; nothing to say when all is well.
fn all<const K: usize>(commands: [&mut std::process::Command; K]) -> Result<Outcome> {
    for command in commands {
        run(command)?;
    }
    Ok(Outcome::Passed(String::new()))
}

fn setup() -> Result<Outcome> {
    tools::ensure().map(Outcome::Passed)
}

fn formatting() -> Result<Outcome> {
    all([
        &mut cargo("fmt --all --check"),
        cargo("fmt --all --check").current_dir(root().join("embedded-demo")),
        cargo("fmt --all --check").current_dir(root().join("fuzz")),
    ])
}

fn rules() -> Result<Outcome> {
    rules::check().map(Outcome::Passed)
}

fn lints() -> Result<Outcome> {
    run(&mut cargo("clippy --quiet --workspace --all-targets -- -D warnings"))?;
    embedded::lints()?;
    Ok(Outcome::Passed(String::new()))
}

fn tests() -> Result<Outcome> {
    let output = run(&mut cargo("test --workspace"))?;
    Ok(Outcome::Passed(count(&output)))
}

/// Attacks succeed without a defence and fail with it; a release build that could take one away
/// does not compile.
fn attacks() -> Result<Outcome> {
    run(&mut cargo(
        "clippy --quiet --package minionn-core --features attack --test attacks -- -D warnings",
    ))?;
    let output = run(&mut cargo("test --package minionn-core --features attack --test attacks"))?;
    match run(&mut cargo("build --release --package minionn-core --features attack")) {
        Err(said) if said.contains("the feature `attack` removes defences") => {
            Ok(Outcome::Passed(count(&output)))
        }
        Err(said) => Err(said),
        Ok(_) => Err("a release build accepts the feature `attack`".to_owned()),
    }
}

/// The folder is a workspace of its own: a fuzzer's crates are no business of the others.
fn fuzz() -> Result<Outcome> {
    let arguments = "test --release --manifest-path fuzz/Cargo.toml --target-dir";
    let output = run(cargo(arguments).arg(target_dir().join("fuzz")))?;
    Ok(Outcome::Passed(count(&output)))
}

/// Adds up the lines `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
fn count(output: &str) -> String {
    let results = output.lines().filter(|line| line.starts_with("test result:"));
    let (mut passed, mut ignored) = (0, 0);
    for part in results.flat_map(|line| line.split(['.', ';'])) {
        match part.split_whitespace().collect::<Vec<_>>()[..] {
            [n, "passed"] => passed += n.parse().unwrap_or(0),
            [n, "ignored"] => ignored += n.parse().unwrap_or(0),
            _ => {}
        }
    }
    if ignored == 0 {
        format!("{passed} tests")
    } else {
        format!("{passed} tests, {ignored} ignored")
    }
}

fn no_std() -> Result<Outcome> {
    // A host build links std even where the code does not ask for it; these targets have none.
    let mut core = cargo("build --quiet --package minionn-core");
    for target in tools::TARGETS {
        core.args(["--target", target]);
    }
    run(&mut core)?;
    run(&mut cargo(&format!(
        "build --quiet --package minionn --no-default-features --features panic-handler --target {}",
        tools::THUMB
    )))?;
    Ok(Outcome::Passed(format!("{} targets", tools::TARGETS.len())))
}

fn embedded() -> Result<Outcome> {
    let (words, table) = embedded::all()?;
    println!("\n{table}");
    Ok(Outcome::Passed(words))
}

fn results() -> Result<Outcome> {
    embedded::results().map(Outcome::Passed)
}

/// Builds and tests cpp-demo, then every pairing with the Rust command. CMake gets
/// `MINIONN_TARGET_DIR`: the folder that holds `release/libminionn.a`.
fn cpp() -> Result<Outcome> {
    let (source, target) = (root().join("cpp-demo"), target_dir());
    if !source.is_dir() {
        return Ok(Outcome::Skipped("there is no folder cpp-demo".to_owned()));
    }
    let build = target.join("cpp-demo");
    run(&mut cargo("build --quiet --release --package minionn"))?;
    // Without the float engine of `minionn check`, which takes minutes to build and is tested
    // elsewhere.
    run(&mut cargo("build --quiet --release --package minionn-host --no-default-features"))?;
    run(command("cmake -DCMAKE_BUILD_TYPE=Release")
        .arg(format!("-DMINIONN_TARGET_DIR={}", target.display()))
        .arg("-S")
        .arg(&source)
        .arg("-B")
        .arg(&build))?;
    run(command("cmake --build").arg(&build).arg("--parallel").arg(jobs().to_string()))?;
    let output = run(command("ctest --output-on-failure --no-tests=error --test-dir").arg(&build))?;
    let result = output.lines().find(|line| line.contains("tests passed")).unwrap_or_default();
    run(cargo("test --package minionn --test pairings -- --ignored")
        .env("MINIONN_RELEASE", target.join("release"))
        .env("MINIONN_CPP", &build))?;
    Ok(Outcome::Passed(format!("{}; all pairings with Rust", result.trim())))
}

/// Compilers at a time: without a number, make starts all at once.
fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn documentation() -> Result<Outcome> {
    all([cargo("doc --quiet --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings")])
}

/// The root package's build script writes the header when this feature is on.
fn header() -> Result<Outcome> {
    all([&mut cargo("build --quiet --package minionn --features header")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_tests_of_all_binaries() {
        let output = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                      test result: ok. 40 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.25s\n";
        assert_eq!(count(output), "42 tests, 1 ignored");
        assert_eq!(count(""), "0 tests");
    }
}
