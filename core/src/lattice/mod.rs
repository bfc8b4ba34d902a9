//! Packed ring-LWE encryption over `Z_q[X]/(X^n + 1)`, limb by limb.
//!
//! A ciphertext is `(c0, c1)` with phase `c0 + c1·s = round(q·m/p) + e`; p is the plaintext modulus
//! (`2^ℓ`, or the slot prime). Uploads are symmetric: `c1` is a seed, and `c0` is rounded to the
//! bits that decryption needs. Results are re-randomised with a fresh encryption of zero under the
//! receiver's public key, rescaled to a power of two, and only then masked, uniformly over all that
//! travels. Every routine works on one limb, and [`rescale`] adds limbs up as fractions of 1.
//!
//! The way of one dot product, with the file that does each step:
//! ```text
//! client   encode → encrypt → rescale              → upload
//! server   encode → multiply by weights, add zero  → rescale → mask → download
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
