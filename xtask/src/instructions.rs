//! Instructions of hot paths, counted by callgrind: held against committed figures, and told by
//! what they are spent on.
//!
//! The counted process runs on valgrind's own picture of a processor: AVX2 and AES instructions
//! yes, AVX-512 and VAES no. What the program picks at run time is picked by that, so the figures
//! do not depend on the machine; they do depend on the compiler.

use crate::shell::{command, root, run, target_dir};
use crate::steps::{Outcome, build_release};
use core::fmt::Write as _;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

type Result<T> = core::result::Result<T, String>;

/// Where the accepted figures are.
const BASELINES: &str = "host/benches/instructions.txt";
/// More than this is a failure; less by as much is told.
const TOLERANCE_PERCENT: u64 = 3;
/// Parts that take too long to be counted every time; for profiles.
const LONG: [&str; 2] = ["fig12", "fig13"];
/// The function in which instructions are counted.
const COUNTED: &str = "--toggle-collect=*bench::parts::counted*";

/// Accepted or counted figures, and the compiler that they hold for.
#[derive(Debug, PartialEq)]
struct Figures {
    compiler: String,
    parts: BTreeMap<String, u64>,
}

impl Figures {
    fn parse(text: &str) -> Result<Self> {
        let mut figures = Self { compiler: String::new(), parts: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["rustc", version] => version.clone_into(&mut figures.compiler),
                [part, count] => {
                    let count = count
                        .replace('_', "")
                        .parse()
                        .map_err(|_| format!("{BASELINES}: not a number in '{line}'"))?;
                    figures.parts.insert(part.to_owned(), count);
                }
                _ => return Err(format!("{BASELINES}: '{line}' is no part and its instructions")),
            }
        }
        Ok(figures)
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "# Instructions of one run of each part (host/src/bench/parts), counted by callgrind\n\
             # on valgrind's x86-64 with AVX2 and AES, without AVX-512 and VAES. `cargo xtask\n\
             # bench` compares, `cargo xtask bench --accept` writes this file.\n",
        );
        let _ = writeln!(text, "rustc {}", self.compiler);
        for (part, count) in &self.parts {
            let _ = writeln!(text, "{part} {}", grouped(*count));
        }
        text
    }
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

/// Counts every part and holds it against its accepted figure.
pub(crate) fn compare() -> Result<Outcome> {
    if let Some(why) = unsupported() {
        return Ok(Outcome::Skipped(why));
    }
    let accepted = std::fs::read_to_string(root().join(BASELINES))
        .map_err(|error| format!("{BASELINES}: {error}"))?;
    let (accepted, counted) = (Figures::parse(&accepted)?, count()?);
    let (lines, grown) = differences(&accepted, &counted);
    lines.iter().for_each(|line| println!("      {line}"));
    if accepted.compiler != counted.compiler {
        return Ok(Outcome::Skipped(format!(
            "figures are of rustc {}, this is {}: shown, not judged",
            accepted.compiler, counted.compiler
        )));
    }
    if grown {
        return Err(format!(
            "a part takes more than {TOLERANCE_PERCENT} % more instructions, or has no figure. If \
             that is worth it:\n\n    cargo xtask bench --accept\n"
        ));
    }
    Ok(Outcome::Passed(format!("{} parts within {TOLERANCE_PERCENT} %", counted.parts.len())))
}

/// Counts every part and writes the figures down.
pub(crate) fn accept() -> Result<Outcome> {
    if let Some(why) = unsupported() {
        return Ok(Outcome::Skipped(why));
    }
    let counted = count()?;
    std::fs::write(root().join(BASELINES), counted.text())
        .map_err(|error| format!("{BASELINES}: {error}"))?;
    Ok(Outcome::Passed(format!("{} parts into {BASELINES}", counted.parts.len())))
}

fn unsupported() -> Option<String> {
    let here = cfg!(all(target_arch = "x86_64", target_os = "linux"));
    (!here).then(|| "the figures are for x86-64 under Linux".to_owned())
}

/// What has changed by more than the tolerance, in words; whether something has grown or is
/// unknown.
fn differences(accepted: &Figures, counted: &Figures) -> (Vec<String>, bool) {
    let (mut lines, mut grown) = (vec![], false);
    for (part, &now) in &counted.parts {
        let Some(&before) = accepted.parts.get(part) else {
            lines.push(format!("{part}: {} instructions, new", grouped(now)));
            grown = true;
            continue;
        };
        if now.abs_diff(before) * 100 > before * TOLERANCE_PERCENT {
            let percent = (now as f64 / before as f64 - 1.0) * 100.0;
            let advice = if percent < 0.0 { "; accept it, so that it stays" } else { "" };
            lines.push(format!(
                "{part}: {} → {} instructions, {percent:+.1} %{advice}",
                grouped(before),
                grouped(now)
            ));
            grown |= percent > 0.0;
        }
    }
    for part in accepted.parts.keys().filter(|part| !counted.parts.contains_key(*part)) {
        lines.push(format!("{part}: is no more"));
        grown = true;
    }
    (lines, grown)
}

