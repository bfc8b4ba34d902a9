//! What depends on the machine, and the only code with `unsafe`. Every fast path equals its
//! portable path bit for bit.

pub mod aes;
pub(crate) mod cpu;
pub mod limb;
pub mod matrix;
pub mod place;
pub mod sample;
pub mod toeplitz;
pub mod transpose;
// What has a hardware float ABI and no operating system has the instructions of `thumb.rs`, too.
#[cfg(any(not(target_pointer_width = "64"), test))]
#[cfg_attr(
    all(
        target_arch = "arm",
        target_abi = "eabihf",
        target_os = "none",
        target_endian = "little",
        not(feature = "force-portable")
    ),
    path = "thumb_chacha.rs"
)]
pub(crate) mod chacha;
#[cfg_attr(
    all(
        target_arch = "arm",
        target_abi = "eabihf",
        target_os = "none",
        target_endian = "little",
        not(feature = "force-portable")
    ),
    path = "thumb.rs"
)]
pub(crate) mod layers;
