//! C headers for firmware: they compile everywhere, and what they say is what the library says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use minionn_core::handshake::Greeting;
use minionn_core::ot::Repetition;
use minionn_core::plan::Plan;
use minionn_core::session::{Activations, MAX_LOG2_BYTES_PER_ROUND, Options, Tables};
use minionn_host::Model;
use minionn_host::c_header::{self, BufferArgs};
use minionn_host::link_model::LinkModel;
use minionn_host::npy;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const STRICT: &[&str] = &["-pedantic", "-Wall", "-Wextra", "-Werror"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(root().join("models").join(name)).unwrap()
}

/// A folder of this test's own.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&folder).unwrap();
    folder
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

fn options(repetition: Repetition, tables: Tables, stock: u32) -> Options {
    Options { repetition, tables, stock, ..Options::default() }
}

/// Held-out rows of a network.
fn held_out(name: &str) -> npy::Array {
    let samples = if name == "fig10_square" { "mnist" } else { name };
    npy::read(&root().join(format!("models/{samples}.test.npy"))).unwrap()
}

/// The headers of a model and of its first test rows, in `folder`.
fn write_headers(folder: &Path, name: &str, options: &Options, buffers: BufferArgs, rows: usize) {
    let model = Model::from_bytes(read(&format!("{name}.minionn"))).unwrap();
    let (network, windows) = (folder.join("network.h"), folder.join("windows.h"));
    let plan = model.plan().core();
    std::fs::write(&network, c_header::plan(&network, plan, options, buffers).unwrap()).unwrap();
    let inputs = held_out(name);
    let rows = inputs.rows_of(model.plan().input_len()).unwrap().take(rows);
    let answers = model.answers(rows).unwrap();
    std::fs::write(&windows, c_header::samples(&windows, plan, &answers).unwrap()).unwrap();
}

const PROGRAM: &str = r#"
#include "network.h"
#include "windows.h"
#include "network.h"
#include "windows.h"
int main(void) {
    minionn_options options;
    return network_options(&options) != MINIONN_OK || network_plan[0] != windows_argmax[0] ||
           windows_input[0][0] > 0 || windows_answer[0][0] > 0 ||
           NETWORK_CLIENT_MEMORY + NETWORK_SERVER_MEMORY + NETWORK_MODEL_MEMORY == 0;
}
"#;

#[test]
fn headers_compile_as_every_standard() {
    let folder = folder("c_header_standards");
    let (c, cpp) = (folder.join("main.c"), folder.join("main.cpp"));
    std::fs::write(&c, PROGRAM).unwrap();
    std::fs::write(&cpp, PROGRAM.replace("(void)", "()")).unwrap();
    for (name, options) in [
        ("digits_relu", options(Repetition::K2, Tables::Streamed, 1)),
        ("fig13_cifar", options(Repetition::K8, Tables::Stored, 3)),
    ] {
        write_headers(&folder, name, &options, BufferArgs { inbox: Some(300), outbox: None }, 2);
        let mut compilers = 0;
        for (tool, source, standards) in [
            ("gcc", &c, &["c99", "c11", "c17"][..]),
            ("clang", &c, &["c99", "c11", "c17"]),
            ("arm-none-eabi-gcc", &c, &["c99"]),
            ("g++", &cpp, &["c++17", "c++20"]),
            ("clang++", &cpp, &["c++17", "c++20"]),
        ] {
            if !exists(tool) {
                println!("skipped: {tool} is not installed");
                continue;
            }
            compilers += 1;
            for standard in standards {
                let mut compiler = Command::new(tool);
                compiler.arg(format!("-std={standard}")).args(STRICT).args([
                    "-ffreestanding",
                    "-fsyntax-only",
                    "-I",
                ]);
                run(compiler.arg(root().join("include")).arg("-I").arg(&folder).arg(source));
            }
        }
        assert!(compilers >= 2, "a C and a C++ compiler are needed");
    }
}

