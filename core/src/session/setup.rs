//! Set-up: keys of both parties, base OTs from the lattice encryption, seeds of the OT extension.
//!
//! The server encrypts the bits of Δ in slots (8 slots of 16 bits for each base OT); the client answers `m0 + b·(m1 − m0)`,
//! re-randomised and flooded. Every base OT carries a pair of level sums of the extension's trees.

use super::channel::Channel;
use super::pairing::{to_blocks, to_seed};
use crate::error::{Error, Result};
use crate::hash::{Block, Tmmo};
use crate::lattice::encode::{Encoder, Plaintext};
use crate::lattice::encrypt::Mask;
use crate::lattice::evaluate::Fresh;
use crate::lattice::rescale::{Basis, Fraction as _};
use crate::lattice::{PublicKey, SecretKey, decrypt, encrypt};
use crate::memory::Space;
use crate::ot::{Receiver, Repetition, Sender};
use crate::params::{KAPPA, LIMB_BITS, N, PRIMES, SLOT_PRIME};
use crate::plan::cost::{BASE_OT_BITS, base_ot_bytes, polynomial_bytes};
use crate::plan::noise::{self, Level};
use crate::ring::{LIMBS, Limb, SLOT};
use crate::rng::{Domain, Prg, Seed};
use crate::wire::{Tag, packed_len};
use embedded_io_async::{Read, Write};

/// Moduli of the base OTs: slot differences below 2^15 in all n coefficients; the encoded bits are no uniform masks, so their rounding
/// counts in full, ½·‖w‖₁.
const LEVEL: Level = match Level::choose(17, noise::bound(N as u64, 15) + ((N as u128) << 14)) {
    Ok(level) if level.limbs == PRIMES.len() => level,
    _ => panic!("the base OTs need all limbs and leave 40 bits of flooding"),
};

/// Slots of one base OT.
const SLOTS: usize = KAPPA / 16;

/// Seeds that one party derives from its own.
pub(crate) struct Secrets {
    /// The lattice key. Its seed is what lasts as long as a pairing: a client's trees have their roots from it, too.
    pub(crate) key: SecretKey,
    /// Noise of the key's and the base OTs' ciphertexts.
    noise: Seed,
    /// Public half of those.
    public: Seed,
    /// This party's randomness as evaluator of base OTs.
    fresh: Seed,
    /// The nonce, and a server's labels: Δ, its own inputs.
    pub(crate) labels: Seed,
    /// Parent of everything that later phases need.
    pub(crate) later: Seed,
}

impl Secrets {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self {
            key: SecretKey::new(seed.derive(0)),
            noise: seed.derive(1),
            public: seed.derive(2),
            fresh: seed.derive(3),
            labels: seed.derive(4),
            later: seed.derive(5),
        }
    }

    /// The roots of a client's trees.
    fn roots(&self) -> Prg {
        self.key.seed().stream(Domain::Label, 0)
    }
}

/// The client's scratch.
pub(crate) struct ClientScratch<'a> {
    messages: &'a mut [[Block; 2]],
    a: &'a mut [i32],
    b: &'a mut [i32],
    sums0: &'a mut [u32],
    sums1: &'a mut [u32],
}

impl<'a> ClientScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>) -> Result<Self> {
        Ok(Self { messages: space.take(KAPPA)?, a: space.take(N)?, b: space.take(N)?, sums0: space.take(N)?, sums1: space.take(N)? })
    }
}

/// The server's scratch.
pub(crate) struct ServerScratch<'a> {
    a: &'a mut [i32],
    b: &'a mut [i32],
    c0: &'a mut [u32],
    c1: &'a mut [u8],
    residues: &'a mut [i32],
}

impl<'a> ServerScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>) -> Result<Self> {
        Ok(Self {
            a: space.take(N)?,
            b: space.take(N)?,
            c0: space.take(N)?,
            c1: space.take(packed_len(N as u64, BASE_OT_BITS.0) as usize)?,
            residues: space.take(N)?,
        })
    }
}

/// The polynomial with these slot values: 16 bits of a signed number for each slot, representatives in `(−t, t)` out.
fn encode_slots(values: impl Iterator<Item = i32>, out: &mut [i32]) {
    out.fill(0);
    for (slot, value) in out.iter_mut().zip(values) {
        *slot = SLOT.reduce(value);
    }
    SLOT.inverse(out);
}

/// The 16-bit words of a block, lowest first.
fn words(block: Block) -> impl Iterator<Item = i32> {
    (0..SLOTS).map(move |c| ((block >> (16 * c)) & 0xffff) as i32)
}

/// Receives one limb of a polynomial, multiplied by `by` (Montgomery form).
pub(crate) async fn get_times<IO: Read + Write>(ch: &mut Channel<IO>, limb: &Limb, by: &[i32], out: &mut [i32]) -> Result<()> {
    let mut pairs = out.iter_mut().zip(by);
    ch.get_values(N, LIMB_BITS, |_, x| {
        let (out, &y) = pairs.next().ok_or(Error::Internal)?;
        *out = limb.mul(checked(limb, x)?, y);
        Ok(())
    })
    .await
}

