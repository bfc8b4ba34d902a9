//! What a client computes with secrets, again and again with other secrets and otherwise the same:
//! QEMU, with the plugin of `xtask/src/embedded/trace.c`, holds instruction by instruction that the
//! same is done at the same addresses. Encryption and decryption by themselves, then whole
//! predictions by circuits and by comparison, largest output included. In the end, two leaks are
//! planted: they must be found.
//!
//! To add a part: call [`watched`] in [`run`], and name it in `xtask/src/embedded/trace.rs`.
#![no_std]
#![no_main]

#[path = "../../options.rs"]
mod options;
#[allow(dead_code, reason = "the build script writes its model")]
mod tiny;

use core::arch::asm;
use core::hint::black_box;
use core::panic::PanicInfo;
use cortex_m_rt::entry;
use minionn_core::lattice::decrypt;
use minionn_core::lattice::encode::{Encoder, Plaintext};
use minionn_core::lattice::encrypt::{self, SecretKey};
use minionn_core::lattice::noise::{C1_EXTRA, RESULT_EXTRA};
use minionn_core::lattice::rescale::{Basis, Fraction as _};
use minionn_core::model::Model;
use minionn_core::params::SMALL_N;
use minionn_core::ring::LIMBS;
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{Options, Prepared};
use minionn_core::wire::GROUP;
use minionn_core::{Error, Result};
use options::options;
use platform::board::Board;
use platform::memory;
use semihosting::println;
use static_cell::ConstStaticCell;

/// As the tiny network, but the client learns which output is the largest.
static MODEL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/largest.model"));

/// How often a part runs.
const TIMES: usize = 3;
/// Limbs of most layers, and the ring of one.
const LIMBS_OF_LAYERS: usize = 2;
const RING: u32 = 13;
/// Values in a ciphertext.
const VALUES: usize = 128;

/// What an engine carves.
#[repr(align(16))]
struct Workspace<const N: usize>([u8; N]);

static CLIENT: ConstStaticCell<Workspace<80_000>> = ConstStaticCell::new(Workspace([0; 80_000]));
static SERVER: ConstStaticCell<Workspace<180_000>> = ConstStaticCell::new(Workspace([0; 180_000]));

#[entry]
fn main() -> ! {
    memory::guard();
    let _board = Board::start();
    let all = run();
    if let Err(error) = all {
        println!("FAILED: {error:?}");
    }
    platform::exit(all.is_ok())
}

fn run() -> Result<()> {
    let (client, server) = (CLIENT.take(), SERVER.take());
    watched([1, 2, 3], &mut encryption)?;
    watched([1, 2, 3], &mut decryption)?;
    predictions(options(false), &mut client.0, &mut server.0)?;
    predictions(options(true), &mut client.0, &mut server.0)?;
    watched([1, 2, 3], &mut |secret| {
        if secret & 1 == 0 {
            // SAFETY: it does nothing.
            unsafe { asm!("nop") };
        }
        Ok(())
    })?;
    let table = [7_u8; 4];
    watched([1, 2, 3], &mut |secret| {
        black_box(black_box(&table).get(usize::from(secret)).copied());
        Ok(())
    })
}

/// The plugin forgets what it has kept: it keeps the next run.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn trace_forget() {
    // SAFETY: it does nothing. So that no two of these functions are alike, hence one.
    unsafe { asm!("movs r0, #1", out("r0") _) };
}

/// Here a run begins.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn trace_begin() {
    // SAFETY: as above.
    unsafe { asm!("movs r0, #2", out("r0") _) };
}

/// And here it ends.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn trace_end() {
    // SAFETY: as above.
    unsafe { asm!("movs r0, #3", out("r0") _) };
}

/// Runs a part with every secret.
fn watched(secrets: [u8; TIMES], work: &mut dyn FnMut(u8) -> Result<()>) -> Result<()> {
    secrets.into_iter().enumerate().try_for_each(|(i, secret)| once(i, &mut || work(secret)))
}

/// Runs a part once: the first time it is kept.
#[inline(never)]
fn once(time: usize, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    if time == 0 {
        trace_forget();
    }
    trace_begin();
    let done = black_box(work)();
    trace_end();
    done
}