/// Says what a C compiler of this machine sees in the headers, one `NAME NUMBER` a line; floats as
/// their bits.
const PRINTER: &str = r#"
#include "network.h"
#include "windows.h"
#include <stdio.h>
#include <string.h>
static unsigned bits(float x) { unsigned n; memcpy(&n, &x, sizeof n); return n; }
#define SAY(name) printf(#name " %lld\n", (long long)(name))
#define SAY_BITS(name) printf(#name " %u\n", bits(name))
int main(void) {
    size_t i, k;
    SAY(NETWORK_CLIENT_MEMORY); SAY(NETWORK_SERVER_MEMORY); SAY(NETWORK_MODEL_MEMORY);
    SAY(NETWORK_SETUP_UP); SAY(NETWORK_SETUP_DOWN); SAY(NETWORK_OFFLINE_UP);
    SAY(NETWORK_OFFLINE_DOWN); SAY(NETWORK_ONLINE_UP); SAY(NETWORK_ONLINE_DOWN);
    SAY(NETWORK_REPETITION); SAY(NETWORK_TABLES); SAY(NETWORK_STOCK); SAY(NETWORK_INBOX);
    SAY(NETWORK_OUTBOX); SAY(NETWORK_ACTIVATIONS); SAY(NETWORK_LINK_RTT_US);
    SAY(NETWORK_LINK_BITS_PER_S);
    SAY(NETWORK_INPUT_LENGTH); SAY(NETWORK_OUTPUT_LENGTH); SAY(NETWORK_ANSWER_LENGTH);
    SAY(NETWORK_ARGMAX); SAY(NETWORK_INPUT_MIN); SAY(NETWORK_INPUT_MAX);
    SAY_BITS(NETWORK_INPUT_SCALE); SAY_BITS(NETWORK_OUTPUT_SCALE);
    for (i = 0; i < sizeof network_plan; i++)
        printf("plan.%u %u\n", (unsigned)i, network_plan[i]);
    SAY_BITS(WINDOWS_SCALE);
    for (i = 0; i < WINDOWS_COUNT; i++) {
        printf("argmax.%u %u\n", (unsigned)i, (unsigned)windows_argmax[i]);
        for (k = 0; k < WINDOWS_LENGTH; k++)
            printf("x.%u.%u %d\n", (unsigned)i, (unsigned)k, (int)windows_input[i][k]);
        for (k = 0; k < WINDOWS_ANSWER_LENGTH; k++)
            printf("y.%u.%u %lld\n", (unsigned)i, (unsigned)k, (long long)windows_answer[i][k]);
    }
    return 0;
}
"#;

/// What [`PRINTER`] prints.
fn seen_by_c(folder: &Path) -> BTreeMap<String, i64> {
    let (source, program) = (folder.join("print.c"), folder.join("print"));
    std::fs::write(&source, PRINTER).unwrap();
    let mut compiler = Command::new("gcc");
    compiler
        .arg("-std=c99")
        .args(STRICT)
        .arg("-Wno-unused-function")
        .arg("-I")
        .arg(root().join("include"))
        .arg("-I")
        .arg(folder);
    // The options function would need the library.
    run(compiler.arg(&source).args(["-O1", "-o"]).arg(&program));
    let lines = run(&mut Command::new(program));
    lines
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, n)| (name.to_owned(), n.parse().unwrap()))
        .collect()
}

