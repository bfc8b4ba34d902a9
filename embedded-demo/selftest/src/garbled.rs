//! A garbled neuron: ReLU and truncation of a shared value.

use minionn_core::garble::{
    EvaluateBuffers, Evaluator, Function, GarbleBuffers, Garbler, Neuron, totals,
};
use minionn_core::hash::Tmmo;
use minionn_core::ring::Modulus;

const BITS: u8 = 16;
const RING: Modulus = Modulus::Bits(BITS);
const SHIFT: u8 = 5;
const CIRCUIT: Neuron =
    Neuron { function: Function::Relu, modulus_in: RING, modulus_out: RING, shift: SHIFT };
/// Most bytes of its tables.
const TABLES: usize = 2048;

/// What a client has before it evaluates, and what comes out.
pub(crate) struct Garbled {
    session: Tmmo,
    layer: u64,
    y: u64,
    mask: u64,
    tables: [u8; TABLES],
    server: [u128; BITS as usize],
    client: [u128; 2 * BITS as usize],
    decode: [u64; 1],
    colours: [u64; 1],
}

impl Garbled {
    /// `f(y) − mask`, garbled as the layer of this number. `None` if the garbler refuses.
    pub(crate) fn new(layer: u64, y: u64, mask: u64) -> Option<Self> {
        let (session, secret, delta, share) =
            (Tmmo::new(1), Tmmo::new(2), 0x1234_5678_9abc_def1_u128, 0x5a5a);
        let y = RING.reduce(y);
        let (mut tables, mut server, mut decode) = ([0; TABLES], [0; BITS as usize], [0]);
        let zero: [u128; 2 * BITS as usize] =
            core::array::from_fn(|i| ((i as u128 + 99) << 64) | (0x77 * i as u128));
        let garbler = Garbler::new(&session, &secret, delta, layer);
        let used = tables.get_mut(..totals(&CIRCUIT).table_bytes())?;
        let buffers = GarbleBuffers { client_zero: &zero, tables: used, decode: &mut decode };
        garbler.garble_neurons::<_, 1>(&CIRCUIT, 0..1, buffers).ok()?;
        garbler.active_labels(0, 0, RING.sub(y, share), &mut server).ok()?;
        let chosen = share | (mask << BITS);
        let client = core::array::from_fn(|i| zero[i] ^ (delta * u128::from((chosen >> i) & 1)));
        Some(Self {
            session: Tmmo::new(1),
            layer,
            y,
            mask,
            tables,
            server,
            client,
            decode,
            colours: [0],
        })
    }

    /// How many ANDs there are.
    pub(crate) fn ands() -> u64 {
        totals(&CIRCUIT).ands.into()
    }

    /// The client's work. False if the evaluator refuses.
    pub(crate) fn evaluate(&mut self) -> bool {
        let Some(tables) = self.tables.get(..totals(&CIRCUIT).table_bytes()) else { return false };
        let evaluator = Evaluator::new(&self.session, self.layer);
        let buffers = EvaluateBuffers {
            tables,
            server_labels: &self.server,
            client_labels: &self.client,
            colours: &mut self.colours,
        };
        evaluator.evaluate_neurons::<_, 1>(&CIRCUIT, 0..1, buffers).is_ok()
    }

    /// Whether the result is the integers'.
    pub(crate) fn is_right(&self) -> bool {
        let result = RING.add(self.colours[0] ^ self.decode[0], self.mask);
        result == RING.reduce_signed(RING.to_signed(self.y).max(0) >> SHIFT)
    }
}

/// Values of either sign.
pub(crate) fn neurons() -> bool {
    [(40_000_u64, 1_234_u64), (-5_000_i64 as u64, 7), (31_000, 65_535)].into_iter().zip(0..).all(
        |((y, mask), layer)| {
            Garbled::new(layer, y, mask)
                .is_some_and(|mut neuron| neuron.evaluate() && neuron.is_right())
        },
    )
}
