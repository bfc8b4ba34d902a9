//! AES-NI: one, two (VAES) or four (AVX-512) blocks to a vector.

#![allow(unsafe_code)]

use super::rounds::{self, RoundKeys, Rounds};
use super::simd::{Job, Vectors};
use crate::block::Block;
use core::arch::x86_64::*;
use core::mem::transmute;
use core::sync::atomic::{AtomicU8, Ordering};

/// Declares a backend: its proof, how to find it, and how to run work on it.
macro_rules! backend {
    ($(#[$doc:meta])* $name:ident, $features:literal, $detected:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name(());

        impl $name {
            /// The proof, if this CPU has the instructions and the operating system saves the
            /// registers.
            pub(super) fn detect() -> Option<Self> {
                $detected.then_some(Self(()))
            }

            #[inline]
            pub(super) fn schedule<const L: usize>(self, keys: &[Block; L], to: &mut RoundKeys<L>) {
                #[target_feature(enable = $features)]
                fn compiled<const L: usize>(
                    simd: $name,
                    keys: &[Block; L],
                    to: &mut RoundKeys<L>,
                ) {
                    rounds::schedule(simd, keys, to);
                }
                // SAFETY: `self` is the proof of the features.
                unsafe { compiled(self, keys, to) }
            }

            #[inline]
            pub(super) fn run<const L: usize>(self, job: impl Job<L>, keys: &RoundKeys<L>) {
                #[target_feature(enable = $features)]
                fn compiled<const L: usize, J: Job<L>>(
                    simd: $name,
                    job: J,
                    keys: &RoundKeys<L>,
                ) {
                    job.run(simd, keys);
                }
                // SAFETY: `self` is the proof of the features.
                unsafe { compiled(self, job, keys) }
            }
        }
    };
}

backend!(
    /// One block: AES-NI.
    AesNi, "aes,ssse3", narrow::get()
);
backend!(
    /// Two blocks: VAES on 256 bits.
    Vaes256, "aes,avx2,vaes", wide::get() && has_vaes()
);
backend!(
    /// Four blocks: VAES on 512 bits.
    Vaes512, "aes,avx2,avx512f,vaes", widest::get()
);

cpufeatures::new!(narrow, "aes", "ssse3");
cpufeatures::new!(wide, "aes", "avx2");
cpufeatures::new!(widest, "aes", "avx2", "avx512f", "vaes");

/// `cpufeatures` reports VAES only where the registers of AVX-512 are saved, too; the 256-bit form
/// does not need them.
fn has_vaes() -> bool {
    /// 0 before the first call, 1 if not, 2 if so: `cpuid` is slow in a virtual machine.
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    let mut known = KNOWN.load(Ordering::Relaxed);
    if known == 0 {
        #[allow(unused_unsafe, reason = "safe since Rust 1.94")]
        // SAFETY: every x86-64 has `cpuid`, and one with AVX2 has leaf 7.
        let features = unsafe { __cpuid_count(7, 0) };
        known = 1 + (features.ecx >> 9 & 1) as u8;
        KNOWN.store(known, Ordering::Relaxed);
    }
    known == 2
}

/// The bytes of a key's last word, rotated by one, four times.
const ROTATED: [u8; 16] = [13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12];

#[inline(always)]
const fn word(constant: u8) -> i32 {
    constant as i32
}

#[inline(always)]
fn one(block: Block) -> __m128i {
    // SAFETY: both are 16 bytes without invalid values.
    unsafe { transmute::<Block, __m128i>(block) }
}

// In what follows the proof that `self` is stands for the features of each intrinsic.

impl Vectors for AesNi {
    type Vector = __m128i;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn load(self, from: &[Block]) -> __m128i {
        one(from.first().copied().unwrap_or_default())
    }

    #[inline(always)]
    fn store(self, v: __m128i, to: &mut [Block]) {
        if let Some(to) = to.first_mut() {
            // SAFETY: both are 16 bytes without invalid values.
            *to = unsafe { transmute::<__m128i, Block>(v) };
        }
    }

    #[inline(always)]
    fn gather(self, pair: impl Fn(usize) -> [Block; 2]) -> [__m128i; 2] {
        pair(0).map(one)
    }

    #[inline(always)]
    fn scatter(self, pair: [__m128i; 2], mut each: impl FnMut(usize, [Block; 2])) {
        // SAFETY: both are 16 bytes without invalid values.
        let [a, b] = pair.map(|v| unsafe { transmute::<__m128i, [Block; 1]>(v) });
        a.into_iter().zip(b).enumerate().for_each(|(i, (a, b))| each(i, [a, b]));
    }

    #[inline(always)]
    fn splat(self, block: Block) -> __m128i {
        one(block)
    }

    #[inline(always)]
    fn xor(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: SSE2 belongs to x86-64.
        unsafe { _mm_xor_si128(a, b) }
    }

    #[inline(always)]
    fn and(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: SSE2 belongs to x86-64.
        unsafe { _mm_and_si128(a, b) }
    }

    #[inline(always)]
    fn colour_masks(self, v: __m128i) -> __m128i {
        // SAFETY: SSE2 belongs to x86-64.
        unsafe { _mm_srai_epi32::<31>(_mm_slli_epi32::<31>(_mm_shuffle_epi32::<0>(v))) }
    }
}

impl Rounds for AesNi {
    #[inline(always)]
    fn begin(self, x: __m128i, key: __m128i) -> __m128i {
        self.xor(x, key)
    }

    #[inline(always)]
    fn round(self, x: __m128i, key: __m128i) -> __m128i {
        // SAFETY: `self` is the proof.
        unsafe { _mm_aesenc_si128(x, key) }
    }

    #[inline(always)]
    fn ninth(self, x: __m128i, key: __m128i) -> __m128i {
        self.round(x, key)
    }

    #[inline(always)]
    fn last(self, x: __m128i, key: __m128i) -> __m128i {
        // SAFETY: `self` is the proof.
        unsafe { _mm_aesenclast_si128(x, key) }
    }

    #[inline(always)]
    fn next_key(self, key: __m128i, constant: u8) -> __m128i {
        // SAFETY: `self` is the proof.
        unsafe {
            // All columns are equal, so the shift of the last round's rows changes nothing: it
            // substitutes, and adds the constant.
            let rotated = _mm_shuffle_epi8(key, transmute::<[u8; 16], __m128i>(ROTATED));
            let substituted = _mm_aesenclast_si128(rotated, _mm_set1_epi32(word(constant)));
            let two = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
            let four = _mm_xor_si128(two, _mm_slli_si128::<8>(two));
            _mm_xor_si128(four, substituted)
        }
    }
}

impl Vectors for Vaes256 {
    type Vector = __m256i;
    const BLOCKS: usize = 2;

    #[inline(always)]
    fn load(self, from: &[Block]) -> __m256i {
        match from {
            // SAFETY: two blocks are there; `self` is the proof.
            [_, _, ..] => unsafe { _mm256_loadu_si256(from.as_ptr().cast()) },
            // SAFETY: `self` is the proof.
            _ => unsafe { _mm256_zextsi128_si256(one(from.first().copied().unwrap_or_default())) },
        }
    }

    #[inline(always)]
    fn store(self, v: __m256i, to: &mut [Block]) {
        match to {
            // SAFETY: two blocks are there; `self` is the proof.
            [_, _, ..] => unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), v) },
            // SAFETY: one block is there; `self` is the proof.
            [to] => unsafe {
                _mm_storeu_si128(core::ptr::from_mut(to).cast(), _mm256_castsi256_si128(v))
            },
            [] => {}
        }
    }

    #[inline(always)]
    fn gather(self, pair: impl Fn(usize) -> [Block; 2]) -> [__m256i; 2] {
        let [[a, b], [c, d]] = [pair(0), pair(1)];
        // SAFETY: `self` is the proof.
        unsafe { [_mm256_set_m128i(one(c), one(a)), _mm256_set_m128i(one(d), one(b))] }
    }

    #[inline(always)]
    fn scatter(self, pair: [__m256i; 2], mut each: impl FnMut(usize, [Block; 2])) {
        // SAFETY: both are 32 bytes without invalid values.
        let [a, b] = pair.map(|v| unsafe { transmute::<__m256i, [Block; 2]>(v) });
        a.into_iter().zip(b).enumerate().for_each(|(i, (a, b))| each(i, [a, b]));
    }

    #[inline(always)]
    fn splat(self, block: Block) -> __m256i {
        // SAFETY: `self` is the proof.
        unsafe { _mm256_broadcastsi128_si256(one(block)) }
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` is the proof.
        unsafe { _mm256_xor_si256(a, b) }
    }

    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` is the proof.
        unsafe { _mm256_and_si256(a, b) }
    }

    #[inline(always)]
    fn colour_masks(self, v: __m256i) -> __m256i {
        // SAFETY: `self` is the proof.
        unsafe { _mm256_srai_epi32::<31>(_mm256_slli_epi32::<31>(_mm256_shuffle_epi32::<0>(v))) }
    }
}

