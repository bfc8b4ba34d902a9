//! Pairings: what set-up makes and both parties may keep, so that later sessions of theirs start
//! without one.
//!
//! A session holds its pairing as a *pairing state*, blocks in the caller's memory, and a server
//! the client's public key besides:
//!
//! | | pairing state |
//! |---|---|
//! | client | id; seed of its lattice key and of the roots of its OT trees (2 blocks) |
//! | server | id; `Δ`; seed of the client's public key (2 blocks); the 128 messages of base OTs |
//!
//! The id is the session key of the session that made the pairing. Neither state ever changes, so
//! an old copy is as good as a new one: what must be fresh in a session comes from its nonces and
//! seeds. A pairing outlives plans and models; it is bound to `k`.
//!
//! Exported: `magic (8) | version u16 | k u8 | five zeros | pairing state | server: public key, as
//! it came over the wire | SHA-256 of all that`. The digest tells damage, not forgery.

use super::Options;
use crate::block::Block;
use crate::cost::client_keys_bytes;
use crate::error::{Error, PlanFault, Result};
use crate::handshake::PairingId;
use crate::lattice::encrypt::{PUBLIC_KEY, is_canonical};
use crate::lattice::noise::ParameterSet;
use crate::ot::Repetition;
use crate::params::{KAPPA, SMALL_N, VERSION};
use crate::ring::{LIMBS, Limb};
use crate::rng::Seed;
use crate::wire::{GROUP, pack, packed_len, unpack};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// Blocks of a client's pairing state.
pub(crate) const CLIENT_STATE_BLOCKS: usize = 3;
/// Blocks of a server's pairing state.
pub(crate) const SERVER_STATE_BLOCKS: usize = 4 + KAPPA;

const HEADER: usize = 16;
const DIGEST: usize = 32;

/// Bytes of a client's exported pairing.
pub const CLIENT_PAIRING_BYTES: usize = Party::Client.bytes();
/// Bytes of a server's exported pairing.
pub const SERVER_PAIRING_BYTES: usize = Party::Server.bytes();

/// Whose half of a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

impl Party {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Client => *b"MiniONNc",
            Self::Server => *b"MiniONNs",
        }
    }

    const fn state_bytes(self) -> usize {
        size_of::<Block>()
            * match self {
                Self::Client => CLIENT_STATE_BLOCKS,
                Self::Server => SERVER_STATE_BLOCKS,
            }
    }

    /// Numbers of the peer's public key that are kept, and their bytes.
    const fn key(self) -> (usize, usize) {
        match self {
            Self::Client => (0, 0),
            Self::Server => (PUBLIC_KEY, client_keys_bytes() as usize),
        }
    }

    const fn bytes(self) -> usize {
        HEADER + self.state_bytes() + self.key().1 + DIGEST
    }
}

/// An exported pairing, checked. Secret: seal it (encrypt and authenticate) wherever it is kept.
#[derive(Clone, Copy)]
pub struct Pairing<'b> {
    party: Party,
    repetition: Repetition,
    id: PairingId,
    pairing_state: &'b [u8],
    key: &'b [u8],
}

impl<'b> Pairing<'b> {
    /// Checks exported bytes.
    ///
    /// # Errors
    /// [`Error::Pairing`] for anything that [`super::Client::export`] or [`super::Server::export`]
    /// of this version cannot have written.
    pub fn parse(bytes: &'b [u8]) -> Result<Self> {
        Self::checked(bytes).map_err(Error::Pairing)
    }

    fn checked(bytes: &'b [u8]) -> core::result::Result<Self, PlanFault> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(PlanFault::Truncated)?;
        let party = [Party::Client, Party::Server]
            .into_iter()
            .find(|p| p.magic() == *magic)
            .ok_or(PlanFault::Magic)?;
        let (version, _) = rest.split_first_chunk::<2>().ok_or(PlanFault::Truncated)?;
        if u16::from_le_bytes(*version) != VERSION {
            return Err(PlanFault::Version);
        }
        if bytes.len() != party.bytes() {
            return Err(PlanFault::Truncated);
        }
        let (content, digest) = bytes.split_last_chunk::<DIGEST>().ok_or(PlanFault::Truncated)?;
        if <[u8; DIGEST]>::from(Sha256::digest(content)) != *digest {
            return Err(PlanFault::Digest);
        }
        let (header, body) = content.split_first_chunk::<HEADER>().ok_or(PlanFault::Truncated)?;
        let (pairing_state, key) =
            body.split_at_checked(party.state_bytes()).ok_or(PlanFault::Truncated)?;
        let [.., k, 0, 0, 0, 0, 0] = *header else { return Err(PlanFault::Field) };
        let repetition = Repetition::from_k(k).ok_or(PlanFault::Field)?;
        let (id, secrets) = pairing_state.split_first_chunk::<16>().ok_or(PlanFault::Truncated)?;
        let odd_delta = party == Party::Client || secrets.first().is_some_and(|low| low & 1 == 1);
        if *id == [0; 16] || !odd_delta || unpack_key(key, |_| Some(())).is_none() {
            return Err(PlanFault::Field);
        }
        Ok(Self { party, repetition, id: *id, pairing_state, key })
    }

