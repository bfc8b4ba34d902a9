//! Single parts of the protocol. Each is set up once, with fixed seeds, and then handed over as a
//! body that does the same work whenever it runs: timed beside its limit by [`super::table`],
//! counted instruction by instruction by `cargo xtask bench`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`lattice`] | transforms, products, encryption, decryption, fresh zeros, packed integers |
//! | [`streams`] | pseudo-random bytes, checksums |
//! | [`garbling`] | one layer of neurons, garbled and evaluated |
//! | [`extension`] | OT extension, each party by itself |
//! | [`pair`] | both parties in memory: set-up, offline, online |

pub mod extension;
pub mod garbling;
pub mod lattice;
pub mod pair;
pub mod streams;

use minionn_core::ot::Repetition;

/// What a body cannot do without, however well it is written. See
/// [`super::limits::Limits::seconds`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// AES blocks.
    pub blocks: u64,
    /// AES key schedules.
    pub schedules: u64,
    /// Bytes read or written, in the cache.
    pub bytes: u64,
    /// Transforms of one limb.
    pub transforms: u64,
    /// Pseudo-random bytes.
    pub random: u64,
    /// Bytes over the loopback interface.
    pub wire: u64,
    /// Round trips over it.
    pub rounds: u64,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Facts {
    /// In words.
    pub what: String,
    /// How much of it one run does,
    pub units: u64,
    /// of what.
    pub unit: &'static str,
    /// What one run needs.
    pub needs: Needs,
}

/// Is handed what is measured, and a body to run.
pub type Measure<'m> =
    &'m mut dyn FnMut(Facts, &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<()>;

/// One part.
#[derive(Clone, Copy)]
pub struct Part {
    /// Its name, for machines.
    pub name: &'static str,
    /// Whether its body can run again and again; else only once.
    pub again: bool,
    /// Sets up and hands over.
    pub set_up: fn(Measure<'_>) -> anyhow::Result<()>,
}

const fn part(name: &'static str, set_up: fn(Measure<'_>) -> anyhow::Result<()>) -> Part {
    Part { name, again: true, set_up }
}

const fn once(name: &'static str, set_up: fn(Measure<'_>) -> anyhow::Result<()>) -> Part {
    Part { name, again: false, set_up }
}

/// All of them. The transform and the pseudo-random bytes come first: what follows is held against
/// them.
pub const PARTS: &[Part] = &[
    part("ntt", lattice::forward),
    part("prg", streams::random),
    part("inverse-ntt", lattice::inverse),
    part("multiply-accumulate", lattice::multiply_accumulate),
    part("encrypt", lattice::encrypt),
    part("decrypt-many", lattice::decrypt_many),
    part("decrypt-few", lattice::decrypt_few),
    part("rerandomise", lattice::rerandomise),
    part("pack", lattice::pack),
    part("unpack", lattice::unpack),
    part("checksum", streams::checksum),
    part("garble", garbling::garble),
    part("evaluate", garbling::evaluate),
    part("ot-receive-1", |measure| extension::receive(Repetition::K1, measure)),
    part("ot-receive-2", |measure| extension::receive(Repetition::K2, measure)),
    part("ot-receive-4", |measure| extension::receive(Repetition::K4, measure)),
    part("ot-receive-8", |measure| extension::receive(Repetition::K8, measure)),
    part("ot-send-1", |measure| extension::send(Repetition::K1, measure)),
    part("ot-send-2", |measure| extension::send(Repetition::K2, measure)),
    part("ot-send-4", |measure| extension::send(Repetition::K4, measure)),
    part("ot-send-8", |measure| extension::send(Repetition::K8, measure)),
    part("set-up", pair::set_up),
    once("fig10-offline", |measure| pair::offline("fig10", measure)),
    once("fig10-online", |measure| pair::online("fig10", measure)),
    once("fig12-offline", |measure| pair::offline("fig12", measure)),
    once("fig12-online", |measure| pair::online("fig12", measure)),
    once("fig13-offline", |measure| pair::offline("fig13", measure)),
    once("fig13-online", |measure| pair::online("fig13", measure)),
];

/// The part of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.name == name)
}

/// Runs a part's body once, inside of [`counted`].
///
/// # Errors
/// Those of the body.
pub fn count(part: &Part) -> anyhow::Result<()> {
    (part.set_up)(&mut |_, body| counted(body))
}

/// What a profiler is told to look at: nothing else runs in here.
#[inline(never)]
pub fn counted(body: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    core::hint::black_box(body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_and_says_what_it_needs() {
        for part in PARTS.iter().filter(|part| !part.name.starts_with("fig1")) {
            let mut seen = 0;
            let done = (part.set_up)(&mut |facts, body| {
                seen += 1;
                let n = facts.needs;
                let needs =
                    [n.blocks, n.schedules, n.bytes, n.transforms, n.random, n.wire, n.rounds];
                assert!(facts.units > 0 && needs.iter().any(|&need| need > 0), "{}", part.name);
                body()?;
                if part.again { body() } else { Ok(()) }
            });
            assert!(done.is_ok() && seen == 1, "{}: {done:?}", part.name);
        }
    }

    #[test]
    fn names_are_told_apart() {
        for part in PARTS {
            assert_eq!(PARTS.iter().filter(|other| other.name == part.name).count(), 1);
            assert!(find(part.name).is_some());
        }
        assert!(find("nothing").is_none());
    }
}
