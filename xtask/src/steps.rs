//! The steps of `cargo xtask test`, one function each, and what runs them.

use crate::shell::{cargo, command, root, run, target_dir};
use crate::{checkout, constant_time, embedded, instructions, packages, rules, tools};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// How a step ended, if it did not fail, in a few words.
pub(crate) enum Outcome {
    Passed(String),
    /// With what it could not do on this machine.
    Partly(String, Vec<String>),
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
pub(crate) const CONSTANT_TIME: Step =
    Step { title: "no branch or address depends on secrets", run: constant_time::check };
pub(crate) const HEADER: Step = Step { title: "include/minionn.h", run: header };
pub(crate) const PACKAGES: Step = Step { title: "packages", run: packages::check };
const FORMATTING: Step = Step { title: "formatting", run: formatting };
const CHECKOUT: Step = Step { title: "the checkout is as it was", run: checkout::unchanged };

/// Steps one after the other; then rows of steps side by side; then the last ones.
pub(crate) struct Schedule {
    pub(crate) first: &'static [Step],
    pub(crate) beside: &'static [&'static [Step]],
    pub(crate) last: &'static [Step],
}

/// Everything, cheapest first. What is built for this machine to be tested goes beside what is
/// built for release and for devices: cargo locks the artefacts of one profile, and to optimise a
/// whole program leaves a processor idle.
pub(crate) const TEST: Schedule = Schedule {
    first: &[SETUP, FORMATTING, RULES],
    beside: &[
        &[
            Step { title: "lints", run: lints },
            Step { title: "tests", run: tests },
            ATTACKS,
            Step { title: "documentation", run: documentation },
            PACKAGES,
        ],
        &[
            Step { title: "no_std build of core and C ABI", run: no_std },
            EMBEDDED,
            CPP,
            Step { title: "fuzz targets, a smoke test of each", run: fuzz },
            BENCH,
            CONSTANT_TIME,
        ],
    ],
    last: &[CHECKOUT],
};

/// What a person runs while working.
pub(crate) const QUICK: Schedule = Schedule {
    first: &[
        FORMATTING,
        RULES,
        Step { title: "lints, without firmware", run: lints_of_workspace },
        Step { title: "unit tests", run: unit_tests },
        Step { title: "some protocol tests", run: some_protocol_tests },
    ],
    beside: &[],
    last: &[CHECKOUT],
};

/// Runs one step.
pub(crate) fn run_one(step: Step) -> ExitCode {
    let report = Report::new(1);
    report.run(step);
    report.summary()
}

/// Runs a schedule up to the first failure.
pub(crate) fn run_all(schedule: &Schedule) -> ExitCode {
    checkout::remember();
    let Schedule { first, beside, last } = schedule;
    let report = Report::new(first.len() + last.len() + beside.concat().len());
    let in_turn = |steps: &[Step]| steps.iter().for_each(|&step| report.run(step));
    in_turn(first);
    thread::scope(|scope| {
        for row in *beside {
            scope.spawn(|| in_turn(row));
        }
    });
    in_turn(last);
    report.summary()
}

/// What has become of the steps.
struct Report {
    begin: Instant,
    all: usize,
    ended: AtomicUsize,
    passed: AtomicUsize,
    /// What could not be done here: steps, and tests.
    skipped: Mutex<Vec<String>>,
    failed: Mutex<Vec<&'static str>>,
    stopped: AtomicBool,
}

