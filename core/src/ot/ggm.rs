//! Trees of seeds after Goldreich, Goldwasser, Micali, punctured at one leaf: all-but-one OT from
//! `k` base OTs (punctured PRF of Boyle et al., "Efficient Two-Round OT Extension and Silent
//! Non-Interactive Secure Computation", CCS 2019, as in Roy, "SoftSpokenOT", CRYPTO 2022, without
//! its consistency check, which guards against malicious parties only).
//!
//! Level `j` (1 is below the root) decides bit `j − 1` of a leaf's index, so that base OT `i·k + j
//! − 1`, which opens level `j` of tree `i`, has bit `i·k + j − 1` of `Δ` as its choice. A level's
//! nodes stand at `0..2^j`, the children of node `p` at `p` (left) and `p + 2^(j−1)` (right): a
//! tree grows in place.

use super::wide_mask;
use crate::block::Block;
use crate::hash::Tmmo;
use crate::{Error, Result};

/// The tweak under which node `node` of level `level − 1` of tree `tree` is hashed into its child
/// of level `level` on `side` (0 left, 1 right): `2^127 + tree·2^32 + level·2^24 + side·2^16 +
/// node`. Every hash call of a session's trees has its own. Level `k + 1` makes a session's leaves
/// out of a pairing's, see [`super::Receiver::new`].
#[must_use]
pub const fn ggm_tweak(tree: u8, level: u8, side: bool, node: u16) -> Block {
    1 << 127
        | (tree as Block) << 32
        | (level as Block) << 24
        | (side as Block) << 16
        | node as Block
}

/// A session's own leaves, in place of those of the pairing that its trees belong to: leaf `x`
/// becomes its child of level `k + 1` under the session's key. So nothing that one session shows of
/// a leaf says anything in another one. Slot `y` holds leaf `y ⊕ path`; of a punctured tree, slot 0
/// is none.
///
/// # Errors
/// [`Error::Internal`] if the tree has no leaves.
pub(super) fn refresh(
    session: &Tmmo,
    tree: u8,
    path: u16,
    punctured: bool,
    leaves: &mut [Block],
) -> Result<()> {
    let level = leaves.len().checked_ilog2().ok_or(Error::Internal)? as u8 + 1;
    for (slot, pair) in (0..).step_by(2).zip(leaves.as_chunks_mut().0) {
        *pair = session.hash(
            *pair,
            [slot, slot + 1].map(|slot: u16| ggm_tweak(tree, level, false, slot ^ path)),
        );
    }
    if punctured {
        *leaves.first_mut().ok_or(Error::Internal)? = 0;
    }
    Ok(())
}

/// The children of a node. `node` may be secret: it enters the tweak's value only.
fn children(hash: &Tmmo, parent: Block, tree: u8, level: u8, node: u16) -> [Block; 2] {
    hash.hash(
        [parent; 2],
        [ggm_tweak(tree, level, false, node), ggm_tweak(tree, level, true, node)],
    )
}

/// Client: the `2^k` leaves of tree `tree`, leaf `x` in slot `x`, and the base OTs' messages of its
/// `k = messages.len()` levels: `[K1, K0]` with `K0`, `K1` the sums of all left and all right
/// children. The server, with choice bit α, receives `K_{1−α}`.
///
/// # Errors
/// [`Error::Internal`] unless there are `2^k` leaves.
pub(super) fn expand(
    hash: &Tmmo,
    tree: u8,
    root: Block,
    leaves: &mut [Block],
    messages: &mut [[Block; 2]],
) -> Result<()> {
    check(leaves, messages.len())?;
    *leaves.first_mut().ok_or(Error::Internal)? = root;
    for (level, message) in (1..).zip(messages) {
        let (left, right) = leaves.split_at_mut(1 << (level - 1));
        let (mut k0, mut k1) = (0, 0);
        for (node, (left, right)) in (0..).zip(left.iter_mut().zip(right)) {
            [*left, *right] = children(hash, *left, tree, level, node);
            k0 ^= *left;
            k1 ^= *right;
        }
        *message = [k1, k0];
    }
    Ok(())
}

/// Server: all leaves of tree `tree` but number `path = Δ_i`, from the `k = received.len()`
/// received level sums.
///
/// Slot `y` gets leaf `y ⊕ path`. So the missing leaf is always in slot 0 (left zero), no index
/// depends on `path`, and slot order is the order in which the extension adds leaves up.
///
/// # Errors
/// [`Error::Internal`] unless there are `2^k` leaves.
pub(super) fn puncture(
    hash: &Tmmo,
    tree: u8,
    path: u16,
    received: &[Block],
    leaves: &mut [Block],
) -> Result<()> {
    check(leaves, received.len())?;
    leaves.fill(0);
    for (level, &sum) in (1..).zip(received) {
        let half = 1 << (level - 1);
        let above = path & (half - 1);
        let turn = wide_mask(Block::from(path >> (level - 1)));
        let (low, high) = leaves.split_at_mut(usize::from(half));
        // The missing node's sibling is the level's sum minus all its other nodes on that side.
        let mut sibling = sum;
        for (slot, (on, off)) in (0..).zip(low.iter_mut().zip(high.iter_mut())).skip(1) {
            let [left, right] = children(hash, *on, tree, level, slot ^ above);
            let swap = (left ^ right) & turn;
            (*on, *off) = (left ^ swap, right ^ swap);
            sibling ^= *off;
        }
        *high.first_mut().ok_or(Error::Internal)? = sibling;
    }
    Ok(())
}