impl Rounds for Vaes256 {
    #[inline(always)]
    fn begin(self, x: __m256i, key: __m256i) -> __m256i {
        self.xor(x, key)
    }

    #[inline(always)]
    fn round(self, x: __m256i, key: __m256i) -> __m256i {
        // SAFETY: `self` is the proof.
        unsafe { _mm256_aesenc_epi128(x, key) }
    }

    #[inline(always)]
    fn ninth(self, x: __m256i, key: __m256i) -> __m256i {
        self.round(x, key)
    }

    #[inline(always)]
    fn last(self, x: __m256i, key: __m256i) -> __m256i {
        // SAFETY: `self` is the proof.
        unsafe { _mm256_aesenclast_epi128(x, key) }
    }

    /// As with one block.
    #[inline(always)]
    fn next_key(self, key: __m256i, constant: u8) -> __m256i {
        // SAFETY: `self` is the proof.
        unsafe {
            let rotated = _mm256_shuffle_epi8(
                key,
                _mm256_broadcastsi128_si256(transmute::<[u8; 16], __m128i>(ROTATED)),
            );
            let substituted = _mm256_aesenclast_epi128(rotated, _mm256_set1_epi32(word(constant)));
            let two = _mm256_xor_si256(key, _mm256_slli_si256::<4>(key));
            let four = _mm256_xor_si256(two, _mm256_slli_si256::<8>(two));
            _mm256_xor_si256(four, substituted)
        }
    }
}

