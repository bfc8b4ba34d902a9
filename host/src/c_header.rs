//! C headers for firmware: a plan with the memory and bytes that it needs; samples with the answers
//! that the integer model gives.

use crate::model::Answer;
use anyhow::{Context as _, ensure};
use core::fmt::{Display, Write as _};
use minionn_core::Error;
use minionn_core::cost;
use minionn_core::plan::Plan;
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine};
use minionn_core::session::{Activations, Options, Tables, prepared_memory};
use minionn_core::target::TargetProfile;
use std::path::Path;

/// Bytes of the two buffers of an engine; none: what suits a microcontroller.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct BufferArgs {
    /// With --c-header: bytes of the buffer for bytes from the peer.
    #[arg(long, value_name = "BYTES", requires = "c_header")]
    pub inbox: Option<usize>,
    /// With --c-header: bytes of the buffer for bytes to the peer.
    #[arg(long, value_name = "BYTES", requires = "c_header")]
    pub outbox: Option<usize>,
}

impl BufferArgs {
    fn buffers(self) -> Buffers {
        let usual = Buffers::of(TargetProfile::BITS32);
        Buffers {
            inbox: self.inbox.unwrap_or(usual.inbox),
            outbox: self.outbox.unwrap_or(usual.outbox),
        }
    }
}

/// The header that `minionn plan --c-header` writes to `path`, whose file name gives all names in
/// it.
///
/// # Errors
/// If the file name is no name in C, or an option is out of range.
pub fn plan(
    path: &Path,
    plan: &Plan<'_>,
    options: &Options,
    buffers: BufferArgs,
) -> anyhow::Result<String> {
    let name = Name::of(path)?;
    let buffers = buffers.buffers();
    let mut out = name.begin("minionn plan", "A plan, and what it needs.");
    check_version(&mut out)?;
    name.define_options(&mut out, options, buffers)?;
    name.define_network(&mut out, plan)?;
    name.define_bytes(&mut out, plan, options)?;
    name.define_memory(&mut out, plan, options, buffers)?;
    name.write_plan(&mut out, plan)?;
    name.write_options(&mut out)?;
    name.end(&mut out)?;
    Ok(out)
}

/// What fails to compile with another version's `minionn.h`.
fn check_version(out: &mut String) -> core::fmt::Result {
    let (major, minor, patch) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    );
    write!(
        out,
        "#include \"minionn.h\"\n\n\
         #if MINIONN_VERSION_MAJOR != {major} || MINIONN_VERSION_MINOR != {minor} || \\\n    \
             MINIONN_VERSION_PATCH != {patch}\n\
         #error \"made for minionn {major}.{minor}.{patch}: sizes may differ, make it again\"\n\
         #endif\n"
    )
}

impl Name {
    fn define_options(
        &self,
        out: &mut String,
        options: &Options,
        buffers: Buffers,
    ) -> core::fmt::Result {
        let tables = match options.tables {
            Tables::Stored => "MINIONN_TABLES_STORED",
            Tables::Streamed => "MINIONN_TABLES_STREAMED",
        };
        let (activations, [rtt_us, bits_per_s]) = activations(options.activations);
        out.push_str("\n/* How a session runs: see minionn_options. */\n");
        self.define(out, "REPETITION", options.repetition.k())?;
        self.define(out, "TABLES", tables)?;
        self.define(out, "ACTIVATIONS", activations)?;
        self.define(out, "LINK_RTT_US", rtt_us)?;
        self.define(out, "LINK_BITS_PER_S", bits_per_s)?;
        self.define(out, "STOCK", options.stock)?;
        self.define(out, "INBOX", buffers.inbox)?;
        self.define(out, "OUTBOX", buffers.outbox)
    }

    fn define_network(&self, out: &mut String, plan: &Plan<'_>) -> core::fmt::Result {
        let (header, argmax) = (plan.header(), plan.is_argmax());
        out.push_str("\n/* What the network takes and gives: see minionn_info. */\n");
        self.define(out, "INPUT_LENGTH", header.input_len)?;
        self.define(out, "OUTPUT_LENGTH", header.output_len)?;
        self.define(out, "ANSWER_LENGTH", if argmax { 0 } else { header.output_len })?;
        self.define(out, "ARGMAX", u8::from(argmax))?;
        if plan.features().is_empty() {
            self.define(out, "INPUT_SCALE", float(header.input.scale))?;
        } else {
            self.steps(out, plan)?;
        }
        self.define(out, "INPUT_MIN", format_args!("({})", header.input.min))?;
        self.define(out, "INPUT_MAX", header.input.max)?;
        self.define(out, "OUTPUT_SCALE", float(header.output_scale))
    }

