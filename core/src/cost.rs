//! Bytes, rounds and store size, before anything runs. The session takes its frame lengths from
//! here, so they can't disagree.

use crate::block::Block;
use crate::compare::{OtActivation, Stage};
use crate::error::Result;
use crate::handshake::{HELLO_BYTES, WELCOME_BYTES};
use crate::lattice::noise::{self, ParameterSet};
use crate::options::{Options, Tables};
use crate::ot::{GROUP, PROOF_BYTES};
use crate::params::{KAPPA, N, PRIMES};
use crate::plan::circuit::{DECODE_BYTES, LABEL_BYTES, NonlinearCost};
use crate::plan::{OfflineStep, Op, Plan, tile};
use crate::wire::{framed, packed_len, polynomial_bytes};
use core::ops::Range;

/// Bits of a coefficient of the base OTs' `c1` and `c0`: the slot prime has 17.
pub(crate) const BASE_OT_BITS: (u32, u32) = (17 + noise::C1_EXTRA, 17 + noise::C0_EXTRA);

/// Bytes and rounds of a phase, as the client sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phase {
    /// Bytes from client to server.
    pub up: u64,
    /// Bytes from server to client.
    pub down: u64,
    /// How often the client waits for the server.
    pub rounds: u32,
}

impl Phase {
    const fn frame_up(mut self, payload: u64) -> Self {
        self.up += framed(payload);
        self
    }
    const fn frame_down(mut self, payload: u64) -> Self {
        self.down += framed(payload);
        self
    }
    const fn round(mut self) -> Self {
        self.rounds += 1;
        self
    }
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            up: self.up + other.up,
            down: self.down + other.down,
            rounds: self.rounds + other.rounds,
        }
    }
}

/// Bytes of the server's keys and encrypted choices.
pub(crate) const fn server_keys_bytes() -> u64 {
    32 + 2 * polynomial_bytes(N, PRIMES.len())
}

/// Bytes of the client's keys.
pub(crate) const fn client_keys_bytes() -> u64 {
    let [small, large] = ParameterSet::ALL;
    polynomial_bytes(small.n, small.limbs) + polynomial_bytes(large.n, large.limbs)
}

/// Bytes of the base OTs' answer.
pub(crate) const fn base_ot_bytes() -> u64 {
    packed_len(N as u64, BASE_OT_BITS.0) + packed_len(N as u64, BASE_OT_BITS.1)
}

/// Handshake and set-up.
#[must_use]
pub fn setup() -> Phase {
    Phase::default()
        .frame_up(HELLO_BYTES as u64)
        .round()
        .frame_down(WELCOME_BYTES as u64)
        .frame_down(server_keys_bytes())
        .frame_up(client_keys_bytes())
        .frame_up(base_ot_bytes())
        .round()
        .frame_down(0)
}

/// Handshake of a session that goes on with a pairing, instead of [`setup`].
#[must_use]
pub fn resume() -> Phase {
    Phase::default().frame_up(HELLO_BYTES as u64).round().frame_down(WELCOME_BYTES as u64)
}

/// Asking the server to keep its half of the pairing.
#[must_use]
pub fn keep() -> Phase {
    Phase::default().frame_up(0)
}

/// Fetching the plan over the connection.
#[must_use]
pub fn fetch_plan(plan: &Plan<'_>) -> Phase {
    Phase::default().frame_up(2).round().frame_down(plan.len_bytes() as u64)
}

/// Bytes of the client's OT corrections for an operation and one prediction.
fn client_corrections(op: &Op, options: &Options) -> u64 {
    match OtActivation::of(op, options) {
        Some(compared) => compared.correction_bytes(options.repetition)[0],
        None => NonlinearCost::of(op).correction_bytes(options.repetition),
    }
}

/// Bytes of the server's.
pub(crate) fn server_corrections(op: &Op, options: &Options) -> u64 {
    OtActivation::of(op, options)
        .map_or(0, |compared| compared.correction_bytes(options.repetition)[1])
}

/// Whether any operation is compared.
pub(crate) fn compares(plan: &Plan<'_>, options: &Options) -> bool {
    plan.ops().any(|op| OtActivation::of(&op, options).is_some())
}

/// Bytes of the base OTs of OTs in which the server chooses: corrections up, messages down.
fn reverse_base_ot_bytes(plan: &Plan<'_>, options: &Options) -> [u64; 2] {
    if compares(plan, options) {
        [
            options.repetition.correction_bytes_per_group() as u64,
            (2 * KAPPA * size_of::<Block>()) as u64,
        ]
    } else {
        [0; 2]
    }
}

