//! A circuit's reading as plain bits: what it computes.

use super::circuit::Circuit;
use super::gates::Gates;
use crate::{Error, Result};

/// Plain bits: what the circuit computes.
struct Plain<S, C> {
    server: S,
    client: C,
    outputs: u64,
    count: u32,
    starved: bool,
}

impl<S: Iterator<Item = bool>, C: Iterator<Item = bool>> Gates for Plain<S, C> {
    type Wire = bool;

    fn server_input(&mut self) -> bool {
        let bit = self.server.next();
        self.starved |= bit.is_none();
        bit.unwrap_or_default()
    }

    fn client_input(&mut self) -> bool {
        let bit = self.client.next();
        self.starved |= bit.is_none();
        bit.unwrap_or_default()
    }

    fn xor(&mut self, a: &bool, b: &bool) -> bool {
        a ^ b
    }

    fn negate(&mut self, a: &mut bool) {
        *a = !*a;
    }

    fn and(&mut self, a: &bool, b: &bool) -> bool {
        a & b
    }

    fn output(&mut self, a: &bool) {
        self.outputs |= u64::from(*a).wrapping_shl(self.count);
        self.count += 1;
    }
}

/// Runs all steps of `circuit` on plain input bits, each party's in the circuit's order; returns
/// the output bits, first lowest.
///
/// # Errors
/// [`Error::Internal`] if an iterator ends before the circuit does, or the circuit is not
/// [`Circuit::check`]ed.
pub fn plain<T: Circuit>(
    circuit: &T,
    server: impl Iterator<Item = bool>,
    client: impl Iterator<Item = bool>,
) -> Result<u64> {
    circuit.check()?;
    let mut gates = Plain { server, client, outputs: 0, count: 0, starved: false };
    let mut state = circuit.start();
    for step in 0..circuit.steps() {
        circuit.step(&mut gates, &mut state, step);
    }
    if gates.starved { Err(Error::Internal) } else { Ok(gates.outputs) }
}