/// The command, built as it is for users but for the float engine of `minionn check`.
fn build() -> Result<PathBuf> {
    build_release()?;
    Ok(target_dir().join("release").join("minionn"))
}

fn compiler() -> Result<String> {
    let version = run(&mut command("rustc --version"))?;
    version
        .split_whitespace()
        .nth(1)
        .map(str::to_owned)
        .ok_or_else(|| format!("rustc calls itself '{version}'"))
}

/// One valgrind that counts `part` and writes what it found to `out`.
fn callgrind(program: &Path, part: &str, out: &Path) -> Command {
    let mut valgrind = command("valgrind --tool=callgrind");
    valgrind
        .arg(COUNTED)
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["bench", "--count", part]);
    valgrind
}

/// Counts all parts, as many at a time as there are processors.
fn count() -> Result<Figures> {
    let program = build()?;
    let listed = run(Command::new(&program).args(["bench", "--count", "list"]))?;
    let names: Vec<&str> =
        listed.lines().filter(|name| !LONG.iter().any(|long| name.starts_with(long))).collect();
    let (next, made) = (AtomicUsize::new(0), Mutex::new(vec![]));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let counted = run(&mut callgrind(&program, name, Path::new("/dev/null")))
                        .and_then(|said| collected(name, &said));
                    made.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(counted.map(|count| (name.to_owned(), count)));
                }
            });
        }
    });
    let parts = made.into_inner().unwrap_or_default().into_iter().collect::<Result<_>>()?;
    Ok(Figures { compiler: compiler()?, parts })
}

/// The line `==7== Collected : 123456`.
fn collected(part: &str, said: &str) -> Result<u64> {
    let count = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count
        .filter(|&count| count > 0)
        .ok_or_else(|| format!("{said}\ncallgrind counted nothing in {part}"))
}

/// Prints what the instructions of one part are spent on.
pub(crate) fn profile(part: &str) -> Result<()> {
    let (program, out) = (build()?, target_dir().join(format!("callgrind.{part}")));
    let said = run(&mut callgrind(&program, part, &out))?;
    let all = collected(part, &said)?;
    let written =
        std::fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    println!(
        "{part}: {} instructions\n\n| what | million instructions | % |\n|---|---|---|",
        grouped(all)
    );
    for (group, cost) in by_group(&written) {
        println!(
            "| {group} | {:.1} | {:.1} |",
            cost as f64 / 1e6,
            cost as f64 / all as f64 * 100.0
        );
    }
    println!("\nfunction by function: callgrind_annotate {}", out.display());
    Ok(())
}

/// What code belongs to what, by a part of its file's name, or of its function's written like one.
/// The first that fits counts.
const GROUPS: &[(&str, &[&str])] = &[
    ("transforms, arithmetic modulo limbs", &["core/src/ring/limb", "core/src/backend/limb"]),
    ("ChaCha20", &["chacha20", "rand_core", "core/src/rng"]),
    ("sampling", &["core/src/lattice/sample", "core/src/backend/sample"]),
    ("encryption, products, decryption, rescaling", &["core/src/lattice"]),
    (
        "AES",
        &[
            "/aes-0",
            "x86/aes.rs",
            "aes/x86",
            "core/src/backend/aes",
            "core/src/hash",
            "/cipher-0",
            "inout-0",
            "hybrid-array-0",
        ],
    ),
    ("circuits, garbled and evaluated", &["core/src/garble"]),
    ("oblivious transfer", &["core/src/ot/", "core/src/backend/transpose"]),
    ("packed integers", &["core/src/wire/bits"]),
    ("checksums", &["/crc-3", "crc::"]),
    ("W·x on shares", &["core/src/model", "core/src/backend/matrix", "core/src/plan/geometry"]),
    ("copying and clearing", &["memcpy", "memmove", "memset", "zeroize"]),
    ("sessions, plans", &["core/src/session", "core/src/plan", "core/src/wire"]),
];