    /// Steps and offsets of the input, where its parts have their own.
    fn steps(&self, out: &mut String, plan: &Plan<'_>) -> core::fmt::Result {
        let parts = plan.features().len();
        let each = plan.header().input_len as usize / parts.max(1);
        self.define(out, "INPUT_PARTS", parts)?;
        writeln!(
            out,
            "/* Step and offset of each of {}_INPUT_PARTS equal parts of the input: x becomes \
             rint((x - offset) / step). */",
            self.upper
        )?;
        writeln!(out, "static const float {}_input_steps[{parts}][2] = {{", self.lower)?;
        for (step, offset) in (0..parts).filter_map(|part| plan.input_step(part * each)) {
            writeln!(out, "    {{{}, {}}},", float(step), float(offset))?;
        }
        out.push_str("};\n");
        Ok(())
    }

    fn define_bytes(
        &self,
        out: &mut String,
        plan: &Plan<'_>,
        options: &Options,
    ) -> anyhow::Result<()> {
        out.push_str(
            "\n/* Bytes to the server and back: once per connection, once per stock, for each\n \
             * prediction. See minionn_cost. */\n",
        );
        for (phase, cost) in [
            ("SETUP", cost::setup()),
            ("OFFLINE", cost::offline(plan, options)?),
            ("ONLINE", cost::online(plan, options)),
        ] {
            self.define(out, &format!("{phase}_UP"), cost.up)?;
            self.define(out, &format!("{phase}_DOWN"), cost.down)?;
        }
        Ok(())
    }

    fn define_memory(
        &self,
        out: &mut String,
        plan: &Plan<'_>,
        options: &Options,
        buffers: Buffers,
    ) -> anyhow::Result<()> {
        out.push_str(
            "\n/* Bytes of memory, aligned to MINIONN_ALIGN, with these options: what\n \
             * minionn_client_memory(), minionn_server_memory() and minionn_model_memory() tell\n \
             * on the machine that this is compiled for. Not defined where that cannot address\n \
             * as much. */\n",
        );
        for (condition, machine) in [
            ("#if UINTPTR_MAX > 0xffffffffu", TargetProfile::BITS64),
            ("#elif defined(__wasm__)", TargetProfile::WASM32),
            ("#else", TargetProfile::BITS32),
        ] {
            writeln!(out, "{condition}")?;
            let handle = |bytes: usize| machine.check(bytes.saturating_add(machine.handle));
            let client = ClientEngine::memory_on(machine, plan, options, buffers);
            let server = ServerEngine::memory_on(machine, plan, options, buffers);
            for (what, bytes) in [
                ("CLIENT_MEMORY", client),
                ("SERVER_MEMORY", server),
                ("MODEL_MEMORY", prepared_memory(plan, options.stock)),
            ] {
                match bytes.and_then(handle) {
                    Ok(bytes) => self.define(out, what, bytes)?,
                    Err(Error::Memory { .. }) => {}
                    Err(error) => {
                        return Err(error).context("--inbox and --outbox take 64 bytes or more");
                    }
                }
            }
        }
        out.push_str("#endif\n");
        Ok(())
    }

    fn write_plan(&self, out: &mut String, plan: &Plan<'_>) -> core::fmt::Result {
        let (lower, len) = (&self.lower, plan.len_bytes());
        let (content, digest) = plan.bytes();
        out.push_str("\n/* What both parties know. */\n");
        writeln!(out, "static const uint8_t {lower}_plan[{len}] = {{")?;
        numbers(out, content.iter().chain(digest))?;
        out.push_str("};\n");
        Ok(())
    }

    fn write_options(&self, out: &mut String) -> core::fmt::Result {
        let Self { lower, upper } = self;
        write!(
            out,
            "\n/* The options for which the sizes above hold. */\n\
             static inline minionn_status {lower}_options(minionn_options *options) {{\n    \
                 minionn_status status = minionn_options_init(options, sizeof *options);\n    \
                 if (status != MINIONN_OK) return status;\n"
        )?;
        for field in [
            "repetition",
            "tables",
            "activations",
            "link_rtt_us",
            "link_bits_per_s",
            "stock",
            "inbox",
            "outbox",
        ] {
            writeln!(out, "    options->{field} = {upper}_{};", field.to_ascii_uppercase())?;
        }
        out.push_str("    return MINIONN_OK;\n}\n");
        Ok(())
    }
}