impl Report {
    fn new(all: usize) -> Self {
        Self {
            begin: Instant::now(),
            all,
            ended: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
            skipped: Mutex::default(),
            failed: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Runs a step, unless one has failed.
    fn run(&self, step: Step) {
        if self.stopped.load(Relaxed) {
            return;
        }
        let begin = Instant::now();
        println!("        {} …", step.title);
        let outcome = (step.run)();
        let number = 1 + self.ended.fetch_add(1, Relaxed);
        let heading = format!("[{number:>2}/{}] {}", self.all, step.title);
        let seconds = begin.elapsed().as_secs_f32();
        let ok = |note: &str| {
            self.passed.fetch_add(1, Relaxed);
            let note = if note.is_empty() { String::new() } else { format!(": {note}") };
            println!("{heading}: ok, {seconds:.1} s{note}");
        };
        match outcome {
            Ok(Outcome::Passed(note)) => ok(&note),
            Ok(Outcome::Partly(note, why)) => {
                ok(&note);
                for why in why {
                    println!("        skipped: {why}");
                    push(&self.skipped, why);
                }
            }
            Ok(Outcome::Skipped(why)) => {
                println!("{heading}: skipped: {why}");
                push(&self.skipped, why);
            }
            Err(message) => {
                println!("{message}\n{heading}: FAILED");
                push(&self.failed, step.title);
                self.stopped.store(true, Relaxed);
            }
        }
    }

    fn summary(&self) -> ExitCode {
        let list = |names: &[String]| match names {
            [] => String::new(),
            _ => format!(" ({})", names.join("; ")),
        };
        let failed: Vec<String> = self
            .failed
            .lock()
            .map_or_else(|e| e.into_inner().clone(), |f| f.clone())
            .into_iter()
            .map(str::to_owned)
            .collect();
        let skipped = self.skipped.lock().map_or_else(|e| e.into_inner().clone(), |s| s.clone());
        println!(
            "\n{} passed, {} failed{}, {} skipped{}, {:.1} minutes",
            self.passed.load(Relaxed),
            failed.len(),
            list(&failed),
            skipped.len(),
            list(&skipped),
            self.begin.elapsed().as_secs_f32() / 60.0
        );
        if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A list outlives whoever panicked while adding to it.
fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(item);
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

/// All of the workspace, and what is off unless it is asked for. The same for every command here:
/// with other features, crates would be compiled once more.
const EVERYTHING: &str = "--workspace --features minionn-host/tokio";

fn rules() -> Result<Outcome> {
    rules::check().map(Outcome::Passed)
}

fn lints_of_workspace() -> Result<Outcome> {
    all([
        &mut cargo(&format!("clippy --quiet {EVERYTHING} --all-targets -- -D warnings")),
        // Without `unstable`, what nothing uses is told, too.
        &mut cargo("clippy --quiet --package minionn-core -- -D warnings"),
    ])
}

fn lints() -> Result<Outcome> {
    lints_of_workspace()?;
    embedded::lints()?;
    Ok(Outcome::Passed(String::new()))
}

/// Runs tests, with what those say that could not run here.
fn tested(command: &mut std::process::Command) -> Result<Outcome> {
    let output = run(command)?;
    let skipped: BTreeSet<&str> =
        output.lines().filter_map(|line| line.trim().strip_prefix("skipped: ")).collect();
    let skipped: Vec<String> = skipped.into_iter().map(str::to_owned).collect();
    let note = count(&output);
    Ok(if skipped.is_empty() { Outcome::Passed(note) } else { Outcome::Partly(note, skipped) })
}

fn tests() -> Result<Outcome> {
    tested(&mut cargo(&format!("test {EVERYTHING} -- --show-output")))
}

fn unit_tests() -> Result<Outcome> {
    tested(&mut cargo(&format!("test {EVERYTHING} --lib --bins -- --show-output")))
}

/// Those that take seconds, of every kind but damage at every byte, random networks and the
/// reference.
fn some_protocol_tests() -> Result<Outcome> {
    tested(&mut cargo(&format!(
        "test {EVERYTHING} --test protocol --test abi -- --show-output \
         --skip robustness:: --skip properties:: --skip reference:: --skip session::compared",
    )))
}

/// Attacks succeed without a defence and fail with it; a release build that could take one away
/// does not compile.
fn attacks() -> Result<Outcome> {
    run(&mut cargo(
        "clippy --quiet --workspace --features minionn-core/attack --test attacks -- -D warnings",
    ))?;
    let outcome = tested(&mut cargo(
        "test --workspace --features minionn-core/attack --test attacks -- --show-output",
    ))?;
    match run(&mut cargo("build --release --package minionn-core --features attack")) {
        Err(said) if said.contains("the feature `attack` removes defences") => Ok(outcome),
        Err(said) => Err(said),
        Ok(_) => Err("a release build accepts the feature `attack`".to_owned()),
    }
}

/// The folder is a workspace of its own: a fuzzer's crates are no business of the others.
fn fuzz() -> Result<Outcome> {
    let arguments = "test --release --manifest-path fuzz/Cargo.toml --target-dir";
    let mut command = cargo(arguments);
    tested(command.arg(target_dir().join("fuzz")).args(["--", "--show-output"]))
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
    // Nothing runs: without optimisation it is the same proof, sooner.
    let plain =
        |command: &mut std::process::Command| run(command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0"));
    let mut core = cargo("build --quiet --package minionn-core");
    for target in tools::TARGETS {
        core.args(["--target", target]);
    }
    plain(&mut core)?;
    plain(&mut cargo(&format!(
        "build --quiet --package minionn --no-default-features --features panic-handler \
         --target {}",
        tools::THUMB
    )))?;
    Ok(Outcome::Passed(format!("{} targets", tools::TARGETS.len())))
}

fn embedded() -> Result<Outcome> {
    let (words, table, skipped) = embedded::all()?;
    println!("\n{table}");
    Ok(if skipped.is_empty() { Outcome::Passed(words) } else { Outcome::Partly(words, skipped) })
}

fn results() -> Result<Outcome> {
    embedded::results().map(Outcome::Passed)
}

/// What devices and programs in C++ are tested with: the C ABI's library and the command, the
/// latter without the float engine of `minionn check`, which takes minutes to build and is tested
/// elsewhere. In one go, so that both have the same crates.
pub(crate) fn build_release() -> Result<()> {
    run(&mut cargo(
        "build --quiet --release --package minionn --package minionn-host --no-default-features \
         --features minionn/std,minionn/compare,minionn-host/command",
    ))
    .map(|_| ())
}

/// Builds and tests cpp-demo, then every pairing with the Rust command. CMake gets
/// `MINIONN_TARGET_DIR`: the folder that holds `release/libminionn.a`.
fn cpp() -> Result<Outcome> {
    let (source, target) = (root().join("cpp-demo"), target_dir());
    let build = target.join("cpp-demo");
    build_release()?;
    run(command("cmake -DCMAKE_BUILD_TYPE=Release")
        .arg(format!("-DMINIONN_TARGET_DIR={}", target.display()))
        .arg("-S")
        .arg(&source)
        .arg("-B")
        .arg(&build))?;
    run(command("cmake --build").arg(&build).arg("--parallel").arg(jobs().to_string()))?;
    let output = run(command("ctest --output-on-failure --no-tests=error --test-dir").arg(&build))?;
    let result = all_ran(&output)?;
    run(cargo(&format!("test {EVERYTHING} --test pairings -- --ignored"))
        .env("MINIONN_RELEASE", target.join("release"))
        .env("MINIONN_CPP", &build))?;
    Ok(Outcome::Passed(format!("{result}; all pairings with Rust")))
}

/// What ctest says in the end. It counts tests that did not run as passed.
fn all_ran(output: &str) -> Result<&str> {
    if output.contains("did not run") {
        return Err(output.to_owned());
    }
    output
        .lines()
        .map(str::trim)
        .find(|line| line.contains("tests passed"))
        .ok_or_else(|| format!("{output}\nctest did not say how many tests passed"))
}

/// Compilers at a time: without a number, make starts all at once.
fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn documentation() -> Result<Outcome> {
    // With and without optional features: a link must not lead into one that is off.
    for what in ["--workspace", EVERYTHING] {
        let mut doc = cargo(&format!("doc --quiet {what} --no-deps"));
        run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    rules::surface::check().map(Outcome::Passed)
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
        let output = "running 2 tests\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; finished in 0.00s\n\
            test result: ok. 40 passed; 0 failed; 1 ignored; 0 measured; finished in 1.25s\n";
        assert_eq!(count(output), "42 tests, 1 ignored");
        assert_eq!(count(""), "0 tests");
    }

    #[test]
    fn tests_that_did_not_run_are_no_success() {
        let good = "1/2 Test #1: a ... Passed\n\n100% tests passed, 0 tests failed out of 2\n";
        assert_eq!(all_ran(good).unwrap(), "100% tests passed, 0 tests failed out of 2");
        let skipped = format!("{good}\nThe following tests did not run:\n\t2 - b (Skipped)\n");
        assert!(all_ran(&skipped).is_err() && all_ran("").is_err());
    }

    #[test]
    fn what_follows_a_failure_does_not_run() {
        let report = Report::new(3);
        report.run(Step { title: "a", run: || Ok(Outcome::Skipped("no tool".to_owned())) });
        report.run(Step { title: "b", run: || Err("broken".to_owned()) });
        report.run(Step { title: "c", run: || Ok(Outcome::Passed(String::new())) });
        assert_eq!(report.passed.load(Relaxed), 0);
        assert_eq!(*report.failed.lock().unwrap(), ["b"]);
        assert_eq!(*report.skipped.lock().unwrap(), ["no tool"]);
    }
}
