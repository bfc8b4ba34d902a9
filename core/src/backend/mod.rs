//! What depends on the machine, and the only code with `unsafe`. Every fast path equals its portable twin bit for bit.

pub mod aes;
pub(crate) mod cpu;
pub mod limb;
pub mod matrix;
pub mod place;
pub mod sample;
pub mod transpose;
