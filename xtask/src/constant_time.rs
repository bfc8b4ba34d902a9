//! Sessions under valgrind's memcheck, which tells of branches and addresses that depend on
//! secrets: `core/tests/constant_time`.

use crate::shell::{cargo, command, root, run};
use crate::steps::Outcome;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

type Result<T> = core::result::Result<T, String>;

/// What memcheck may tell of, with reasons.
const KNOWN: &str = "core/tests/constant_time/known.txt";
/// Code paths, as features of the crate: with what this machine has, and without.
const PATHS: [&str; 2] = ["unstable", "unstable,force-portable"];

/// Watches sessions on both paths. Leaks that are planted must be found.
pub(crate) fn check() -> Result<Outcome> {
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        return Ok(Outcome::Skipped("secrets are watched on x86-64 under Linux".to_owned()));
    }
    let known = std::fs::read_to_string(root().join(KNOWN))
        .map_err(|error| format!("{KNOWN}: {error}"))
        .and_then(|text| text.lines().filter_map(Known::parse).collect::<Result<Vec<_>>>())?;
    let mut programs = Vec::new();
    for features in PATHS {
        programs.push(build(features)?);
    }
    let counts = thread::scope(|scope| {
        let threads: Vec<_> =
            programs.iter().map(|program| scope.spawn(|| watch(program, &known))).collect();
        let ended = |_| Err("a thread ended early".to_owned());
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(ended)).collect()
    });
    let counts: Result<Vec<_>> = counts;
    let reports: usize = counts?.into_iter().sum();
    let paths = PATHS.len();
    Ok(Outcome::Passed(format!("{paths} paths, {reports} reports known, planted leaks found")))
}

/// Builds the sessions as they are built for users: debug assertions look at secrets.
fn build(features: &str) -> Result<PathBuf> {
    let said = run(cargo(
        "test --quiet --release --package minionn-core --test constant-time --no-run \
         --message-format=json",
    )
    .args(["--features", features]))?;
    executable(&said).ok_or_else(|| format!("{said}\ncargo did not say where the program is"))
}

/// The program among cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    let named = |line: &&str| line.contains("\"name\":\"constant-time\"");
    let (_, rest) =
        messages.lines().filter(named).find_map(|l| l.split_once("\"executable\":\""))?;
    Some(rest.split_once('"')?.0.into())
}

/// How many reports there are; all of them known.
fn watch(program: &Path, known: &[Known]) -> Result<usize> {
    for leak in ["branch", "address"] {
        let said = run(memcheck(program).args(["--planted", leak]))?;
        if unknown(&said, known).is_empty() {
            return Err(format!("{said}\nmemcheck does not find a planted {leak}"));
        }
    }
    let said = run(&mut memcheck(program))?;
    if !said.lines().any(|line| line == "watched") {
        return Err(format!("{said}\nnobody watched"));
    }
    let unknown: BTreeSet<String> =
        unknown(&said, known).into_iter().map(|report| report.to_string()).collect();
    if unknown.is_empty() {
        return Ok(reports(&said).count());
    }
    let unknown: Vec<String> = unknown.into_iter().collect();
    Err(format!("{}\n\nA secret decides these, or {KNOWN} must say why not.", unknown.join("\n\n")))
}

fn memcheck(program: &Path) -> Command {
    let mut valgrind =
        command("valgrind --leak-check=no --error-limit=no --num-callers=40 --fullpath-after=");
    valgrind.arg(program);
    valgrind
}

/// What memcheck tells of.
#[derive(Debug, Default)]
struct Report<'s> {
    what: &'s str,
    /// Function and place, the innermost call first.
    calls: Vec<(&'s str, &'s str)>,
}

impl core::fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.what)?;
        let own = self.calls.iter().filter(|(_, place)| own(place).is_some());
        own.take(8).try_for_each(|(function, place)| {
            let function: String = function.chars().take(60).collect();
            write!(f, "\n    {} {function}", place.trim_start_matches(&*root().to_string_lossy()))
        })
    }
}

/// File and number of a line of this repository.
fn own(place: &str) -> Option<(&Path, usize)> {
    let (file, line) = place.rsplit_once(':')?;
    Some((Path::new(file).strip_prefix(root()).ok()?, line.parse().ok()?))
}

