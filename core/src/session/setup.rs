//! Set-up: keys of both parties, base OTs from the lattice encryption, seeds of the OT extension.
//!
//! The server encrypts the bits of Δ in slots (16 slots of 16 bits for each base OT); the client
//! answers `m0 + b·(m1 − m0)`, re-randomised and flooded. Every base OT carries a pair of level
//! sums of the extension's trees, each encoded so that half of it is worth nothing.

use super::channel::Channel;
use super::pairing::{to_blocks, to_seed};
use super::polynomials::{get_limb, get_times, put_limb, put_rounded};
use crate::attack::{Defence, stripped};
use crate::block::Block;
use crate::cost::{BASE_OT_BITS, base_ot_bytes, client_keys_bytes, server_keys_bytes};
use crate::error::{Error, Result};
use crate::hash::Tmmo;
use crate::lattice::encode::{Encoder, Plaintext};
use crate::lattice::encrypt::Mask;
use crate::lattice::evaluate::CiphertextRandomness;
use crate::lattice::noise::{BASE_OT_FLOOD, ParameterSet};
use crate::lattice::rescale::Basis;
use crate::lattice::{PublicKey, SecretKey, decrypt, encrypt};
use crate::memory::{Space, measure, wipe_first};
use crate::ot::{self, Encoded, Leaves, Messages, Receiver, Repetition, Sender};
use crate::params::{KAPPA, N, SLOT_PRIME};
use crate::ring::{LIMBS, Limb, SLOT};
use crate::rng::{Domain, Prg, Seed};
use crate::target::TargetProfile;
use crate::wire::{Tag, packed_len};
use embedded_io_async::{Read, Write};
use sha2::{Digest as _, Sha256};

/// How the base OTs' answer is rescaled: they take all limbs.
const BASIS: Basis = Basis::new(LIMBS.len());

/// Slots of one base OT: words of an encoded message.
const SLOTS: usize = size_of::<Encoded>() / 2;

/// Seeds that one party derives from its own.
pub(crate) struct Secrets {
    /// The lattice key. Its seed is what lasts as long as a pairing: a client's trees have their
    /// roots from it, too.
    pub(crate) key: SecretKey,
    /// Noise of the key's and the base OTs' ciphertexts.
    noise: Seed,
    /// Public half of those.
    public: Seed,
    /// This party's randomness as evaluator of base OTs.
    fresh: Seed,
    /// A server's labels: Δ, its own inputs.
    pub(crate) labels: Seed,
    /// Parent of everything that later phases need.
    pub(crate) later: Seed,
    /// What hides a client's messages of base OTs.
    encoding: Seed,
}

impl Secrets {
    /// All that a party draws once it knows both nonces, from its seed and from these: a seed that
    /// comes again, from a copied machine or a source that fails, does not repeat a secret as long
    /// as the peer is honest.
    pub(crate) fn new(seed: &Seed, session: Block) -> Self {
        let session = if stripped(Defence::Hedge) { 0 } else { session };
        let hedged = Sha256::new()
            .chain_update(b"MiniONN secrets")
            .chain_update(seed.0)
            .chain_update(session.to_le_bytes());
        let seed = Seed(hedged.finalize().into());
        Self {
            key: SecretKey::new(seed.derive(0)),
            noise: seed.derive(1),
            public: seed.derive(2),
            fresh: seed.derive(3),
            labels: seed.derive(4),
            later: seed.derive(5),
            encoding: seed.derive(6),
        }
    }

    /// A party's nonce: what its seed gives before anything is known of the peer.
    pub(crate) fn nonce(seed: &Seed) -> [u8; 32] {
        let mut nonce = [0; 32];
        seed.derive(4).stream(Domain::Mask, 0).fill(&mut nonce);
        nonce
    }

    /// The roots of a client's trees.
    fn roots(&self) -> Prg {
        self.key.seed().stream(Domain::Label, 0)
    }
}

/// The client's scratch for the base OTs.
struct AnswerScratch<'a> {
    /// For halves of messages; the other ones stand where leaves will.
    messages: &'a mut [[Block; 2]],
    poly: &'a mut [i32],
    sums: &'a mut [u32],
}