impl Vectors for Vaes512 {
    type Vector = __m512i;
    const BLOCKS: usize = 4;

    #[inline(always)]
    fn load(self, from: &[Block]) -> __m512i {
        match from {
            // SAFETY: four blocks are there; `self` is the proof.
            [_, _, _, _, ..] => unsafe { _mm512_loadu_si512(from.as_ptr().cast()) },
            // SAFETY: the mask has two 64-bit words for each block that is there; `self` is the
            // proof.
            _ => unsafe {
                _mm512_maskz_loadu_epi64((1 << (2 * from.len())) - 1, from.as_ptr().cast())
            },
        }
    }

    #[inline(always)]
    fn store(self, v: __m512i, to: &mut [Block]) {
        match to {
            // SAFETY: four blocks are there; `self` is the proof.
            [_, _, _, _, ..] => unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), v) },
            // SAFETY: the mask has two 64-bit words for each block that is there; `self` is the
            // proof.
            _ => unsafe {
                _mm512_mask_storeu_epi64(to.as_mut_ptr().cast(), (1 << (2 * to.len())) - 1, v)
            },
        }
    }

    #[inline(always)]
    fn gather(self, pair: impl Fn(usize) -> [Block; 2]) -> [__m512i; 2] {
        let [[a, b], [c, d], [e, f], [g, h]] = [pair(0), pair(1), pair(2), pair(3)];
        let four = |a: Block, b: Block, c: Block, d: Block| {
            // SAFETY: `self` is the proof.
            unsafe {
                let low = _mm256_set_m128i(one(b), one(a));
                _mm512_inserti64x4::<1>(
                    _mm512_castsi256_si512(low),
                    _mm256_set_m128i(one(d), one(c)),
                )
            }
        };
        [four(a, c, e, g), four(b, d, f, h)]
    }

    #[inline(always)]
    fn scatter(self, pair: [__m512i; 2], mut each: impl FnMut(usize, [Block; 2])) {
        // SAFETY: both are 64 bytes without invalid values.
        let [a, b] = pair.map(|v| unsafe { transmute::<__m512i, [Block; 4]>(v) });
        a.into_iter().zip(b).enumerate().for_each(|(i, (a, b))| each(i, [a, b]));
    }

    #[inline(always)]
    fn splat(self, block: Block) -> __m512i {
        // SAFETY: `self` is the proof.
        unsafe { _mm512_broadcast_i32x4(one(block)) }
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` is the proof.
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` is the proof.
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    fn colour_masks(self, v: __m512i) -> __m512i {
        // SAFETY: `self` is the proof.
        unsafe { _mm512_srai_epi32::<31>(_mm512_slli_epi32::<31>(_mm512_shuffle_epi32::<0>(v))) }
    }
}

impl Rounds for Vaes512 {
    #[inline(always)]
    fn begin(self, x: __m512i, key: __m512i) -> __m512i {
        self.xor(x, key)
    }

    #[inline(always)]
    fn round(self, x: __m512i, key: __m512i) -> __m512i {
        // SAFETY: `self` is the proof.
        unsafe { _mm512_aesenc_epi128(x, key) }
    }

    #[inline(always)]
    fn ninth(self, x: __m512i, key: __m512i) -> __m512i {
        self.round(x, key)
    }

    #[inline(always)]
    fn last(self, x: __m512i, key: __m512i) -> __m512i {
        // SAFETY: `self` is the proof.
        unsafe { _mm512_aesenclast_epi128(x, key) }
    }

    /// As with one block, but AVX-512F has no shifts and shuffles of bytes: words are rotated and
    /// moved instead, with zeros by a mask.
    #[inline(always)]
    fn next_key(self, key: __m512i, constant: u8) -> __m512i {
        // SAFETY: `self` is the proof.
        unsafe {
            let rotated = _mm512_ror_epi32::<8>(_mm512_shuffle_epi32::<0b11_11_11_11>(key));
            let substituted = _mm512_aesenclast_epi128(rotated, _mm512_set1_epi32(word(constant)));
            let two =
                _mm512_xor_si512(key, _mm512_maskz_shuffle_epi32::<0b10_01_00_00>(0xeeee, key));
            let four =
                _mm512_xor_si512(two, _mm512_maskz_shuffle_epi32::<0b01_00_00_00>(0xcccc, two));
            _mm512_xor_si512(four, substituted)
        }
    }
}