    /// Whose half it is.
    #[must_use]
    pub const fn party(&self) -> Party {
        self.party
    }

    /// Its name, the same for both halves. It goes over the wire in the hello.
    #[must_use]
    pub const fn id(&self) -> &PairingId {
        &self.id
    }

    /// The OT extension's parameter, which sessions of this pairing must ask for.
    #[must_use]
    pub const fn repetition(&self) -> Repetition {
        self.repetition
    }

    /// Loads a session's pairing state and the peer's public key (empty at a client).
    pub(crate) fn load(
        &self,
        party: Party,
        options: &Options,
        pairing_state: &mut [Block],
        key: &mut [i32],
    ) -> Result<()> {
        if self.party != party {
            return Err(Error::Pairing(PlanFault::Magic));
        }
        if self.repetition != options.repetition {
            return Err(Error::Option);
        }
        let (blocks, _) = self.pairing_state.as_chunks();
        if pairing_state.len() != blocks.len() || key.len() != party.key().0 {
            return Err(Error::Internal);
        }
        for (block, &bytes) in pairing_state.iter_mut().zip(blocks) {
            *block = Block::from_le_bytes(bytes);
        }
        let mut slots = key.iter_mut();
        unpack_key(self.key, |x| slots.next().map(|slot| *slot = x)).ok_or(Error::Internal)
    }
}

/// The limbs of a public key in order, with how many groups of [`GROUP`] coefficients each has.
fn limbs() -> impl Iterator<Item = (&'static Limb, usize)> {
    ParameterSet::ALL
        .into_iter()
        .flat_map(|set| LIMBS.iter().take(set.limbs).map(move |limb| (limb, set.n / GROUP)))
}

/// Hands out the coefficients of a packed public key, limb by limb. `None` if one of them is out of
/// range or not taken.
fn unpack_key(mut key: &[u8], mut each: impl FnMut(i32) -> Option<()>) -> Option<()> {
    if key.is_empty() {
        return Some(());
    }
    let mut values = [0; GROUP];
    for (limb, groups) in limbs() {
        for _ in 0..groups {
            let bytes = key.split_off(..packed_len(GROUP as u64, limb.bits()) as usize)?;
            if !unpack(bytes, limb.bits(), &mut values)
                || !values.iter().all(|&x| is_canonical(limb, x))
            {
                return None;
            }
            values.iter().try_for_each(|&x| each(x as i32))?;
        }
    }
    key.is_empty().then_some(())
}

/// Exports a session's pairing. Returns its length.
///
/// # Errors
/// [`Error::Memory`] if `out` is too small, [`Error::State`] if set-up has not finished.
pub(crate) fn export(
    party: Party,
    repetition: Repetition,
    pairing_state: &[Block],
    key: &[i32],
    out: &mut [u8],
) -> Result<usize> {
    let state_bytes = size_of_val(pairing_state);
    if pairing_state.first().is_none_or(|&id| id == 0)
        || state_bytes != party.state_bytes()
        || key.len() != party.key().0
    {
        return Err(Error::State);
    }
    let need = party.bytes();
    let out = out.get_mut(..need).ok_or(Error::Memory { need })?;
    let (content, digest) = out.split_last_chunk_mut::<DIGEST>().ok_or(Error::Internal)?;
    let (header, body) = content.split_first_chunk_mut::<HEADER>().ok_or(Error::Internal)?;
    let (blocks, packed) = body.split_at_mut_checked(party.state_bytes()).ok_or(Error::Internal)?;
    let version = VERSION.to_le_bytes();
    let fields =
        party.magic().into_iter().chain(version).chain([repetition.k() as u8]).chain([0; 5]);
    header.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    for (bytes, block) in blocks.as_chunks_mut().0.iter_mut().zip(pairing_state) {
        *bytes = block.to_le_bytes();
    }
    let (mut packed, mut own) = (packed, key.chunks_exact(GROUP));
    let mut values = [0; GROUP];
    if party == Party::Server {
        for (limb, groups) in limbs() {
            for own in own.by_ref().take(groups) {
                values.iter_mut().zip(own).for_each(|(value, &x)| *value = x as u64);
                let bytes = packed_len(GROUP as u64, limb.bits()) as usize;
                let bytes = packed.split_off_mut(..bytes).ok_or(Error::Internal)?;
                pack(&values, limb.bits(), bytes)?;
            }
        }
    }
    *digest = Sha256::digest(content).into();
    Ok(need)
}

/// A seed as two blocks of a pairing state.
pub(crate) fn to_blocks(seed: &Seed) -> [Block; 2] {
    bytemuck::must_cast::<[u8; 32], [[u8; 16]; 2]>(seed.0).map(Block::from_le_bytes)
}

/// The seed in two blocks of a pairing state.
pub(crate) fn to_seed(blocks: &[Block; 2]) -> Seed {
    Seed(bytemuck::must_cast::<[[u8; 16]; 2], [u8; 32]>(blocks.map(Block::to_le_bytes)))
}

/// A pairing state; wiped on drop.
#[derive(Default)]
pub(crate) struct PairingState<'a>(pub(crate) &'a mut [Block]);

impl Drop for PairingState<'_> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

const _: () = assert!(SMALL_N.is_multiple_of(GROUP) && GROUP.is_multiple_of(8));
