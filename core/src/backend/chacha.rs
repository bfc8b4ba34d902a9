//! A block of ChaCha20, for machines with words of 32 bits: there, the library's four blocks at a
//! time take half as many instructions again, and three times the memory. `thumb_chacha.rs` is the
//! same in assembly.

/// Columns, then diagonals.
const QUARTERS: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
];

/// The block of a state: ten double rounds, and the state added.
pub(crate) fn block(state: &[u32; 16], out: &mut [u32; 16]) {
    *out = *state;
    for _ in 0..10 {
        for quarter in QUARTERS {
            if let Ok([a, b, c, d]) = out.get_disjoint_mut(quarter) {
                for [first, second] in [[16, 12], [8, 7]] {
                    *a = a.wrapping_add(*b);
                    *d = (*d ^ *a).rotate_left(first);
                    *c = c.wrapping_add(*d);
                    *b = (*b ^ *c).rotate_left(second);
                }
            }
        }
    }
    for (out, state) in out.iter_mut().zip(state) {
        *out = out.wrapping_add(*state);
    }
}