/// Instructions of every group, most first, from what callgrind wrote: the format is in valgrind's
/// manual.
fn by_group(written: &str) -> Vec<(&'static str, u64)> {
    let (mut files, mut functions) = (BTreeMap::new(), BTreeMap::new());
    let (mut file, mut function) = (String::new(), String::new());
    let (mut groups, mut called) = (BTreeMap::<&str, u64>::new(), false);
    for line in written.lines() {
        if let Some((key, value)) =
            line.split_once('=').filter(|(key, _)| key.chars().all(char::is_alphabetic))
        {
            match key {
                "fl" | "fi" | "fe" => file = named(&mut files, value),
                "cfl" | "cfi" => drop(named(&mut files, value)),
                "fn" => function = named(&mut functions, value),
                "cfn" => drop(named(&mut functions, value)),
                // The next line is the cost of the called function.
                "calls" => called = true,
                _ => {}
            }
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            let cost = line
                .split_whitespace()
                .nth(1)
                .and_then(|cost| cost.parse::<u64>().ok())
                .unwrap_or(0);
            if !core::mem::take(&mut called) {
                *groups.entry(group(&file, &function)).or_default() += cost;
            }
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|&(_, cost)| core::cmp::Reverse(cost));
    groups
}

/// A name: `(7) name` where it comes first, `(7)` afterwards.
fn named(names: &mut BTreeMap<String, String>, value: &str) -> String {
    let (number, name) = value.split_once(' ').unwrap_or((value, ""));
    if !name.is_empty() {
        names.insert(number.to_owned(), name.to_owned());
    }
    names.get(number).cloned().unwrap_or_else(|| value.to_owned())
}

fn group(file: &str, function: &str) -> &'static str {
    let find = |text: &str| {
        GROUPS
            .iter()
            .find(|(_, parts)| parts.iter().any(|part| text.contains(part)))
            .map(|(group, _)| *group)
    };
    // Code of the standard library belongs to who has it inlined.
    let function = function.replace("minionn_core::", "core::src::").replace("::", "/");
    find(file).or_else(|| find(&function)).unwrap_or("everything else")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(parts: &[(&str, u64)]) -> Figures {
        Figures {
            compiler: "1.95.0".to_owned(),
            parts: parts.iter().map(|&(part, count)| (part.to_owned(), count)).collect(),
        }
    }

    #[test]
    fn figures_are_read_as_written() {
        let written = figures(&[("ntt", 123_456), ("garble", 7)]);
        assert!(written.text().contains("\nntt 123_456\n"));
        assert_eq!(Figures::parse(&written.text()), Ok(written));
        assert!(Figures::parse("ntt").is_err() && Figures::parse("ntt many").is_err());
        assert_eq!([1, 1000, 1_234_567].map(grouped), ["1", "1_000", "1_234_567"]);
    }

    #[test]
    fn growth_fails_and_gains_are_told() {
        let accepted = figures(&[("a", 1000), ("b", 1000), ("c", 1000)]);
        let (lines, grown) =
            differences(&accepted, &figures(&[("a", 1030), ("b", 970), ("c", 1000)]));
        assert!(lines.is_empty() && !grown);
        let (lines, grown) =
            differences(&accepted, &figures(&[("a", 1031), ("b", 1000), ("c", 1000)]));
        assert!(grown && lines[0].contains("+3.1 %"), "{lines:?}");
        let (lines, grown) =
            differences(&accepted, &figures(&[("a", 1000), ("b", 500), ("c", 1000)]));
        assert!(!grown && lines[0].contains("-50.0 %") && lines[0].contains("accept"), "{lines:?}");
        assert!(
            differences(&accepted, &figures(&[("a", 1000), ("b", 1000)])).1,
            "a part is no more"
        );
        assert!(differences(&figures(&[]), &figures(&[("a", 1)])).1, "a part is new");
    }

    #[test]
    fn what_callgrind_says_is_understood() {
        assert_eq!(collected("ntt", "==7== Events    : Ir\n==7== Collected : 1234\n"), Ok(1234));
        assert!(
            collected("ntt", "==7== Collected : 0\n").is_err() && collected("ntt", "").is_err()
        );
    }

    #[test]
    fn costs_go_to_the_file_or_else_to_the_function() {
        let written = "version: 1\nevents: Ir\nfl=(1) core/src/session/client.rs\n\
                       fn=(1) minionn_core::session::client\n10 5\n+2 7\n\
                       fi=(2) core/src/ring/limb.rs\n3 100\nfe=(1)\n* 1\ncfi=(2)\n\
                       cfn=(2) minionn_core::ring::limb::forward\ncalls=3 20\n9 999\n8 2\n\
                       fl=(3) /rustc/library/core/src/x86/sse2.rs\n\
                       fn=(3) chacha20::backends::avx2\n1 40\n\
                       fl=(4) ???\nfn=(4) memcpy\n0 3\nfn=(2)\n1 30\ntotals: 188\n";
        let groups = by_group(written);
        assert_eq!(
            groups,
            [
                ("transforms, arithmetic modulo limbs", 130),
                ("ChaCha20", 40),
                ("sessions, plans", 15),
                ("copying and clearing", 3)
            ]
        );
    }
}