/// Payload of the corrections for the carries of linear layers among these operations, for the
/// whole stock.
pub(crate) fn carry_correction_bytes(
    plan: &Plan<'_>,
    options: &Options,
    range: &Range<usize>,
) -> u64 {
    let results = plan.carries(range) as u64 * u64::from(options.stock);
    let groups = results.div_ceil(GROUP as u64);
    checked(groups * options.repetition.correction_bytes_per_group() as u64, options)
}

/// Bytes of a run of corrections with its mask and proof, if it is not empty.
const fn checked(corrections: u64, options: &Options) -> u64 {
    if corrections == 0 { 0 } else { corrections + check_bytes(options) }
}

/// Bytes of the mask and the proof of a run of corrections.
const fn check_bytes(options: &Options) -> u64 {
    (options.repetition.correction_bytes_per_group() + PROOF_BYTES) as u64
}

/// Whether the frame of tables has a run of the server's corrections.
pub(crate) fn compares_offline(plan: &Plan<'_>, options: &Options) -> bool {
    options.tables == Tables::Stored && compares(plan, options)
}

/// Payload of the answer.
pub(crate) fn carry_answer_bytes(plan: &Plan<'_>, options: &Options, range: &Range<usize>) -> u64 {
    plan.linear_steps(range).map(|step| op_carry_bytes(&step.op, options)[1]).sum()
}

/// A linear layer's part of the corrections for carries, and of the answer, for the whole stock.
fn op_carry_bytes(op: &Op, options: &Options) -> [u64; 2] {
    let (ring, len) = op.output();
    let results = u64::from(len) * u64::from(options.stock);
    let each = options.repetition.correction_bytes_per_group() / GROUP;
    [results * each as u64, packed_len(results, ring.into())]
}

/// Payload of the offline corrections frame, for the whole stock.
pub(crate) fn corrections_bytes(plan: &Plan<'_>, options: &Options) -> u64 {
    let [turn, _] = reverse_base_ot_bytes(plan, options);
    let of_operations = match options.tables {
        Tables::Stored => {
            let one: u64 = plan.ops().map(|op| client_corrections(&op, options)).sum();
            one * u64::from(options.stock)
        }
        Tables::Streamed => 0,
    };
    checked(turn + of_operations, options)
}

/// Payload of the offline tables frame, for the whole stock.
pub(crate) fn tables_bytes(plan: &Plan<'_>, options: &Options) -> u64 {
    let [_, turn] = reverse_base_ot_bytes(plan, options);
    let check = if compares_offline(plan, options) { check_bytes(options) } else { 0 };
    let of_operations = match options.tables {
        Tables::Stored => {
            let one =
                |op: Op| NonlinearCost::of(&op).products_bytes() + server_corrections(&op, options);
            plan.ops().map(one).sum::<u64>() * u64::from(options.stock) + store_bytes(plan, options)
        }
        Tables::Streamed => 0,
    };
    turn + check + of_operations
}

/// Payload of an operation's corrections frame online, for one prediction; 0: there is none.
pub(crate) fn late_corrections_bytes(op: &Op, options: &Options) -> u64 {
    match options.tables {
        Tables::Stored => 0,
        Tables::Streamed => checked(client_corrections(op, options), options),
    }
}

/// Payload of the server's message `number` in a stage of a comparison, for one prediction; the
/// operation's first starts with corrections that were not sent before.
pub(crate) fn server_message_bytes(op: &Op, stage: &Stage, number: u32, options: &Options) -> u64 {
    let late = match options.tables {
        Tables::Streamed if stage.first == 0 && number == 0 => {
            server_corrections(op, options) + check_bytes(options)
        }
        _ => 0,
    };
    late + stage.message_bytes(number)[0]
}

/// Payload of the frame that opens products, for one prediction: corrections that were not sent
/// before, then every δ.
pub(crate) fn opening_bytes(op: &Op, options: &Options) -> u64 {
    let n = NonlinearCost::of(op);
    let late = match options.tables {
        Tables::Stored => 0,
        Tables::Streamed => n.products_bytes(),
    };
    late + packed_len(n.products as u64, u32::from(op.input().0))
}

/// Bytes of the client's table store, for the whole stock.
#[must_use]
pub fn store_bytes(plan: &Plan<'_>, options: &Options) -> u64 {
    match options.tables {
        Tables::Stored => {
            let one = plan.ops().map(|op| NonlinearCost::with_options(&op, options));
            one.map(|n| n.table_bytes() + n.decode_bytes).sum::<u64>() * u64::from(options.stock)
        }
        Tables::Streamed => 0,
    }
}

/// Payload of an operation's labels frame, for one prediction.
pub(crate) fn labels_bytes(op: &Op, options: &Options) -> u64 {
    let n = NonlinearCost::with_options(op, options);
    n.server_labels * LABEL_BYTES
        + match options.tables {
            Tables::Stored => 0,
            Tables::Streamed => n.table_bytes() + n.decode_bytes,
        }
}