/// As `send_masks` of a session does it; key, noise and values are secret.
fn encryption(secret: u8) -> Result<()> {
    let (mut poly, mut noise) = ([0; LIMBS_OF_LAYERS * SMALL_N], [0; SMALL_N]);
    let (key, public) = (SecretKey::new(Seed([secret; 32])), Seed([9; 32]));
    let encoder = Encoder::new(Plaintext::Bits(RING), LIMBS_OF_LAYERS);
    encrypt::noise(&Seed([secret + 100; 32]), 0, &mut noise)?;
    let mut encoded = [0; VALUES];
    let limbs = LIMBS.iter().enumerate().zip(poly.chunks_exact_mut(SMALL_N));
    for ((index, limb), poly) in limbs {
        key.expand(limb, poly)?;
        SecretKey::mask_limb((index, limb), 0, &public, &noise, poly)?;
        encoder.encode_all(index, &[u64::from(secret) << 5 | 1; VALUES], &mut encoded)?;
        poly.iter_mut().zip(&encoded).for_each(|(x, m)| *x += *m);
    }
    let basis = Basis::new(LIMBS_OF_LAYERS);
    for first in (0..SMALL_N).step_by(GROUP) {
        let mut sums = [0_u64; GROUP];
        for (index, poly) in poly.chunks_exact(SMALL_N).enumerate() {
            basis.add(index, &poly[first..first + GROUP], &mut sums)?;
        }
        black_box(sums.map(|sum| sum.round(31)));
    }
    Ok(())
}

/// As `receive_few` of a session does it; the key is secret, and with it the result.
fn decryption(secret: u8) -> Result<()> {
    const BITS: u32 = RING + RESULT_EXTRA + C1_EXTRA;
    let key = SecretKey::new(Seed([secret; 32]));
    let mut unfolded = [0; decrypt::unfolded(SMALL_N)];
    let (mut rows, mut sums) = ([0; 16], [0_u64; 16]);
    for (i, row) in rows.iter_mut().enumerate() {
        *row = decrypt::row(SMALL_N, i * VALUES)?;
    }
    decrypt::unfold(&key, &mut unfolded)?;
    for first in (0..SMALL_N).step_by(GROUP) {
        let c1 = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS);
        let group: [u64; GROUP] = core::array::from_fn(|i| c1(first + i));
        decrypt::add_products(&unfolded, BITS, first, &group, &rows, &mut sums)?;
    }
    for sum in sums {
        black_box(decrypt::round(RING + RESULT_EXTRA, 5, sum));
    }
    Ok(())
}

/// Both parties, from the input to the answer. Seeds and inputs are others every time, so all
/// shares, masks and labels are.
fn predictions(options: Options, client: &mut [u8], server: &mut [u8]) -> Result<()> {
    let inputs = [[1, -2, 3], [-1, 2, 4], [-4, 4, -4]];
    let mut numbered = inputs.into_iter().enumerate();
    numbered.try_for_each(|(time, x)| prediction(time, options, &x, client, server))
}

/// One of them. A session of its own: what is in memory must lie where it lay before.
#[inline(never)]
fn prediction(
    time: usize,
    options: Options,
    x: &[i32; tiny::INPUTS],
    client: &mut [u8],
    server: &mut [u8],
) -> Result<()> {
    let (input, model, buffers) = (*x, Model::parse(MODEL)?, Buffers::default());
    let prepared = Prepared::small(model, options.stock)?;
    let seed = |byte: u8| KnownSeed::new(Seed([byte + time as u8; 32]));
    let mut client = ClientEngine::new(*model.plan(), options, buffers, client, &mut seed(1))?;
    let mut server = ServerEngine::new(&prepared, options, buffers, server, &mut seed(101))?;
    settle(&mut client, &mut server)?;
    client.prepare()?;
    settle(&mut client, &mut server)?;
    once(time, &mut || {
        client.predict_quantised(&input)?;
        settle(&mut client, &mut server)
    })?;
    let (mut scratch, mut out) = ([0; tiny::INPUTS + 4 * 2], [0; tiny::OUTPUTS]);
    let largest = model.evaluate(&input.map(i64::from), &mut scratch, &mut out)?;
    if client.answer(&mut [])? == largest { Ok(()) } else { Err(Error::Internal) }
}

/// Moves bytes until nothing moves.
fn settle(client: &mut ClientEngine<'_>, server: &mut ServerEngine<'_>) -> Result<()> {
    let mut buffer = [0; 512];
    loop {
        let status = client.poll()?;
        let up = client.drain(&mut buffer);
        let mut bytes = &buffer[..up];
        while !bytes.is_empty() {
            let fed = server.feed(bytes);
            bytes = &bytes[fed..];
            server.poll()?;
        }
        server.poll()?;
        let down = server.drain(&mut buffer);
        let mut bytes = &buffer[..down];
        while !bytes.is_empty() {
            let fed = client.feed(bytes);
            bytes = &bytes[fed..];
            client.poll()?;
        }
        if up + down == 0 && status != Status::Busy {
            return Ok(());
        }
    }
}

/// A panic is a failed test: say where, and end.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("FAILED: {info}");
    platform::exit(false)
}