/// The reports in what valgrind said: a line that says what, calls, an empty line.
fn reports(said: &str) -> impl Iterator<Item = Report<'_>> {
    let lines = said.lines().filter_map(|line| {
        let (_, rest) = line.strip_prefix("==")?.split_once("==")?;
        Some(rest.trim())
    });
    let (mut reports, mut last) = (Vec::new(), Report::default());
    for line in lines.chain([""]) {
        let call = line.strip_prefix("at ").or_else(|| line.strip_prefix("by "));
        if let Some((_, call)) = call.and_then(|call| call.split_once(": ")) {
            let (function, place) = call.rsplit_once(" (").unwrap_or((call, ""));
            last.calls.push((function, place.trim_end_matches(')')));
        } else {
            let ended = core::mem::replace(&mut last, Report { what: line, calls: vec![] });
            if !ended.calls.is_empty() && ended.what.contains("uninitialised value") {
                reports.push(ended);
            }
        }
    }
    reports.into_iter()
}

fn unknown<'s>(said: &'s str, known: &[Known]) -> Vec<Report<'s>> {
    reports(said).filter(|report| !known.iter().any(|known| known.fits(report))).collect()
}

/// A line of [`KNOWN`].
#[derive(Debug, PartialEq)]
enum Known {
    Call(String),
    Line(PathBuf, String),
}

impl Known {
    /// Nothing where there is a comment only.
    fn parse(line: &str) -> Option<Result<Self>> {
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        Some(match *line.splitn(3, ' ').collect::<Vec<_>>() {
            ["call", name] => Ok(Self::Call(name.to_owned())),
            ["line", file, text] => Ok(Self::Line(file.into(), text.to_owned())),
            _ => Err(format!("{KNOWN}: '{line}' is neither a call nor a line")),
        })
    }

    fn fits(&self, report: &Report<'_>) -> bool {
        match self {
            Self::Call(name) => report.calls.iter().any(|(function, _)| function.contains(name)),
            Self::Line(file, text) => report
                .calls
                .iter()
                .find_map(|(_, place)| own(place))
                .is_some_and(|(at, line)| at == file && source(file, line).contains(text)),
        }
    }
}

/// A line of a file of the repository, without what is before its text.
fn source(file: &Path, line: usize) -> String {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    line.checked_sub(1).and_then(|before| text.lines().nth(before)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found() {
        let messages = r#"{"target":{"name":"minionn_core"},"executable":"/t/other"}
            {"target":{"name":"constant-time"},"executable":"/t/it","fresh":true}"#;
        assert_eq!(executable(messages), Some("/t/it".into()));
        let messages = r#"{"target":{"name":"constant-time"},"executable":null}"#;
        assert_eq!(executable(messages), None);
    }

    #[test]
    fn reports_are_read_and_told_apart() {
        let here = root().join(file!());
        let line =
            1 + include_str!("constant_time.rs").lines().position(|l| l.contains(MARK)).unwrap();
        let said = format!(
            "==7== Memcheck\nwatched\n==7== \n\
             ==7== Conditional jump or move depends on uninitialised value(s)\n\
             ==7==    at 0x1: next<(u8, u8)> (/rustc/1/library/core/src/iter.rs:5)\n\
             ==7==    by 0x1: minionn_core::leaf ({here}:{line})\n\
             ==7==    by 0x2: minionn_core::branch ({root}/core/src/none.rs:1)\n==7== \n\
             ==7== Use of uninitialised value of size 8\n\
             ==7==    at 0x3: memmove (in /usr/lib/vgpreload.so)\n==7== \n\
             ==7== Use --track-origins=yes to see where uninitialised values come from\n\
             ==7== ERROR SUMMARY: 2 errors from 2 contexts (suppressed: 0 from 0)\n",
            here = here.display(),
            root = root().display(),
        );
        let all: Vec<_> = reports(&said).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].calls[0], ("next<(u8, u8)>", "/rustc/1/library/core/src/iter.rs:5"));
        assert!(all[0].to_string().ends_with("core/src/none.rs:1 minionn_core::branch"));
        let known = |rule: &str| Known::parse(rule).unwrap().unwrap();
        let left = |rule: &str| unknown(&said, &[known(rule)]).len();
        assert_eq!(left("call core::branch"), 1);
        assert_eq!(left("call memmove"), 1);
        assert_eq!(left("call nothing"), 2);
        assert_eq!(left(&format!("line {} {MARK}", file!())), 1);
        assert_eq!(left(&format!("line {} another", file!())), 2);
        assert_eq!(left("line core/src/none.rs x"), 2, "the innermost call counts");
        assert!(Known::parse("# call all").is_none() && Known::parse("").is_none());
        assert!(Known::parse("file core/src/none.rs").unwrap().is_err());
    }

    /// A text that one line of this file has.
    const MARK: &str = "MARK: &str";
}