impl<'a> AnswerScratch<'a> {
    fn take(space: &mut Space<'a>) -> Result<Self> {
        Ok(Self { messages: space.take(KAPPA)?, poly: space.take(N)?, sums: space.take(N)? })
    }
}

/// The client's scratch for its public key, when the base OTs are done.
struct KeyScratch<'a> {
    secret: &'a mut [i32],
    poly: &'a mut [i32],
    noise: &'a mut [i8],
}

impl<'a> KeyScratch<'a> {
    fn take(space: &mut Space<'a>) -> Result<Self> {
        Ok(Self { secret: space.take(N)?, poly: space.take(N)?, noise: space.take(N)? })
    }
}

/// Bytes of the client's scratch.
pub(crate) fn client_scratch(machine: TargetProfile) -> Result<usize> {
    Ok(measure(machine, |space| AnswerScratch::take(space).map(|_| ()))?
        .max(measure(machine, |space| KeyScratch::take(space).map(|_| ()))?))
}

/// The server's scratch.
pub(crate) struct ServerScratch<'a> {
    a: &'a mut [i32],
    b: &'a mut [i32],
    noise: [&'a mut [i8]; 2],
    c0: &'a mut [u32],
    c1: &'a mut [u8],
    residues: &'a mut [i32],
}

impl<'a> ServerScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>) -> Result<Self> {
        Ok(Self {
            a: space.take(N)?,
            b: space.take(N)?,
            noise: [space.take(N)?, space.take(N)?],
            c0: space.take(N)?,
            c1: space.take(packed_len(N as u64, BASE_OT_BITS.0) as usize)?,
            residues: space.take(N)?,
        })
    }
}

/// The slot polynomial of what `of` makes of each two words of messages: 16 bits of a signed number
/// for each slot, representatives in `(−t, t)` out.
fn encode_messages(messages: &Messages<'_>, of: fn(i32, i32) -> i32, out: &mut [i32]) {
    out.fill(0);
    for (slots, [m0, m1]) in out.as_chunks_mut::<SLOTS>().0.iter_mut().zip(messages.iter()) {
        for ((slot, w0), w1) in slots.iter_mut().zip(words(m0)).zip(words(m1)) {
            *slot = SLOT.reduce(of(w0.into(), w1.into()));
        }
    }
    SLOT.inverse(out);
}

/// The 16-bit words of an encoded message, lowest first.
fn words(message: Encoded) -> [u16; SLOTS] {
    bytemuck::must_cast::<Encoded, [u16; SLOTS]>(message.map(Block::to_le)).map(u16::from_le)
}

/// Sends one limb of encryption number `number` of what stands in `poly`.
async fn put_encryption<IO: Read + Write>(
    ch: &mut Channel<IO>,
    secrets: &Secrets,
    (index, limb): (usize, &Limb),
    (number, noise): (u64, &[i8]),
    secret: &[i32],
    poly: &mut [i32],
) -> Result<()> {
    SecretKey::encrypt_limb((index, limb), number, &secrets.public, noise, secret, poly)?;
    put_limb(ch, limb, poly).await
}

/// What a set-up is made for.
pub(crate) struct Terms<'s> {
    pub(crate) secrets: &'s Secrets,
    /// Seed of the uniform half of the client's public key, if it is made now.
    pub(crate) key_seed: Seed,
    /// The session's hash.
    pub(crate) hash: &'s Tmmo,
    pub(crate) repetition: Repetition,
}

/// The client's set-up after the welcome: receives the server's keys, answers the base OTs, sends
/// its own key.
pub(crate) async fn client<'a, IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    terms: &Terms<'_>,
    leaves: &'a mut [Block],
) -> Result<Receiver<'a>> {
    let Terms { secrets, hash, .. } = terms;
    let AnswerScratch { messages, poly, sums } = AnswerScratch::take(&mut Space::carve(scratch)?)?;
    let mut leaves = Leaves::new(terms.repetition, leaves)?;
    let mut random = secrets.encoding.stream(Domain::Label, 0);
    let messages = &ot::encode(&mut leaves, messages, &mut secrets.roots(), &mut random, hash)?;
    let fresh = CiphertextRandomness { seed: &secrets.fresh, number: 0 };
    let mut answer = Answer { messages, poly, sums, basis: BASIS, fresh };

    ch.expect(Tag::ServerKeys, server_keys_bytes()).await?;
    let mut public = Seed([0; 32]);
    ch.get(&mut public.0).await?;
    answer.c0(ch).await?;
    ch.finish().await?;

    ch.begin(Tag::BaseOt, base_ot_bytes()).await?;
    put_rounded(ch, answer.sums, BASE_OT_BITS.1).await?;
    answer.c1(&public)?;
    put_rounded(ch, answer.sums, BASE_OT_BITS.0).await?;
    ch.end().await?;

    wipe_first(client_scratch(TargetProfile::THIS)?, scratch)?;
    let own = KeyScratch::take(&mut Space::carve(scratch)?)?;
    send_public_key(ch, terms, own).await?;
    ch.receive(Tag::Ready, &mut []).await?;
    // The trees once more, now that no message is needed.
    Receiver::new(leaves, &mut secrets.roots(), hash, hash, |_, _| {})
}