/// A tree of `levels` levels has `2^levels` leaves: all that follows fills every one of them.
fn check(leaves: &[Block], levels: usize) -> Result<()> {
    if leaves.len() == 1 << levels { Ok(()) } else { Err(Error::Internal) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn tree(k: usize) -> (Tmmo, Vec<Block>, Vec<[Block; 2]>) {
        let hash = Tmmo::new(3);
        let (mut leaves, mut messages) = (std::vec![0; 1 << k], std::vec![[0; 2]; k]);
        expand(&hash, 5, 0x1234_5678 << 77 | 9, &mut leaves, &mut messages).unwrap();
        (hash, leaves, messages)
    }

    #[test]
    fn leaves_are_the_definition() {
        for k in [1, 2, 4, 8] {
            let (hash, leaves, messages) = tree(k);
            let mut sums = std::vec![[0; 2]; k];
            let mut nodes = std::vec![0x1234_5678_u128 << 77 | 9];
            for level in 1..=k {
                let half = nodes.len();
                nodes = (0..2 * half)
                    .map(|x| {
                        let (parent, side) = (x % half, x / half);
                        hash.hash(
                            [nodes[parent]],
                            [ggm_tweak(5, level as u8, side == 1, parent as u16)],
                        )[0]
                    })
                    .collect();
                nodes
                    .iter()
                    .enumerate()
                    .for_each(|(x, node)| sums[level - 1][1 - x / half] ^= node);
            }
            assert_eq!((leaves, messages), (nodes, sums));
        }
    }

    #[test]
    fn server_gets_all_leaves_but_one() {
        for k in [1, 2, 4, 8] {
            let (hash, leaves, messages) = tree(k);
            for path in 0..1_u16 << k {
                let received: Vec<_> = messages
                    .iter()
                    .enumerate()
                    .map(|(j, m)| m[usize::from(path >> j & 1)])
                    .collect();
                let mut got = std::vec![u128::MAX; 1 << k];
                puncture(&hash, 5, path, &received, &mut got).unwrap();
                assert_eq!(got[0], 0);
                for y in 1..got.len() {
                    assert_eq!(
                        got[y],
                        leaves[y ^ usize::from(path)],
                        "k {k}, path {path}, slot {y}"
                    );
                }

                // The missing leaf is the last level's other sum minus the known leaves of its
                // side; the received sum of that level, and all combinations of the
                // received sums, miss it.
                let missing = leaves[usize::from(path)];
                let known = got.iter().take(1 << (k - 1)).fold(0, |sum, leaf| sum ^ leaf);
                assert_eq!(messages[k - 1][1 - usize::from(path >> (k - 1))] ^ known, missing);
                for subset in 0..1_usize << k {
                    let sum = received
                        .iter()
                        .enumerate()
                        .filter(|(j, _)| subset >> j & 1 == 1)
                        .fold(0, |sum, (_, m)| sum ^ m);
                    assert!(
                        sum != missing && sum ^ known != missing,
                        "k {k}, path {path}, subset {subset}"
                    );
                }
            }
        }
    }

    #[test]
    fn both_parties_have_the_same_leaves_of_a_session() {
        for k in [1, 2, 4, 8] {
            let (hash, leaves, messages) = tree(k);
            let session = Tmmo::new(4);
            let mut fresh = leaves.clone();
            refresh(&session, 5, 0, false, &mut fresh).unwrap();
            for (x, (&fresh, &leaf)) in fresh.iter().zip(&leaves).enumerate() {
                assert_eq!(
                    fresh,
                    session.hash([leaf], [ggm_tweak(5, k as u8 + 1, false, x as u16)])[0]
                );
            }
            let path = (0xa5_u16 ^ k as u16) & ((1 << k) - 1);
            let received: Vec<_> =
                messages.iter().enumerate().map(|(j, m)| m[usize::from(path >> j & 1)]).collect();
            let mut got = std::vec![0; 1 << k];
            puncture(&hash, 5, path, &received, &mut got).unwrap();
            refresh(&session, 5, path, true, &mut got).unwrap();
            assert_eq!(got[0], 0);
            assert!((1..got.len()).all(|y| got[y] == fresh[y ^ usize::from(path)]));
        }
    }

    #[test]
    fn a_tree_of_another_size_is_an_error() {
        let hash = Tmmo::new(3);
        for leaves in [0, 1, 3, 5, 8] {
            let mut leaves = std::vec![1; leaves];
            let grown = expand(&hash, 0, 7, &mut leaves, &mut [[0; 2]; 2]);
            assert_eq!(grown, Err(Error::Internal));
            assert_eq!(puncture(&hash, 0, 1, &[0; 2], &mut leaves), Err(Error::Internal));
        }
        for punctured in [false, true] {
            assert_eq!(refresh(&hash, 0, 0, punctured, &mut []), Err(Error::Internal));
        }
    }

    #[test]
    fn tweaks_are_unique() {
        let mut all: Vec<_> = (0..16)
            .flat_map(|tree| {
                (1..=8).flat_map(move |level| {
                    (0..1_u16 << (level - 1)).map(move |node| (tree, level, node))
                })
            })
            .flat_map(|(tree, level, node)| {
                [ggm_tweak(tree, level, false, node), ggm_tweak(tree, level, true, node)]
            })
            .chain(
                (0..16).flat_map(|tree| (0..256).map(move |leaf| ggm_tweak(tree, 9, false, leaf))),
            )
            .collect();
        let calls = all.len();
        assert_eq!(calls, 16 * (2 * 255 + 256));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), calls);
    }
}
