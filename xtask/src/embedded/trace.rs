//! Whether secrets decide what a client does: firmware that repeats its work with other secrets, in
//! a QEMU whose plugin compares every instruction and every address (`trace.c`).

use super::SELF_TEST_LIMIT;
use super::emulator::{MPS2, Wiring};
use super::firmware::{Built, Firmware};
use crate::shell::{command, root, run, target_dir};
use crate::tools;
use std::path::{Path, PathBuf};

type Result<T> = core::result::Result<T, String>;

/// The firmware.
pub(super) const TRACE: Firmware =
    Firmware { package: "minionn-selftest", binary: "trace", features: "trace", model: "none" };
/// What it does, in its order; whether that is the same with every secret.
const PARTS: [(&str, bool); 6] = [
    ("encryption", true),
    ("decryption", true),
    ("a prediction by circuits", true),
    ("a prediction by comparison", true),
    ("a planted branch", false),
    ("a planted address", false),
];
/// Lines of each part.
const TIMES: usize = 3;
/// Fewer instructions and accesses are not a part's.
const LEAST: u64 = 100_000;
/// Versions of QEMU's plugin interface. What is used of it is the same in all.
const VERSIONS: core::ops::RangeInclusive<u32> = 1..=5;

/// Runs it. `None` where QEMU knows no plugins.
pub(super) fn check() -> Result<Option<String>> {
    if let Err(said) = run(&mut command("qemu-system-arm -M none -plugin help"))
        && said.contains("invalid option")
    {
        return Ok(None);
    }
    let firmware = TRACE.build()?;
    for version in VERSIONS {
        let out = target_dir().join("firmware").join("trace.txt");
        let _ = std::fs::remove_file(&out);
        let plugin = format!("{},{}", plugin(version)?.display(), arguments(&firmware, &out)?);
        let emulator = MPS2.start_with(&firmware, Wiring::None, &[], &["-plugin", &plugin])?;
        let output = emulator.finish(&firmware, SELF_TEST_LIMIT)?;
        // QEMU ends at once if it does not know this version.
        let Ok(lines) = std::fs::read_to_string(&out) else { continue };
        if !output.success {
            return Err(output.lines.join("\n"));
        }
        return judge(&lines, &firmware.path).map(Some);
    }
    Err("QEMU knows none of the versions of its plugin interface that are tried".to_owned())
}

/// Compiles the plugin.
fn plugin(version: u32) -> Result<PathBuf> {
    let compiler = tools::compiler().ok_or("no compiler for the plugin")?;
    let path = target_dir().join("firmware").join("trace.so");
    run(command(&format!("{compiler} -x c -std=c11 -O2 -Wall -shared -fPIC -DVERSION={version}"))
        .arg(root().join("xtask/src/embedded/trace.c"))
        .arg("-o")
        .arg(&path))?;
    Ok(path)
}

/// What the plugin must know of the firmware.
fn arguments(firmware: &Built, out: &Path) -> Result<String> {
    // A function's address has its lowest bit set: Thumb.
    let function = |name| firmware.elf.place(name).map(|(address, _)| address & !1);
    // Checksums of frames, and multipliers of checks, which are hashes of frames.
    let (table, bytes) = firmware.elf.place("half_bytes10REMAINDERS")?;
    let (code, length) = firmware.elf.place("2ot5check3Run3add")?;
    Ok(format!(
        "forget={},begin={},end={},table={table},table_end={},code={},code_end={},out={}",
        function("trace_forget")?,
        function("trace_begin")?,
        function("trace_end")?,
        table + bytes,
        code & !1,
        (code & !1) + length,
        out.display()
    ))
}

/// Holds what the plugin wrote against what is to be.
fn judge(written: &str, elf: &Path) -> Result<String> {
    let lines: Vec<&str> = written.lines().collect();
    if lines.len() != PARTS.len() * TIMES {
        return Err(format!("{written}\nnot {TIMES} lines for each of {} parts", PARTS.len()));
    }
    let mut compared = 0;
    for ((part, equal), lines) in PARTS.into_iter().zip(lines.chunks(TIMES)) {
        let count = lines[0].strip_suffix(" kept").and_then(|n| n.parse::<u64>().ok());
        let count = count.ok_or_else(|| format!("{written}\n{part}: no run was kept"))?;
        let differs = lines[1..].iter().find(|line| line.contains(" differs at "));
        match differs {
            None if !equal => return Err(format!("{written}\n{part} is not found")),
            Some(line) if equal => {
                let (_, at) = line.rsplit_once(' ').unwrap_or_default();
                return Err(format!(
                    "{part}: a secret decides what is done: {line}\n\n    \
                     arm-none-eabi-addr2line -fiCe {} 0x{at}\n",
                    elf.display()
                ));
            }
            _ if equal && count < LEAST => {
                return Err(format!("{written}\n{part}: that is not all of it"));
            }
            _ if equal => compared += count,
            _ => {}
        }
    }
    Ok(format!("{} million steps are the same with other secrets", compared / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_plugin_writes_is_judged() {
        let part = |count: u64, last: &str| format!("{count} kept\n{count} same\n{count} {last}\n");
        let sound = |last: &str| part(2_000_000, last);
        let (planted, not) = (part(40, "differs at 1f0"), part(40, "same"));
        let text = |parts: [&str; 6]| parts.concat();
        let (same, other) = (sound("same"), sound("differs at 28576"));
        let elf = Path::new("trace.elf");
        let good = text([&same, &same, &same, &same, &planted, &planted]);
        assert_eq!(judge(&good, elf), Ok("8 million steps are the same with other secrets".into()));
        let leak = judge(&text([&same, &other, &same, &same, &planted, &planted]), elf);
        assert!(leak.is_err_and(|said| said.contains("decryption") && said.contains("0x28576")));
        for bad in [
            text([&same, &same, &same, &same, &planted, &not]),
            text([&same, &same, &same, &part(40, "same"), &planted, &planted]),
            text([&same, &same, &same, &same, &planted, ""]),
            good.replace("kept", "same"),
        ] {
            assert!(judge(&bad, elf).is_err(), "{bad}");
        }
    }
}
