//! Switches that take single defences away, so that attack tests can show what each is for.
//!
//! They exist only with the feature `attack`, which a release build refuses; otherwise `stripped`
//! is the constant `false`.

#[cfg(all(feature = "attack", not(debug_assertions)))]
compile_error!(
    "the feature `attack` removes defences: it is for tests with debug assertions, never for a \
     release build"
);

/// A defence that a test may strip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Defence {
    /// The fresh encryption of zero added to every homomorphic result.
    Rerandomise = 1,
    /// The low bits of the uniform mask of every homomorphic result of a layer, those below one
    /// step of the layer's ring: without them, a mask is a whole plaintext.
    MaskBelowStep = 1 << 1,
    /// The uniform half of a client's public key from a seed that nobody chose: without it, the
    /// client sends that half.
    KeySeed = 1 << 2,
    /// The rule that a prediction's offline material is used at most once.
    OneTime = 1 << 3,
    /// The random factor of every single product by OT.
    OwnFactor = 1 << 4,
    /// Both nonces in the key of a session that goes on with a pairing.
    Nonces = 1 << 5,
    /// The hash that makes pads and masks of comparisons from labels of OTs.
    LabelHash = 1 << 6,
    /// Both nonces in what a party draws from its seed, and the upload in what a server does.
    Hedge = 1 << 7,
    /// Messages of the first base OT that fit an odd `Δ` only.
    OddDelta = 1 << 8,
    /// The check that corrections of OTs are for the same choices in all blocks of `Δ`.
    Consistency = 1 << 9,
    /// The transform that makes a message of a base OT worth nothing unless all of it is known.
    AllOrNothing = 1 << 10,
}

#[cfg(feature = "attack")]
static STRIPPED: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// Takes away all of `defences` and restores the others.
#[cfg(feature = "attack")]
pub fn strip(defences: &[Defence]) {
    let mask = defences.iter().fold(0, |m, d| m | *d as u32);
    STRIPPED.store(mask, core::sync::atomic::Ordering::SeqCst);
}

/// Whether a test has taken `defence` away.
#[cfg(feature = "attack")]
#[inline]
pub(crate) fn stripped(defence: Defence) -> bool {
    STRIPPED.load(core::sync::atomic::Ordering::Relaxed) & defence as u32 != 0
}

/// Whether a test has taken `defence` away: never, in this build.
#[cfg(not(feature = "attack"))]
#[inline(always)]
pub(crate) const fn stripped(_defence: Defence) -> bool {
    false
}
