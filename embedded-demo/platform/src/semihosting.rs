//! QEMU's door to the host: where the program ends, and what it was started with.

use crate::random::{Random, Source, SourceFailed};
use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit as end};
use cortex_m_semihosting::{nr, syscall, syscall1};
use minionn_core::rng::{Domain, Seed};

/// Longest start arguments.
const ARGUMENTS: usize = 256;

/// Ends QEMU.
pub fn exit(success: bool) -> ! {
    loop {
        end(if success { EXIT_SUCCESS } else { EXIT_FAILURE });
    }
}

/// Writes to QEMU's console.
pub fn write(bytes: &[u8]) {
    for byte in bytes {
        // SAFETY: SYS_WRITEC reads one byte at the address that it is handed.
        unsafe { syscall(nr::WRITEC, byte) };
    }
}

/// What the program was started with: words `key=value`, from QEMU's `-semihosting-config …,arg=`.
pub struct Arguments {
    bytes: [u8; ARGUMENTS],
    len: usize,
}

impl Arguments {
    /// Asks QEMU. Nothing if they are too long.
    #[must_use]
    pub fn get() -> Self {
        let mut bytes = [0; ARGUMENTS];
        let mut block = [bytes.as_mut_ptr() as usize, ARGUMENTS];
        // SAFETY: SYS_GET_CMDLINE writes at most as many bytes as the second word says to where the
        // first one points, and the length over the second word.
        let result = unsafe { syscall1(nr::GET_CMDLINE, (&raw mut block) as usize) };
        let [_, len] = block;
        Self { bytes, len: if result == 0 { len } else { 0 } }
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        let all = self.bytes.get(..self.len)?;
        all.split(|&byte| byte == b' ' || byte == 0)
            .find_map(|word| word.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }

    /// The value of a key that is a decimal number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u16> {
        let digits = self.value(key)?;
        digits.iter().try_fold(0_u16, |n, digit| {
            n.checked_mul(10)?.checked_add(u16::from(digit.checked_sub(b'0').filter(|&d| d < 10)?))
        })
    }

    /// The value of a key that has 64 hexadecimal digits.
    #[must_use]
    pub fn seed(&self, key: &str) -> Option<[u8; 32]> {
        let (pairs, []) = self.value(key)?.as_chunks::<2>() else { return None };
        let mut seed = [0; 32];
        if pairs.len() != seed.len() {
            return None;
        }
        for (byte, &[high, low]) in seed.iter_mut().zip(pairs) {
            *byte = nibble(high)? << 4 | nibble(low)?;
        }
        Some(seed)
    }
}

/// Randomness from the host. QEMU emulates no source on these boards, so the host hands over 32
/// fresh bytes for every start (`seed=…`), and whatever is drawn is a stream of its own of them.
/// Whoever sees how QEMU was started can decrypt everything: a real device draws from its random
/// number generator.
pub struct Host {
    seed: Seed,
    drawn: u64,
}

impl Host {
    /// From the start arguments. Fails from the first byte if there is no seed among them: there is
    /// no other to fall back on.
    #[must_use]
    pub fn random() -> Random<Self> {
        let seed = Arguments::get().seed("seed").map(Seed);
        Random::new(seed.map(|seed| Self { seed, drawn: 0 }))
    }
}

impl Source for Host {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SourceFailed> {
        self.drawn += 1;
        self.seed.stream(Domain::Derive, self.drawn).fill(bytes);
        Ok(())
    }
}

/// The value of a hexadecimal digit.
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