#[test]
fn macros_and_functions_agree() {
    let folder = folder("c_header_agree");
    let buffers = BufferArgs { inbox: Some(1000), outbox: None };
    let compared = |log2_bytes_per_round| Options {
        activations: Activations::Compared { log2_bytes_per_round },
        ..options(Repetition::K8, Tables::Stored, 2)
    };
    // Round trips are worth nothing, a little, and more than all that a comparison saves.
    let mut rounds = Vec::new();
    for (name, options) in [
        ("digits_relu", options(Repetition::K2, Tables::Streamed, 1)),
        ("digits_relu", options(Repetition::K8, Tables::Stored, 5)),
        ("fig10_square", options(Repetition::K1, Tables::Streamed, 1)),
        ("digits_relu", compared(0)),
        ("digits_relu", compared(8)),
        ("digits_relu", compared(MAX_LOG2_BYTES_PER_ROUND)),
    ] {
        write_headers(&folder, name, &options, buffers, 3);
        let seen = seen_by_c(&folder);
        let plan_bytes = read(&format!("{name}.plan"));
        let mut c_options = core::mem::MaybeUninit::uninit();
        let mut cost = core::mem::MaybeUninit::uninit();
        let mut info = core::mem::MaybeUninit::uninit();
        let mut size = 0;
        // SAFETY: pointers of live values; what is read was written by a call that succeeded.
        let (cost, info) = unsafe {
            let ok = minionn::minionn_status::MINIONN_OK;
            assert_eq!(
                minionn::minionn_options_init(
                    c_options.as_mut_ptr(),
                    size_of::<minionn::minionn_options>()
                ),
                ok
            );
            let mut c_options = c_options.assume_init();
            c_options.repetition = options.repetition.k() as u8;
            c_options.tables = options.tables as u8;
            c_options.stock = options.stock;
            c_options.activations = seen["NETWORK_ACTIVATIONS"] as u8;
            c_options.link_rtt_us = seen["NETWORK_LINK_RTT_US"] as u32;
            c_options.link_bits_per_s = seen["NETWORK_LINK_BITS_PER_S"] as u64;
            (c_options.inbox, c_options.outbox) = (1000, 2048);
            let (plan, len) = (plan_bytes.as_ptr(), plan_bytes.len());
            assert_eq!(minionn::minionn_client_memory(plan, len, &c_options, &mut size), ok);
            assert_eq!(minionn::minionn_plan_cost(plan, len, &c_options, cost.as_mut_ptr()), ok);
            assert_eq!(minionn::minionn_plan_info(plan, len, info.as_mut_ptr()), ok);
            (cost.assume_init(), info.assume_init())
        };
        rounds.push(cost.online.rounds);
        let mut expected: BTreeMap<String, i64> = [
            ("NETWORK_CLIENT_MEMORY", size as i64),
            ("NETWORK_SERVER_MEMORY", cost.server_memory as i64),
            ("NETWORK_MODEL_MEMORY", cost.model_memory as i64),
            ("NETWORK_SETUP_UP", cost.setup.up as i64),
            ("NETWORK_SETUP_DOWN", cost.setup.down as i64),
            ("NETWORK_OFFLINE_UP", cost.offline.up as i64),
            ("NETWORK_OFFLINE_DOWN", cost.offline.down as i64),
            ("NETWORK_ONLINE_UP", cost.online.up as i64),
            ("NETWORK_ONLINE_DOWN", cost.online.down as i64),
            ("NETWORK_REPETITION", options.repetition.k() as i64),
            ("NETWORK_TABLES", options.tables as i64),
            ("NETWORK_STOCK", i64::from(options.stock)),
            ("NETWORK_INBOX", 1000),
            ("NETWORK_OUTBOX", 2048),
            // These three are what the costs above were asked with.
            ("NETWORK_ACTIVATIONS", seen["NETWORK_ACTIVATIONS"]),
            ("NETWORK_LINK_RTT_US", seen["NETWORK_LINK_RTT_US"]),
            ("NETWORK_LINK_BITS_PER_S", seen["NETWORK_LINK_BITS_PER_S"]),
            ("NETWORK_INPUT_LENGTH", i64::from(info.input_length)),
            ("NETWORK_OUTPUT_LENGTH", i64::from(info.output_length)),
            ("NETWORK_ANSWER_LENGTH", i64::from(info.answer_length)),
            ("NETWORK_ARGMAX", i64::from(info.argmax)),
            ("NETWORK_INPUT_MIN", i64::from(info.input_min)),
            ("NETWORK_INPUT_MAX", i64::from(info.input_max)),
            ("NETWORK_INPUT_SCALE", i64::from(info.input_scale.to_bits())),
            ("NETWORK_OUTPUT_SCALE", i64::from(info.output_scale.to_bits())),
            ("WINDOWS_SCALE", i64::from(info.input_scale.to_bits())),
        ]
        .map(|(name, n)| (name.to_owned(), n))
        .into();
        expected.extend(
            plan_bytes.iter().enumerate().map(|(i, &byte)| (format!("plan.{i}"), i64::from(byte))),
        );
        let (model, inputs) = (read(&format!("{name}.minionn")), held_out(name));
        let rows = inputs.rows_of(info.input_length as usize).unwrap().take(3);
        let answers = Model::from_bytes(model).unwrap().answers(rows).unwrap();
        for (i, answer) in answers.iter().enumerate() {
            expected.insert(format!("argmax.{i}"), answer.class as i64);
            expected
                .extend(answer.input.iter().enumerate().map(|(k, &x)| (format!("x.{i}.{k}"), x)));
            expected.extend(
                answer.integers.iter().enumerate().map(|(k, &y)| (format!("y.{i}.{k}"), y)),
            );
        }
        assert!(seen == expected, "{name}: {:?}", seen.iter().zip(&expected).find(|(a, b)| a != b));
    }
    let [garbled, .., all, few, none] = rounds[..] else { unreachable!() };
    assert!(all > garbled && few > garbled && none == garbled, "{rounds:?}");
}