/// Sends the client's public key of both degrees.
async fn send_public_key<IO: Read + Write>(
    ch: &mut Channel<IO>,
    terms: &Terms<'_>,
    scratch: KeyScratch<'_>,
) -> Result<()> {
    let Terms { secrets, key_seed, .. } = terms;
    let KeyScratch { secret, poly, noise } = scratch;
    ch.begin(Tag::ClientKeys, client_keys_bytes()).await?;
    for set in ParameterSet::ALL {
        let number = PublicKey::number(set);
        let own = secret.get_mut(..set.n).zip(poly.get_mut(..set.n)).zip(noise.get_mut(..set.n));
        let ((secret, poly), noise) = own.ok_or(Error::Internal)?;
        encrypt::noise(&secrets.noise, number, noise)?;
        for (index, limb) in LIMBS.iter().enumerate().take(set.limbs) {
            secrets.key.expand(limb, secret)?;
            poly.fill(0);
            SecretKey::encrypt_limb((index, limb), number, key_seed, noise, secret, poly)?;
            put_limb(ch, limb, poly).await?;
        }
    }
    ch.end().await
}

/// The client's trees once more, for another session of the pairing `id`. The secrets have that
/// pairing's key.
pub(crate) fn resume_client<'a>(
    terms: &Terms<'_>,
    id: Block,
    leaves: &'a mut [Block],
) -> Result<Receiver<'a>> {
    let leaves = Leaves::new(terms.repetition, leaves)?;
    let mut roots = terms.secrets.roots();
    Receiver::new(leaves, &mut roots, &Tmmo::new(id), terms.hash, |_, _| {})
}

/// The client's answer to the base OTs: the encrypted choices times the messages' differences, plus
/// the first messages, plus a fresh encryption of zero, flooded. One half after the other, for `c1`
/// depends on nothing that is received but a seed: so both share the sums.
struct Answer<'s> {
    messages: &'s Messages<'s>,
    poly: &'s mut [i32],
    sums: &'s mut [u32],
    basis: Basis,
    fresh: CiphertextRandomness<'s>,
}

impl Answer<'_> {
    /// `c0`, while the server's keys arrive: for each limb its public key, then the encrypted
    /// choices.
    async fn c0<IO: Read + Write>(&mut self, ch: &mut Channel<IO>) -> Result<()> {
        let encoder = Encoder::new(Plaintext::Slots, LIMBS.len());
        for (index, limb) in LIMBS.iter().enumerate() {
            self.fresh.ephemeral(limb, self.poly)?;
            get_times(ch, limb, self.poly).await?;
            limb.inverse(self.poly);
            self.add(index)?;
            self.differences(limb);
            get_times(ch, limb, self.poly).await?;
            limb.inverse(self.poly);
            self.fresh.add_noise_to_c0(self.poly, core::iter::once((0, N)), |_| Ok(()))?;
            self.fresh.add_flood(limb, BASE_OT_FLOOD, self.poly)?;
            self.add(index)?;
            encode_messages(self.messages, |w0, _| w0, self.poly);
            for x in self.poly.iter_mut() {
                *x = encoder.encode(index, u64::from(SLOT.canonical(*x)))?;
            }
            self.add(index)?;
        }
        Ok(())
    }

    /// `c1`; `public` is the seed of the server's key and ciphertext.
    fn c1(&mut self, public: &Seed) -> Result<()> {
        self.sums.fill(0);
        for (index, limb) in LIMBS.iter().enumerate() {
            self.fresh.ephemeral(limb, self.poly)?;
            Mask::new(public, 0, index).multiply(limb, self.poly)?;
            limb.inverse(self.poly);
            self.add(index)?;
            self.differences(limb);
            Mask::new(public, 1, index).multiply(limb, self.poly)?;
            limb.inverse(self.poly);
            self.fresh.add_noise_to_c1(self.poly)?;
            self.add(index)?;
        }
        Ok(())
    }

    /// The polynomial of the messages' differences, transformed, Montgomery form.
    fn differences(&mut self, limb: &Limb) {
        encode_messages(self.messages, |w0, w1| w1 - w0, self.poly);
        for x in self.poly.iter_mut() {
            *x = limb.to_montgomery(SLOT.centre(SLOT.canonical(*x)));
        }
        limb.forward(self.poly);
    }

    /// Adds one limb's coefficients to the sums.
    fn add(&mut self, index: usize) -> Result<()> {
        self.basis.add(index, self.poly, self.sums)
    }
}

