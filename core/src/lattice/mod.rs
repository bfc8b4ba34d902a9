//! Packed ring-LWE encryption over `Z_q[X]/(X^n + 1)`, limb by limb.
//!
//! A ciphertext is `(c0, c1)` with phase `c0 + c1·s = round(q·m/p) + e`; p is the plaintext modulus
//! (`2^ℓ`, or the slot prime). Uploads are symmetric: `c1` is a seed. Results are re-randomised
//! with a fresh encryption of zero under the receiver's public key, flooded, and rescaled to a
//! small modulus before they travel. Nothing here holds a whole RNS polynomial: every routine works
//! on one limb, and [`rescale`] adds limbs up as fractions of 1.
//!
//! The way of one dot product, with the file that does each step:
//! ```text
//! client   encode → encrypt                        → upload (one polynomial per limb)
//! server   multiply by weights, add zero, flood    → rescale → download
//! client   decrypt
//! ```

pub mod decrypt;
pub mod encode;
pub mod encrypt;
pub mod evaluate;
pub mod noise;
pub mod rescale;
pub mod sample;

#[cfg(feature = "unstable")]
pub use encode::Encoder;
pub use encrypt::{PublicKey, SecretKey};
