//! Messages of the base OTs: sums of the levels of a client's trees, and how set-up encodes them.
//!
//! A server's choice is encrypted once for each word of a message, so it could take some words of
//! one message and some of the other, and search for the rest of both. An all-or-nothing transform
//! makes 32 bytes of each message (the padding of Bellare and Rogaway, OAEP, EUROCRYPT 1994; as
//! such a transform: Boyko, CRYPTO 1999): `X = m ⊕ H(r, τ)`, `Y = r ⊕ H(X, τ + 1)` with `r`
//! uniform. A server gets no more bits of both messages together than one has; without half of the
//! bits of each, `m` is hidden by 128 bits that it does not know.

use super::leaves::Leaves;
use super::{Encoded, Repetition, ggm};
use crate::attack::{Defence, stripped};
use crate::block::Block;
use crate::hash::Tmmo;
use crate::params::KAPPA;
use crate::rng::Prg;
use crate::{Error, Result};
use zeroize::Zeroizing;

/// Levels of the deepest tree.
const LEVELS: usize = Repetition::K8.k();

/// Grows a tree of as many levels as `leaves` need; gives the message pairs of its base OTs.
pub(super) fn grow(
    hash: &Tmmo,
    tree: u8,
    root: Block,
    leaves: &mut [Block],
) -> Result<Zeroizing<[[Block; 2]; LEVELS]>> {
    let mut pairs = Zeroizing::new([[0; 2]; LEVELS]);
    let levels = leaves.len().checked_ilog2().ok_or(Error::Internal)? as usize;
    ggm::expand(hash, tree, root, leaves, pairs.get_mut(..levels).ok_or(Error::Internal)?)?;
    if tree == 0 && !stripped(Defence::OddDelta) {
        let [[m0, m1], ..] = &mut *pairs;
        *m0 = *m1;
    }
    Ok(pairs)
}

/// The tweak of the encoding of a base OT's message.
fn tweak(ot: usize, second: bool) -> Block {
    3 << 126 | (ot as Block) << 2 | Block::from(second) << 1
}

/// Client: the messages of all base OTs, encoded under the key of the session that makes the
/// pairing: for each OT, both. `roots` gives the roots of the trees, as [`super::Receiver::new`]
/// takes them, `random` what hides messages. They stand where leaves will.
///
/// # Errors
/// [`Error::Internal`] if a tree does not fit its levels, which cannot happen.
pub fn encode<'l>(
    leaves: &'l mut Leaves<'_>,
    roots: &mut Prg,
    random: &mut Prg,
    hash: &Tmmo,
) -> Result<&'l [Encoded; 2 * KAPPA]> {
    let repetition = leaves.repetition();
    let (messages, rest) = leaves.messages()?;
    let rest = rest.get_mut(..1 << repetition.k()).ok_or(Error::Internal)?;
    let of_trees = messages.chunks_exact_mut(2 * repetition.k());
    for (tree, messages) in (0..repetition.blocks()).zip(of_trees) {
        let pairs = grow(hash, tree as u8, roots.next_u128(), rest)?;
        let all = pairs.iter().enumerate().flat_map(|(level, pair)| {
            let ot = tree * repetition.k() + level;
            pair.iter()
                .zip([false, true])
                .map(move |(message, second)| (tweak(ot, second), *message))
        });
        for (to, (tweak, message)) in messages.iter_mut().zip(all) {
            let random = random.next_u128();
            let x = message ^ one(hash, random, tweak);
            *to = [x, random ^ one(hash, x, tweak + 1)];
        }
    }
    Ok(messages)
}

/// Server: the message that base OT `ot` gave to the choice `second`, secret.
#[must_use]
pub fn decode(hash: &Tmmo, ot: usize, second: bool, [x, y]: Encoded) -> Block {
    let tweak = tweak(ot, second);
    x ^ one(hash, y ^ one(hash, x, tweak + 1), tweak)
}

/// One hash.
fn one(hash: &Tmmo, x: Block, tweak: Block) -> Block {
    if stripped(Defence::AllOrNothing) {
        return 0;
    }
    let [hashed] = hash.hash([x], [tweak]);
    hashed
}