#[test]
fn what_a_small_machine_cannot_address_is_left_out() {
    let bytes = read("fig11_conv_square.plan");
    let plan = Plan::parse(&bytes).unwrap();
    let all = options(Repetition::K8, Tables::Stored, 4096);
    let text = c_header::plan(Path::new("large.h"), &plan, &all, BufferArgs::default()).unwrap();
    let (large, small) = text.split_once("\n#elif").unwrap();
    let of = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name)?.trim().parse().ok())
    };
    assert!(
        of(large, "LARGE_CLIENT_MEMORY") > Some(1_u64 << 32)
            && of(large, "LARGE_MODEL_MEMORY") < Some(1 << 31)
    );
    assert!(
        of(small, "LARGE_CLIENT_MEMORY").is_none() && of(small, "LARGE_MODEL_MEMORY").is_some(),
        "gigabytes of tables"
    );
}

#[test]
fn what_makes_no_header_is_said() {
    let bytes = read("digits_relu.plan");
    let plan = Plan::parse(&bytes).unwrap();
    for name in ["7up.h", "my-net.h", ".h", "a b.h", "ä.h"] {
        let error =
            c_header::plan(Path::new(name), &plan, &Options::default(), BufferArgs::default())
                .unwrap_err();
        assert!(error.to_string().contains("letters, digits and underscores"), "{name}: {error}");
    }
    let small = BufferArgs { inbox: Some(63), outbox: None };
    let error = c_header::plan(Path::new("net.h"), &plan, &Options::default(), small).unwrap_err();
    assert!(error.to_string().contains("64 bytes"), "{error}");
    assert!(c_header::samples(Path::new("none.h"), &plan, &[]).is_err());
}

#[test]
fn the_commands_write_them() {
    let folder = folder("c_header_commands");
    let minionn = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_minionn"));
        command.current_dir(root().join("models"));
        command
    };
    let (network, windows) = (folder.join("network.h"), folder.join("windows.h"));
    run(minionn()
        .args([
            "plan",
            "digits_relu.plan",
            "--ot",
            "2",
            "--tables",
            "streamed",
            "--outbox",
            "512",
            "--c-header",
        ])
        .arg(&network));
    run(minionn()
        .args([
            "plain",
            "digits_relu.minionn",
            "--input",
            "digits_relu.test.npy",
            "--rows",
            "4",
            "--c-header",
        ])
        .arg(&windows));
    let seen = seen_by_c(&folder);
    assert_eq!(
        (seen["NETWORK_INBOX"], seen["NETWORK_OUTBOX"], seen["NETWORK_TABLES"]),
        (2048, 512, 1)
    );
    assert!(seen.contains_key("argmax.3") && !seen.contains_key("argmax.4"));
    assert!(
        !minionn()
            .args(["plan", "digits_relu.plan", "--inbox", "512"])
            .output()
            .unwrap()
            .status
            .success(),
        "only with --c-header"
    );
}