/// The memory of a server's set-up.
pub(crate) struct ServerSetup<'a, 's> {
    /// For the OT extension.
    pub(crate) leaves: &'a mut [Block],
    /// For the client's public key.
    pub(crate) key: &'a mut [i32],
    /// For what lasts as long as the pairing.
    pub(crate) pairing_state: &'s mut [Block],
    pub(crate) scratch: &'s mut [u8],
}

/// A server's state of a pairing.
struct ServerPairing<'s> {
    id: &'s mut Block,
    delta: &'s mut Block,
    /// Seed of the client's public key.
    key_seed: &'s mut [Block; 2],
    /// The messages received in the base OTs.
    received: &'s mut [Block; KAPPA],
}

impl<'s> ServerPairing<'s> {
    fn new(state: &'s mut [Block]) -> Result<Self> {
        let [id, delta, rest @ ..] = state else { return Err(Error::Internal) };
        let (key_seed, received) = rest.split_first_chunk_mut().ok_or(Error::Internal)?;
        let received = received.try_into().map_err(|_| Error::Internal)?;
        Ok(Self { id, delta, key_seed, received })
    }
}

/// The server's set-up after the welcome. Returns the OT sender and the client's public key; the
/// pairing's state gets all, and in the end its `id`.
pub(crate) async fn server<'a, IO: Read + Write>(
    ch: &mut Channel<IO>,
    terms: &Terms<'_>,
    id: Block,
    memory: ServerSetup<'a, '_>,
) -> Result<(Sender<'a>, PublicKey<'a>)> {
    let ServerSetup { leaves, key, pairing_state, scratch } = memory;
    let pairing = ServerPairing::new(pairing_state)?;
    *pairing.delta = terms.secrets.labels.stream(Domain::Label, 0).next_u128() | 1;
    let mut scratch = ServerScratch::take(&mut Space::carve(scratch)?)?;
    send_keys(ch, terms.secrets, *pairing.delta, &mut scratch).await?;
    receive_base_ots(ch, terms, *pairing.delta, &mut scratch, pairing.received).await?;
    let (leaves, hash) = (Leaves::new(terms.repetition, leaves)?, terms.hash);
    let sender = Sender::new(leaves, *pairing.delta, pairing.received, hash, hash)?;

    ch.expect(Tag::ClientKeys, client_keys_bytes()).await?;
    let mut values = &mut *key;
    for set in ParameterSet::ALL {
        for limb in LIMBS.iter().take(set.limbs) {
            let values = values.split_off_mut(..set.n).ok_or(Error::Internal)?;
            get_limb(ch, limb, values).await?;
        }
    }
    ch.finish().await?;
    ch.send(Tag::Ready, &[]).await?;
    (*pairing.key_seed, *pairing.id) = (to_blocks(&terms.key_seed), id);
    Ok((sender, PublicKey { seed: terms.key_seed.clone(), b: key }))
}