/// A received coefficient, if an honest peer can have sent it.
pub(crate) fn checked(limb: &Limb, x: u64) -> Result<i32> {
    if encrypt::is_canonical(limb, x) { Ok(x as i32) } else { Err(Error::Malformed) }
}

/// Sends one limb of a polynomial in `[0, q)`.
pub(crate) async fn put_limb<IO: Read + Write>(ch: &mut Channel<IO>, values: &[i32]) -> Result<()> {
    let mut values = values.iter();
    ch.put_values(N, LIMB_BITS, |_| values.next().map_or(0, |&x| x as u64)).await
}

/// Sends a public key or part of one: encryption number `number` of what `message` leaves in the polynomial.
async fn put_encryption<IO: Read + Write>(
    ch: &mut Channel<IO>,
    secrets: &Secrets,
    index: usize,
    number: u64,
    secret: &[i32],
    poly: &mut [i32],
) -> Result<()> {
    SecretKey::encrypt_limb(index, number, &secrets.public, &secrets.noise, secret, poly);
    put_limb(ch, poly).await
}

/// The client's set-up after the welcome: receives the server's keys, answers the base OTs, sends its own key.
pub(crate) async fn client<'a, IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    secrets: &Secrets,
    hash: &Tmmo,
    repetition: Repetition,
    leaves: &'a mut [Block],
) -> Result<Receiver<'a>> {
    let ClientScratch { messages, a, b, sums0, sums1 } = ClientScratch::take(&mut Space::carve(scratch)?)?;
    let receiver = Receiver::new(repetition, &mut secrets.roots(), hash, hash, leaves, messages)?;

    ch.expect(Tag::ServerKeys, 32 + 2 * polynomial_bytes()).await?;
    let mut public = Seed([0; 32]);
    ch.get(&mut public.0).await?;
    let basis = Basis::new(LEVEL.limbs);
    let encoder = Encoder::new(Plaintext::Slots, LEVEL.limbs);
    let fresh = Fresh { seed: &secrets.fresh, number: 0, flood: LEVEL.flood };
    for (index, limb) in LIMBS.iter().enumerate() {
        let add = |sums: &mut [u32], values: &[i32]| {
            for (sum, &x) in sums.iter_mut().zip(values) {
                sum.add(basis.fraction(index, x));
            }
        };
        // A fresh encryption of zero: the key comes first on the wire.
        fresh.ephemeral(limb, a);
        get_times(ch, limb, a, b).await?;
        limb.inverse(b);
        add(sums0, b);
        mask_times(limb, Mask::new(&public, 0, index), a);
        limb.inverse(a);
        add(sums1, a);
        // The encrypted bits times the messages' differences.
        let differences = messages.iter().flat_map(|&[m0, m1]| words(m0).zip(words(m1)).map(|(x, y)| y - x));
        encode_slots(differences, a);
        for x in a.iter_mut() {
            *x = limb.to_montgomery(SLOT.centre(SLOT.canonical(*x)));
        }
        limb.forward(a);
        get_times(ch, limb, a, b).await?;
        limb.inverse(b);
        let mut sums = sums0.iter_mut();
        fresh.finish_c0(index, &encoder, b, (0..N).map(|k| (k, 0)), |x| {
            if let Some(sum) = sums.next() {
                sum.add(basis.fraction(index, x));
            }
        });
        mask_times(limb, Mask::new(&public, 1, index), a);
        limb.inverse(a);
        let mut sums = sums1.iter_mut();
        fresh.finish_c1(index, a, |x| {
            if let Some(sum) = sums.next() {
                sum.add(basis.fraction(index, x));
            }
        });
        // Plus the first messages.
        encode_slots(messages.iter().flat_map(|&[m0, _]| words(m0)), a);
        for x in a.iter_mut() {
            *x = encoder.encode(index, u64::from(SLOT.canonical(*x)));
        }
        add(sums0, a);
    }
    ch.finish().await?;

    ch.begin(Tag::ClientKeys, 32 + polynomial_bytes()).await?;
    ch.put(&secrets.public.0).await?;
    for (index, limb) in LIMBS.iter().enumerate() {
        secrets.key.expand(limb, a);
        b.fill(0);
        put_encryption(ch, secrets, index, 0, a, b).await?;
    }
    ch.end().await?;
    ch.begin(Tag::BaseOt, base_ot_bytes()).await?;
    for (sums, bits) in [(&*sums1, BASE_OT_BITS.0), (&*sums0, BASE_OT_BITS.1)] {
        let mut sums = sums.iter();
        ch.put_values(N, bits, |_| sums.next().map_or(0, |s| s.round(bits))).await?;
    }
    ch.end().await?;
    ch.receive(Tag::Ready, &mut []).await?;
    Ok(receiver)
}

/// The client's trees once more, for another session of the pairing `id`. `secrets` has that pairing's key.
pub(crate) fn resume_client<'a>(
    scratch: &mut [u8],
    secrets: &Secrets,
    id: Block,
    hash: &Tmmo,
    repetition: Repetition,
    leaves: &'a mut [Block],
) -> Result<Receiver<'a>> {
    let ClientScratch { messages, .. } = ClientScratch::take(&mut Space::carve(scratch)?)?;
    Receiver::new(repetition, &mut secrets.roots(), &Tmmo::new(id), hash, leaves, messages)
}