/// How activations are computed, in the words of `minionn.h`, and the link that decides: one that
/// carries as many bytes in a round trip, as more of it does not matter.
fn activations(activations: Activations) -> (&'static str, [u64; 2]) {
    match activations {
        Activations::Garbled => ("MINIONN_ACTIVATIONS_GARBLED", [0; 2]),
        Activations::Compared { log2_bytes_per_round: 0 } => {
            ("MINIONN_ACTIVATIONS_COMPARED", [0; 2])
        }
        Activations::Compared { log2_bytes_per_round } => {
            ("MINIONN_ACTIVATIONS_AUTO", [1_000, 8_000 << log2_bytes_per_round])
        }
    }
}

/// The header that `minionn plain --c-header` writes to `path`: the samples as a network's
/// integers, and what the integer model makes of them.
///
/// # Errors
/// If the file name is no name in C.
pub fn samples(path: &Path, plan: &Plan<'_>, answers: &[Answer]) -> anyhow::Result<String> {
    let name = Name::of(path)?;
    let lower = &name.lower;
    let first = answers.first().context("there are no samples")?;
    let (count, columns, answer) = (answers.len(), first.input.len(), first.integers.len());
    let (min, max) = (plan.header().input.min, plan.header().input.max);
    let of = |least: i32, most: i32| min >= least && max <= most;
    let integer = match () {
        () if of(i8::MIN.into(), i8::MAX.into()) => "int8_t",
        () if of(i16::MIN.into(), i16::MAX.into()) => "int16_t",
        () => "int32_t",
    };
    let mut out = name.begin(
        "minionn plain",
        "Samples, and what the integer model makes of them: a private prediction gives the same.",
    );
    out.push_str("#include <stdint.h>\n\n");
    name.define(&mut out, "COUNT", count)?;
    name.define(&mut out, "LENGTH", columns)?;
    name.define(&mut out, "ANSWER_LENGTH", answer)?;
    if plan.features().is_empty() {
        name.define(&mut out, "SCALE", float(plan.header().input.scale))?;
        writeln!(out, "\n/* Quantised; times {}_SCALE in real units. */", name.upper)?;
    } else {
        name.steps(&mut out, plan)?;
        writeln!(out, "\n/* Quantised; times the step, plus the offset, in real units. */")?;
    }
    writeln!(out, "static const {integer} {lower}_input[{count}][{columns}] = {{")?;
    for Answer { input, .. } in answers {
        out.push_str("    {\n");
        numbers(&mut out, input)?;
        out.push_str("    },\n");
    }
    writeln!(
        out,
        "}};\n\n/* Index of the largest output. */\n\
         static const uint32_t {lower}_argmax[{count}] = {{"
    )?;
    numbers(&mut out, answers.iter().map(|answer| answer.class))?;
    out.push_str("};\n");
    if answer > 0 {
        writeln!(
            out,
            "\n/* The outputs, as integers. */\n\
             static const int64_t {lower}_answer[{count}][{answer}] = {{"
        )?;
        for Answer { integers, .. } in answers {
            out.push_str("    {\n");
            numbers(&mut out, integers)?;
            out.push_str("    },\n");
        }
        out.push_str("};\n");
    }
    name.end(&mut out)?;
    Ok(out)
}

/// What all names of a header begin with, after its file.
struct Name {
    lower: String,
    upper: String,
}

impl Name {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        ensure!(
            stem.starts_with(|c: char| c.is_ascii_alphabetic()) && stem.chars().all(word),
            "{}: the file's name begins all names in it, so it must be letters, digits and \
             underscores",
            path.display()
        );
        Ok(Self { lower: stem.to_ascii_lowercase(), upper: stem.to_ascii_uppercase() })
    }

    fn begin(&self, command: &str, what: &str) -> String {
        let upper = &self.upper;
        format!(
            "/* {what}\n \
             * Written by `{command} --c-header`: make it again instead of changing it. */\n\
             #ifndef {upper}_H\n#define {upper}_H\n\n"
        )
    }

    fn define(&self, out: &mut String, what: &str, value: impl Display) -> core::fmt::Result {
        writeln!(out, "#define {}_{what} {value}", self.upper)
    }

    fn end(&self, out: &mut String) -> core::fmt::Result {
        writeln!(out, "\n#endif /* {}_H */", self.upper)
    }
}

/// The shortest constant that is this number again.
fn float(x: f32) -> String {
    format!("{x:e}f")
}

/// Numbers in lines of twelve.
fn numbers(out: &mut String, numbers: impl IntoIterator<Item: Display>) -> core::fmt::Result {
    let mut on_line = 0;
    for number in numbers {
        write!(out, "{}{number},", if on_line == 0 { "    " } else { " " })?;
        on_line = (on_line + 1) % 12;
        if on_line == 0 {
            out.push('\n');
        }
    }
    if on_line != 0 {
        out.push('\n');
    }
    Ok(())
}