/// The offline phase of one stock, the client's request included.
///
/// # Errors
/// None for a checked plan and checked options.
pub fn offline(plan: &Plan<'_>, options: &Options) -> Result<Phase> {
    let mut phase = Phase::default().frame_up(0);
    for op in plan.ops() {
        phase = phase.plus(offline_op(&op, options)?);
    }
    for step in plan.offline_steps() {
        if let OfflineStep::Carries(range) = step {
            let (up, down) = plan.linear_steps(&range).fold((0, 0), |(up, down), step| {
                let [own_up, own_down] = op_carry_bytes(&step.op, options);
                (up + own_up, down + own_down)
            });
            phase.up += framed(carry_correction_bytes(plan, options, &range)) - up;
            phase.down += framed(down) - down;
            phase = phase.round();
        }
    }
    // Operations count what is theirs of a frame that they share; the rest of it is what the whole
    // frame takes more.
    let [up, mut down] = reverse_base_ot_bytes(plan, options);
    let (corrections, tables) = (corrections_bytes(plan, options), tables_bytes(plan, options));
    if corrections > 0 {
        phase.up += framed(corrections) - (corrections - up - check_bytes(options));
    }
    if compares_offline(plan, options) {
        down += check_bytes(options);
    }
    if tables > 0 {
        phase.down += framed(tables) - (tables - down);
        phase = phase.round();
    }
    Ok(phase)
}

/// One operation's part of the offline phase of one stock (frames that operations share are not
/// counted here).
///
/// # Errors
/// None for an operation of a checked plan and checked options.
pub fn offline_op(op: &Op, options: &Options) -> Result<Phase> {
    if op.is_linear() {
        let tile = tile::Tile::choose(op, options.stock as usize)?;
        let [up, down] = op_carry_bytes(op, options);
        let triplets = Phase::default()
            .frame_up(tile.upload_bytes())
            .round()
            .frame_down(tile.download_bytes());
        return Ok(triplets.plus(Phase { up, down, rounds: 0 }));
    }
    match options.tables {
        Tables::Stored => {
            let (n, stock) = (NonlinearCost::with_options(op, options), u64::from(options.stock));
            let down = n.products_bytes()
                + n.table_bytes()
                + n.decode_bytes
                + server_corrections(op, options);
            Ok(Phase { up: client_corrections(op, options) * stock, down: down * stock, rounds: 0 })
        }
        Tables::Streamed => Ok(Phase::default()),
    }
}

/// The online phase of one prediction.
#[must_use]
pub fn online(plan: &Plan<'_>, options: &Options) -> Phase {
    let (ring, len) = (plan.input_ring(), plan.header().input_len);
    let input = Phase::default().frame_up(packed_len(u64::from(len), u32::from(ring))).round();
    plan.ops().map(|op| online_op(&op, options)).fold(input, Phase::plus)
}

/// One operation's part of the online phase.
#[must_use]
pub fn online_op(op: &Op, options: &Options) -> Phase {
    let mut phase = Phase::default();
    if late_corrections_bytes(op, options) > 0 {
        // On the way with what the client has just sent: no round of its own.
        phase = phase.frame_up(late_corrections_bytes(op, options));
    }
    if let Some(compared) = OtActivation::of(op, options) {
        let message = |stage: &Stage, number| {
            let [_, up] = stage.message_bytes(number);
            Phase::default()
                .frame_down(server_message_bytes(op, stage, number, options))
                .frame_up(up)
                .round()
        };
        let stage =
            |stage: Stage| (0..stage.protocol.rounds()).map(move |number| message(&stage, number));
        let phase = compared.stages().flat_map(stage).fold(phase, Phase::plus);
        return if op.is_output() { phase.frame_down(compared.answer_bytes()) } else { phase };
    }
    match *op {
        Op::FullyConnected { .. }
        | Op::Convolution { .. }
        | Op::SumPool { .. }
        | Op::StridedAdd { .. }
        | Op::Offset { .. } => phase,
        Op::Activation { .. } | Op::MaxPool { .. } => {
            let (ring_out, len) = op.output();
            phase
                .frame_down(labels_bytes(op, options))
                .frame_up(packed_len(u64::from(len), u32::from(ring_out)))
                .round()
        }
        Op::Square { ring, len } | Op::Product { ring, len } => phase
            .frame_down(opening_bytes(op, options))
            .frame_up(packed_len(u64::from(len), u32::from(ring)))
            .round(),
        Op::Reveal { ring, len } => phase.frame_down(packed_len(u64::from(len), u32::from(ring))),
        Op::Argmax { .. } => phase.frame_down(labels_bytes(op, options)),
    }
}

const _: () = assert!(DECODE_BYTES == 8, "an argmax has at most 64 index bits");