/// Sends the server's public key and the encrypted bits of `Δ`.
async fn send_keys<IO: Read + Write>(
    ch: &mut Channel<IO>,
    secrets: &Secrets,
    delta: Block,
    scratch: &mut ServerScratch<'_>,
) -> Result<()> {
    let ServerScratch { a, b, noise: [of_key, of_choices], .. } = scratch;
    ch.begin(Tag::ServerKeys, server_keys_bytes()).await?;
    ch.put(&secrets.public.0).await?;
    let encoder = Encoder::new(Plaintext::Slots, LIMBS.len());
    encrypt::noise(&secrets.noise, 0, of_key)?;
    encrypt::noise(&secrets.noise, 1, of_choices)?;
    for (index, limb) in LIMBS.iter().enumerate() {
        secrets.key.expand(limb, a)?;
        b.fill(0);
        put_encryption(ch, secrets, (index, limb), (0, of_key), a, b).await?;
        b.fill(0);
        for (j, slots) in b.as_chunks_mut::<SLOTS>().0.iter_mut().take(KAPPA).enumerate() {
            slots.fill(SLOT.reduce((delta >> j) as i32 & 1));
        }
        SLOT.inverse(b);
        for x in b.iter_mut() {
            *x = encoder.encode(index, u64::from(SLOT.canonical(*x)))?;
        }
        put_encryption(ch, secrets, (index, limb), (1, of_choices), a, b).await?;
    }
    ch.end().await
}

/// Receives and decrypts the client's answer to the base OTs.
async fn receive_base_ots<IO: Read + Write>(
    ch: &mut Channel<IO>,
    Terms { secrets, hash, .. }: &Terms<'_>,
    delta: Block,
    scratch: &mut ServerScratch<'_>,
    received: &mut [Block; KAPPA],
) -> Result<()> {
    let ServerScratch { a, b, c0, c1, residues, .. } = scratch;
    ch.expect(Tag::BaseOt, base_ot_bytes()).await?;
    let mut values = c0.iter_mut();
    ch.get_values(N, BASE_OT_BITS.1, |_, x| {
        *values.next().ok_or(Error::Internal)? = x as u32;
        Ok(())
    })
    .await?;
    ch.get(c1).await?;
    ch.finish().await?;
    const _: () = assert!(decrypt::limbs(N, BASE_OT_BITS.0) == 2);
    for (index, product) in [&mut **residues, &mut **a].into_iter().enumerate() {
        let limb = LIMBS.get(index).ok_or(Error::Internal)?;
        secrets.key.expand(limb, b)?;
        decrypt::load(index, c1, BASE_OT_BITS.0, product)?;
        decrypt::multiply_by_secret(index, b, product)?;
    }
    // All have n values.
    for ((a, &r), &c0) in a.iter_mut().zip(residues.iter()).zip(c0.iter()) {
        let product = decrypt::lift([r, *a, 0], 2);
        let phase = (u64::from(c0) << (BASE_OT_BITS.0 - BASE_OT_BITS.1)).wrapping_add(product)
            & ((1 << BASE_OT_BITS.0) - 1);
        let m = (phase * u64::from(SLOT_PRIME) + (1 << (BASE_OT_BITS.0 - 1))) >> BASE_OT_BITS.0;
        *a = SLOT.reduce(m as i32);
    }
    SLOT.forward(a);
    for (j, (message, slots)) in received.iter_mut().zip(a.as_chunks::<SLOTS>().0).enumerate() {
        let mut encoded: Encoded = [0; 2];
        for (block, words) in encoded.iter_mut().zip(slots.chunks(SLOTS / 2)) {
            let words = words.iter().rev().map(|&x| Block::from(SLOT.canonical(x) & 0xffff));
            *block = words.fold(0, |block, word| block << 16 | word);
        }
        *message = ot::decode(hash, j, delta >> j & 1 == 1, encoded);
    }
    Ok(())
}

/// The server's half of a pairing, for another session: state and key are that pairing's.
pub(crate) fn resume_server<'a>(
    terms: &Terms<'_>,
    memory: ServerSetup<'a, '_>,
) -> Result<(Sender<'a>, PublicKey<'a>)> {
    let ServerPairing { id, delta, key_seed, received } = ServerPairing::new(memory.pairing_state)?;
    let leaves = Leaves::new(terms.repetition, memory.leaves)?;
    let sender = Sender::new(leaves, *delta, received, &Tmmo::new(*id), terms.hash)?;
    Ok((sender, PublicKey { seed: to_seed(key_seed), b: memory.key }))
}