/// How a session of the C ABI asks for activations: what its first message says.
fn asked_for(options: &minionn::minionn_options) -> Activations {
    use minionn::*;
    let (plan, mut seed) = (read("digits_relu.plan"), [7_u8; 32]);
    let user = seed.as_mut_ptr().cast();
    let random = minionn_random { fill: Some(minionn_random_test_seed), user };
    let (mut bytes, mut session, mut n) = (0, core::ptr::null_mut(), 0);
    let (mut state, mut hello) = (minionn_state::MINIONN_BUSY, [0; MINIONN_GREETING_MAX]);
    let (at, len) = (plan.as_ptr(), plan.len());
    // SAFETY: pointers of live values; the memory outlives the session.
    unsafe {
        let ok = minionn_status::MINIONN_OK;
        assert_eq!(minionn_client_memory(at, len, options, &mut bytes), ok);
        let mut memory = vec![0_u128; bytes.div_ceil(16)];
        let memory = memory.as_mut_ptr().cast();
        let init = minionn_client_init(memory, bytes, at, len, options, &random, &mut session);
        assert_eq!(init, ok);
        assert_eq!(minionn_session_poll(session, &mut state), ok);
        let (out, capacity) = (hello.as_mut_ptr(), hello.len());
        assert_eq!(minionn_session_drain(session, out, capacity, &mut n), ok);
        minionn_session_wipe(session);
    }
    match Greeting::peek(&hello) {
        Ok(Some((Greeting::Hello(hello), _))) => hello.options.activations,
        other => panic!("{other:?}"),
    }
}

#[test]
fn links_of_the_c_abi_are_those_of_the_command() {
    use minionn::minionn_link::*;
    let mut options = core::mem::MaybeUninit::uninit();
    // SAFETY: a pointer of a live value, which is read after the call has succeeded.
    let mut options = unsafe {
        let size = size_of::<minionn::minionn_options>();
        let status = minionn::minionn_options_init(options.as_mut_ptr(), size);
        assert_eq!(status, minionn::minionn_status::MINIONN_OK);
        options.assume_init()
    };
    for (name, link) in [
        ("lan", MINIONN_LINK_LAN),
        ("wan", MINIONN_LINK_WAN),
        ("uart", MINIONN_LINK_UART),
        ("ble", MINIONN_LINK_BLE),
    ] {
        // SAFETY: live options.
        let status = unsafe { minionn::minionn_options_set_link(&mut options, link as i32) };
        assert_eq!(status, minionn::minionn_status::MINIONN_OK);
        let link: LinkModel = name.parse().unwrap();
        assert_eq!(u128::from(options.link_rtt_us), link.round_trip.as_micros(), "{name}");
        assert_eq!(options.link_bits_per_s as f64, link.bits_per_second, "{name}");
        assert_eq!(asked_for(&options), link.activations(), "{name}");
    }
    // On both sides of powers of two.
    for (rtt_us, bits_per_s) in
        [(1_000, 8_192_000), (1_000, 8_192_001), (1, 100), (7_777, 123_456), (60_000_000, 1 << 39)]
    {
        (options.link_rtt_us, options.link_bits_per_s) = (rtt_us, bits_per_s);
        let link: LinkModel = format!("{rtt_us}us,{bits_per_s}bit").parse().unwrap();
        assert_eq!(asked_for(&options), link.activations(), "{rtt_us} µs, {bits_per_s} bit/s");
    }
}
