//! OT extension after set-up, each party by itself.

use super::{Facts, Measure, Needs};
use crate::bench::primitives::extension::{Memory, Pair};
use minionn_core::backend::aes::Path;
use minionn_core::ot::Repetition;

/// Groups of OTs in one run.
const GROUPS: usize = 64;

fn party(
    name: &str,
    run: fn(&mut Pair<'_>),
    repetition: Repetition,
    measure: Measure<'_>,
) -> anyhow::Result<()> {
    let mut memory = Memory::new(repetition, GROUPS);
    let mut pair = memory.pair(Path::best())?;
    pair.receive();
    // One block of each leaf for every group.
    let needs = Needs { blocks: (GROUPS * repetition.leaves()) as u64, ..Needs::default() };
    let what = format!("OT extension k = {}, {name}", repetition.k());
    measure(Facts { what, units: pair.ots() as u64, unit: "OT", needs }, &mut || {
        run(&mut pair);
        Ok(())
    })
}

/// The client's work.
///
/// # Errors
/// Those of `measure`, as everywhere here.
pub fn receive(repetition: Repetition, measure: Measure<'_>) -> anyhow::Result<()> {
    party("receiver", |pair| pair.receive(), repetition, measure)
}

/// The server's work.
///
/// # Errors
/// As above.
pub fn send(repetition: Repetition, measure: Measure<'_>) -> anyhow::Result<()> {
    party("sender", |pair| pair.send(), repetition, measure)
}
