//! Requests to valgrind's memcheck, which otherwise do nothing. After "ctgrind" by A. Langley:
//! what memcheck takes for not initialised may flow anywhere, but no branch and no address may
//! depend on it.

/// Numbers of requests, from `valgrind/valgrind.h` and `memcheck.h`.
const RUNNING: u64 = 0x1001;
const MEMCHECK: u64 = (b'M' as u64) << 24 | (b'C' as u64) << 16;
const MAKE_UNDEFINED: u64 = MEMCHECK + 1;
const MAKE_DEFINED: u64 = MEMCHECK + 2;
const GET_BITS: u64 = MEMCHECK + 8;

#[cfg(target_arch = "x86_64")]
fn request(number: u64, arguments: [u64; 3]) -> u64 {
    let [a, b, c] = arguments;
    let all = [number, a, b, c, 0, 0];
    let mut result = 0_u64;
    // SAFETY: the rotations leave `rdi` as it was and the exchange does nothing: on a processor
    // this changes flags only. Valgrind knows the sequence and reads the six words.
    unsafe {
        core::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") all.as_ptr(),
            inout("rdx") result,
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
fn request(_: u64, _: [u64; 3]) -> u64 {
    0
}

fn about<T>(number: u64, values: &[T], more: u64) -> u64 {
    request(number, [values.as_ptr() as u64, more, size_of_val(values) as u64])
}

/// Whether this program runs under valgrind.
pub fn is_here() -> bool {
    request(RUNNING, [0; 3]) != 0
}

/// Nothing may depend on these values.
pub fn secret<T>(values: &[T]) {
    request(MAKE_UNDEFINED, [values.as_ptr() as u64, size_of_val(values) as u64, 0]);
}

/// Everybody may know these values.
pub fn public<T>(values: &[T]) {
    request(MAKE_DEFINED, [values.as_ptr() as u64, size_of_val(values) as u64, 0]);
}

/// How many of these bytes depend on secrets.
pub fn secret_bytes(bytes: &[u8]) -> usize {
    let mut bits = vec![0_u8; bytes.len()];
    about(GET_BITS, bytes, bits.as_mut_ptr() as u64);
    public(&bits);
    bits.iter().filter(|&&bits| bits != 0).count()
}
