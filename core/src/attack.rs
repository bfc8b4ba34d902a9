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
#[repr(u8)]
pub enum Defence {
    /// The fresh encryption of zero added to every homomorphic result.
    Rerandomise = 1,
    /// The uniform noise added to the answer of base OTs.
    Flood = 2,
    /// The rule that a prediction's offline material is used at most once.
    OneTime = 4,
    /// The random factor of every single product by OT.
    OwnFactor = 8,
    /// Both nonces in the key of a session that goes on with a pairing.
    Nonces = 16,
    /// The hash that makes pads and masks of comparisons from labels of OTs.
    LabelHash = 32,
    /// The uniform mask of every homomorphic result of a layer.
    Mask = 64,
    /// Both nonces in what a party draws from its seed, and the upload in what a server does.
    Hedge = 128,
}

#[cfg(feature = "attack")]
static STRIPPED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Takes away all of `defences` and restores the others.
#[cfg(feature = "attack")]
pub fn strip(defences: &[Defence]) {
    let mask = defences.iter().fold(0, |m, d| m | *d as u8);
    STRIPPED.store(mask, core::sync::atomic::Ordering::SeqCst);
}

/// Whether a test has taken `defence` away.
#[cfg(feature = "attack")]
#[inline]
pub(crate) fn stripped(defence: Defence) -> bool {
    STRIPPED.load(core::sync::atomic::Ordering::Relaxed) & defence as u8 != 0
}

/// Whether a test has taken `defence` away: never, in this build.
#[cfg(not(feature = "attack"))]
#[inline(always)]
pub(crate) const fn stripped(_defence: Defence) -> bool {
    false
}
