//! Plan and model: read from flash, checked, evaluated in the clear.

use crate::tiny;
use minionn_core::model::Model;
use minionn_core::plan::{DIGEST, HEADER, OP, Plan};

/// Written on the host, see `build.rs`.
static PLAN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tiny.plan"));
static MODEL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tiny.model"));

/// Bytes of the tiny plan.
const PLAN_LEN: usize = HEADER + tiny::OPS.len() * OP + DIGEST;
/// Elements of all tensors: the input and four more of two.
const SCRATCH: usize = tiny::INPUTS + 4 * 2;

/// SHA-256 of the plan without its digest, from Python's struct and hashlib. It changes with the
/// format and with `tiny.rs` only.
const PLAN_DIGEST: [u8; DIGEST] = [
    0xc6, 0x6d, 0xe5, 0x05, 0x51, 0xb2, 0xb5, 0x02, 0x73, 0x5e, 0xc8, 0xa7, 0x05, 0xc9, 0x5a, 0x8f,
    0x50, 0x3e, 0x6e, 0xb4, 0x03, 0xae, 0xc6, 0x29, 0x4f, 0xa9, 0x4c, 0x32, 0xf6, 0x4f, 0x23, 0xaa,
];

/// The digest that the handshake compares.
pub(crate) fn plan_digest() -> bool {
    Plan::parse(PLAN).is_ok_and(|plan| *plan.digest() == PLAN_DIGEST && plan.name() == "tiny")
}

/// Device and host write the same plan.
pub(crate) fn plan_bytes() -> bool {
    let mut bytes = [0; PLAN_LEN];
    Plan::write(&tiny::header(), &tiny::OPS, &mut bytes) == Ok(PLAN_LEN) && bytes == *PLAN
}

/// One flipped bit anywhere, or one byte less, is noticed.
pub(crate) fn damage() -> bool {
    let mut bytes = [0; PLAN_LEN];
    bytes.copy_from_slice(PLAN);
    let refused = (0..PLAN_LEN).all(|i| {
        bytes[i] ^= 1 << (i % 8);
        let refused = Plan::parse(&bytes).is_err();
        bytes[i] ^= 1 << (i % 8);
        refused
    });
    refused && Plan::parse(&PLAN[1..]).is_err() && Plan::parse(&PLAN[..PLAN_LEN - 1]).is_err()
}

/// Two inputs, worked out by hand.
pub(crate) fn evaluation() -> bool {
    let Ok(model) = Model::parse(MODEL) else { return false };
    // [1, -2, 3]: -201 and 0 after the first layer, both 0 after ReLU; the last layer's biases
    // remain.
    // [-1, 2, 4]: -495 and 6; ReLU and shift: 0 and 3; squares: 0 and 9; -2700 + 5 and 2700 + 6.
    predicts(&model, [1, -2, 3], [5, 6]) && predicts(&model, [-1, 2, 4], [-2695, 2706])
}

fn predicts(model: &Model<'_>, x: [i64; tiny::INPUTS], logits: [i64; tiny::OUTPUTS]) -> bool {
    let (mut scratch, mut out) = ([0; SCRATCH], [0; tiny::OUTPUTS]);
    // The second output is the larger one both times.
    model.evaluate(&x, &mut scratch, &mut out) == Ok(1) && out == logits
}