/// `values ∘ mask`, in place.
fn mask_times(limb: &Limb, mut mask: Mask, values: &mut [i32]) {
    for x in values {
        *x = limb.mul(mask.next(limb), *x);
    }
}

/// The server's set-up after the welcome. Returns the OT sender and the client's public key; `record` gets all but the id.
pub(crate) async fn server<'a, IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    secrets: &Secrets,
    hash: &Tmmo,
    repetition: Repetition,
    leaves: &'a mut [Block],
    key: &'a mut [i32],
    record: &mut [Block],
) -> Result<(Sender<'a>, PublicKey<'a>)> {
    let ServerScratch { a, b, c0, c1, residues } = ServerScratch::take(&mut Space::carve(scratch)?)?;
    let [_, delta, rest @ ..] = record else { return Err(Error::Internal) };
    let (key_seed, received) = rest.split_first_chunk_mut().ok_or(Error::Internal)?;
    *delta = secrets.labels.stream(Domain::Label, 0).next_u128() | 1;

    ch.begin(Tag::ServerKeys, 32 + 2 * polynomial_bytes()).await?;
    ch.put(&secrets.public.0).await?;
    let encoder = Encoder::new(Plaintext::Slots, LEVEL.limbs);
    for (index, limb) in LIMBS.iter().enumerate() {
        secrets.key.expand(limb, a);
        b.fill(0);
        put_encryption(ch, secrets, index, 0, a, b).await?;
        encode_slots((0..KAPPA).flat_map(|j| core::iter::repeat_n((*delta >> j) as i32 & 1, SLOTS)), b);
        for x in b.iter_mut() {
            *x = encoder.encode(index, u64::from(SLOT.canonical(*x)));
        }
        put_encryption(ch, secrets, index, 1, a, b).await?;
    }
    ch.end().await?;

    ch.expect(Tag::ClientKeys, 32 + polynomial_bytes()).await?;
    let mut seed = Seed([0; 32]);
    ch.get(&mut seed.0).await?;
    for (limb, values) in LIMBS.iter().zip(key.chunks_exact_mut(N)) {
        let mut values = values.iter_mut();
        ch.get_values(N, LIMB_BITS, |_, x| {
            *values.next().ok_or(Error::Internal)? = checked(limb, x)?;
            Ok(())
        })
        .await?;
    }
    ch.finish().await?;

    ch.expect(Tag::BaseOt, base_ot_bytes()).await?;
    ch.get(c1).await?;
    let mut values = c0.iter_mut();
    ch.get_values(N, BASE_OT_BITS.1, |_, x| {
        *values.next().ok_or(Error::Internal)? = x as u32;
        Ok(())
    })
    .await?;
    ch.finish().await?;
    const _: () = assert!(decrypt::limbs(BASE_OT_BITS.0) == 2);
    decrypt::load(0, c1, BASE_OT_BITS.0, residues);
    decrypt::multiply_by_secret(0, &secrets.key, residues, b);
    decrypt::load(1, c1, BASE_OT_BITS.0, a);
    decrypt::multiply_by_secret(1, &secrets.key, a, b);
    for ((a, &r), &c0) in a.iter_mut().zip(residues.iter()).zip(c0.iter()) {
        let product = decrypt::lift([r, *a, 0], 2);
        let phase = (u64::from(c0) << (BASE_OT_BITS.0 - BASE_OT_BITS.1)).wrapping_add(product) & ((1 << BASE_OT_BITS.0) - 1);
        let m = (phase * u64::from(SLOT_PRIME) + (1 << (BASE_OT_BITS.0 - 1))) >> BASE_OT_BITS.0;
        *a = SLOT.reduce(m as i32);
    }
    SLOT.forward(a);
    for (block, slots) in received.iter_mut().zip(a.chunks_exact(SLOTS)) {
        *block = slots.iter().rev().fold(0, |block, &x| block << 16 | u128::from(SLOT.canonical(x) & 0xffff));
    }
    *key_seed = to_blocks(&seed);
    let sender = Sender::new(repetition, *delta, received, hash, hash, leaves)?;
    ch.send(Tag::Ready, &[]).await?;
    Ok((sender, PublicKey { seed, b: key }))
}

/// The server's half of a pairing, for another session: `record` and `key` are that pairing's.
pub(crate) fn resume_server<'a>(
    hash: &Tmmo,
    repetition: Repetition,
    leaves: &'a mut [Block],
    key: &'a [i32],
    record: &[Block],
) -> Result<(Sender<'a>, PublicKey<'a>)> {
    let [id, delta, rest @ ..] = record else { return Err(Error::Internal) };
    let (seed, received) = rest.split_first_chunk().ok_or(Error::Internal)?;
    let sender = Sender::new(repetition, *delta, received, &Tmmo::new(*id), hash, leaves)?;
    Ok((sender, PublicKey { seed: to_seed(seed), b: key }))
}
