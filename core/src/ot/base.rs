//! Messages of the base OTs: sums of the levels of a client's trees, and how set-up encodes them.
//!
//! A server's choice is encrypted once for each word of a message, so it could take some words of
//! one message and some of the other, and search for the rest of both. An all-or-nothing transform
//! makes 32 bytes of each message (the padding of Bellare and Rogaway, OAEP, EUROCRYPT 1994; as
//! such a transform: Boyko, CRYPTO 1999): `X = m ⊕ H(r, τ)`, `Y = r ⊕ H(X, τ + 1)` with a uniform
//! `r`. A server gets as many bits of both messages of an OT as one has; without half of the bits
//! of each, `m` is hidden by 128 bits that it does not know.

use super::leaves::{Leaves, check};
use super::{Repetition, ggm};
use crate::attack::{Defence, stripped};
use crate::block::Block;
use crate::hash::Tmmo;
use crate::params::KAPPA;
use crate::rng::Prg;
use crate::{Error, Result};
use zeroize::{Zeroize as _, Zeroizing};

/// An encoded message: `X`, `Y`.
pub type Encoded = [Block; 2];

/// The encoded messages of all base OTs: `X`, and `Y`, of both messages of each.
pub struct Messages<'m> {
    x: &'m [[Block; 2]],
    y: &'m [[Block; 2]],
}

impl Messages<'_> {
    /// Both messages of each base OT in order.
    pub fn iter(&self) -> impl Iterator<Item = [Encoded; 2]> {
        self.x.iter().zip(self.y).map(|(&[x0, x1], &[y0, y1])| [[x0, y0], [x1, y1]])
    }
}

/// Levels of the deepest tree.
const LEVELS: usize = Repetition::K8.k();

/// Leaves of a tree for which there may be no room beside `X`.
const SMALL: usize = 1 << Repetition::K2.k();

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
const fn tweak(ot: usize, second: bool) -> Block {
    3 << 126 | (ot as Block) << 2 | (second as Block) << 1
}

/// Client: the messages of all base OTs, encoded under the key of the session that makes the
/// pairing. `roots` gives the roots of the trees, as [`super::Receiver::new`] takes them, `random`
/// what hides messages. `X` stands where leaves will.
///
/// # Errors
/// [`Error::Length`] unless `y` has 128 pairs; [`Error::Internal`] if a tree does not fit its
/// levels, which cannot happen.
pub fn encode<'l>(
    leaves: &'l mut Leaves<'_>,
    y: &'l mut [[Block; 2]],
    roots: &mut Prg,
    random: &mut Prg,
    hash: &Tmmo,
) -> Result<Messages<'l>> {
    check(KAPPA, y.len())?;
    let k = leaves.repetition().k();
    let (x, rest) = leaves.memory().split_at_mut_checked(2 * KAPPA).ok_or(Error::Internal)?;
    let x = x.as_chunks_mut().0;
    let mut small = [0; SMALL];
    let room = if rest.len() < SMALL { &mut small } else { rest };
    let room = room.get_mut(..1 << k).ok_or(Error::Internal)?;
    let mut of_tree = Zeroizing::new([[0; 2]; LEVELS]);
    for (ot, (x, y)) in x.iter_mut().zip(&mut *y).enumerate() {
        if ot % k == 0 {
            of_tree = grow(hash, (ot / k) as u8, roots.next_u128(), room)?;
        }
        let messages = *of_tree.get(ot % k).ok_or(Error::Internal)?;
        for (second, (message, (x, y))) in
            [false, true].into_iter().zip(messages.into_iter().zip(x.iter_mut().zip(y)))
        {
            let (random, tweak) = (random.next_u128(), tweak(ot, second));
            *x = message ^ one(hash, random, tweak);
            *y = random ^ one(hash, *x, tweak + 1);
        }
    }
    room.zeroize();
    Ok(Messages { x, y })
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
