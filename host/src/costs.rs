//! What sessions cost, before anything runs. Sessions take their message lengths from the same
//! figures, so they are exact.

use crate::error::{Error, Result};
use crate::link_model::LinkModel;
use minionn_core::compare::OtActivation;
use minionn_core::cost::{self, Phase};
use minionn_core::plan::circuit::NonlinearCost;
use minionn_core::plan::tile::Tile;
use minionn_core::plan::{Function, Op, Plan};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine};
use minionn_core::session::{
    Activations, Options, Tables, client_memory, prepared_memory, server_memory,
};
use serde::Serialize;

/// All figures for sessions with one set of options.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Costs {
    /// The plan's name.
    pub name: String,
    /// Predictions that are prepared at once.
    pub stock: u32,
    /// `stored` or `streamed`.
    pub tables: &'static str,
    /// OT parameter: 1, 2, 4 or 8.
    pub ot: usize,
    /// How activations are computed, as [`Activations::code`].
    pub activations: u8,
    /// Operation by operation.
    pub layers: Vec<LayerCosts>,
    /// Handshake, keys and base OTs, once for each connection.
    pub setup: PhaseCosts,
    /// Instead of set-up, with a pairing.
    pub resume: PhaseCosts,
    /// One stock.
    pub offline: PhaseCosts,
    /// One prediction.
    pub online: PhaseCosts,
    /// What both parties keep.
    pub memory: MemoryCosts,
}

/// What goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PhaseCosts {
    /// Bytes to the server.
    pub bytes_up: u64,
    /// Bytes to the client.
    pub bytes_down: u64,
    /// How often the client waits for the server.
    pub rounds: u32,
}

impl PhaseCosts {
    /// Bytes both ways.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes_up + self.bytes_down
    }
}

impl From<Phase> for PhaseCosts {
    fn from(phase: Phase) -> Self {
        Self { bytes_up: phase.up, bytes_down: phase.down, rounds: phase.rounds }
    }
}

/// One operation; online figures are for one prediction, offline ones for a stock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCosts {
    /// What it is, in words.
    pub kind: String,
    /// Ring of the input, in bits.
    pub ring: u8,
    /// Ring of the output.
    pub ring_out: u8,
    /// Elements in.
    pub inputs: u32,
    /// Elements out.
    pub outputs: u32,
    /// `gc`: by a garbled circuit; `ot`: by comparison with OTs; `none`: nothing to compute by
    /// either.
    pub activation: &'static str,
    /// AND gates of one prediction's circuits.
    pub and_gates: u64,
    /// OTs of one prediction.
    pub ots: u64,
    /// Products by OT of one prediction.
    pub products: u64,
    /// For a stock.
    pub offline: PhaseCosts,
    /// For a prediction.
    pub online: PhaseCosts,
    /// How a linear layer is packed.
    #[serde(flatten)]
    pub packing: Option<Packing>,
    /// Seconds of one prediction, where they were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// The ciphertexts of a linear layer, for a stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Packing {
    /// Predictions, outputs and inputs that one ciphertext takes.
    pub tile: [usize; 3],
    /// Degree of the polynomials.
    pub degree: usize,
    /// Limbs of the modulus.
    pub limbs: usize,
    /// Bits of a coefficient of an upload; none where it is sent whole.
    pub upload_bits: Option<u32>,
    /// Ciphertexts to the server.
    pub ciphertexts_up: usize,
    /// Ciphertexts to the client.
    pub ciphertexts_down: usize,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryCosts {
    /// A client's session.
    pub client_session: usize,
    /// The same as a sans-IO engine with its default buffers, tables included.
    pub client_engine: usize,
    /// A client's store for garbled tables.
    pub client_store: u64,
    /// A server's session.
    pub server_session: usize,
    /// The same as a sans-IO engine with its default buffers.
    pub server_engine: usize,
    /// Transformed weights, once for all sessions with the same stock.
    pub server_weights: usize,
}

impl Costs {
    pub(crate) fn new(plan: &Plan<'_>, options: &Options) -> Result<Self> {
        options.check().map_err(Error::session_options)?;
        Self::checked(plan, options).map_err(Error::session_options)
    }

    fn checked(plan: &Plan<'_>, options: &Options) -> minionn_core::Result<Self> {
        let layers: minionn_core::Result<Vec<_>> =
            plan.ops().map(|op| LayerCosts::new(&op, options)).collect();
        let buffers = Buffers::default();
        Ok(Self {
            name: plan.name().to_owned(),
            stock: options.stock,
            tables: tables_name(options.tables),
            ot: options.repetition.k(),
            activations: options.activations.code(),
            layers: layers?,
            setup: cost::setup().into(),
            resume: cost::resume().into(),
            offline: cost::offline(plan, options)?.into(),
            online: cost::online(plan, options).into(),
            memory: MemoryCosts {
                client_session: client_memory(plan, options)?,
                client_engine: ClientEngine::memory(plan, options, buffers)?,
                client_store: cost::store_bytes(plan, options),
                server_session: server_memory(plan, options)?,
                server_engine: ServerEngine::memory(plan, options, buffers)?,
                server_weights: prepared_memory(plan, options.stock)?,
            },
        })
    }

    /// Bytes of one prediction, offline and online, set-up left out.
    #[must_use]
    pub fn prediction_bytes(&self) -> u64 {
        self.offline.bytes() / u64::from(self.stock.max(1)) + self.online.bytes()
    }
}

/// `stored` or `streamed`.
pub(crate) const fn tables_name(tables: Tables) -> &'static str {
    match tables {
        Tables::Stored => "stored",
        Tables::Streamed => "streamed",
    }
}

impl LayerCosts {
    fn new(op: &Op, options: &Options) -> minionn_core::Result<Self> {
        let n = NonlinearCost::with_options(op, options);
        let by_ot = OtActivation::of(op, options);
        let ((ring, inputs), (ring_out, outputs)) = (op.input(), op.output());
        Ok(Self {
            kind: kind(op),
            ring,
            ring_out,
            inputs,
            outputs,
            activation: match by_ot {
                Some(_) => "ot",
                None if n.neurons > 0 => "gc",
                None => "none",
            },
            and_gates: n.and_gates,
            ots: by_ot.map_or(n.ots, |by_ot| by_ot.ots().iter().sum()) as u64,
            products: n.products as u64,
            offline: cost::offline_op(op, options)?.into(),
            online: cost::online_op(op, options).into(),
            packing: op.is_linear().then(|| Packing::new(op, options.stock)).transpose()?,
            seconds: None,
        })
    }
}

impl Packing {
    fn new(op: &Op, stock: u32) -> minionn_core::Result<Self> {
        let tile = Tile::choose(op, stock as usize)?;
        Ok(Self {
            tile: [tile.n_b, tile.n_o, tile.n_c],
            degree: tile.n(),
            limbs: tile.limbs(),
            upload_bits: tile.level.upload_bits,
            ciphertexts_up: tile.up(),
            ciphertexts_down: tile.down(),
        })
    }
}

/// What a prediction takes on a link with each way to compute activations; the parties' own work is
/// left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkCosts {
    /// The link.
    pub name: String,
    /// All by garbled circuits.
    pub gc: WayCosts,
    /// All by OTs, where there is such a way.
    pub ot: WayCosts,
    /// Layer by layer what suits the link.
    pub auto: WayCosts,
}

/// One way to compute activations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WayCosts {
    /// Layers that are computed by OTs.
    pub layers_by_ot: usize,
    /// A stock.
    pub offline_seconds: f64,
    /// A stock, both ways.
    pub offline_bytes: u64,
    /// A stock.
    pub offline_rounds: u32,
    /// A prediction.
    pub online_seconds: f64,
    /// A prediction, both ways.
    pub online_bytes: u64,
    /// A prediction.
    pub online_rounds: u32,
}

impl LinkCosts {
    /// For sessions with `options`, whose own way is left out.
    pub(crate) fn new(plan: &Plan<'_>, options: &Options, link: &LinkModel) -> Result<Self> {
        let way = |activations| {
            WayCosts::new(plan, &Options { activations, ..*options }, link)
                .map_err(Error::session_options)
        };
        Ok(Self {
            name: link.name.clone(),
            gc: way(Activations::Garbled)?,
            ot: way(Activations::Compared { log2_bytes_per_round: 0 })?,
            auto: way(link.activations())?,
        })
    }
}

impl WayCosts {
    fn new(plan: &Plan<'_>, options: &Options, link: &LinkModel) -> minionn_core::Result<Self> {
        let (offline, online) = (cost::offline(plan, options)?, cost::online(plan, options));
        Ok(Self {
            layers_by_ot: plan.ops().filter(|op| OtActivation::of(op, options).is_some()).count(),
            offline_seconds: link.seconds(offline),
            offline_bytes: offline.up + offline.down,
            offline_rounds: offline.rounds,
            online_seconds: link.seconds(online),
            online_bytes: online.up + online.down,
            online_rounds: online.rounds,
        })
    }
}

/// What an operation is, for people.
pub(crate) fn kind(op: &Op) -> String {
    match op {
        Op::FullyConnected { .. } => "fully connected".to_owned(),
        Op::Convolution { layer, .. } => {
            format!("convolution {}x{}", layer.kernel[0], layer.kernel[1])
        }
        Op::Activation { function, shift, .. } => format!("{} >> {shift}", function_name(function)),
        Op::MaxPool { function, shift, window, .. } => {
            format!(
                "max {}x{} {} >> {shift}",
                window.kernel[0],
                window.kernel[1],
                function_name(function)
            )
        }
        Op::SumPool { window, .. } => format!("sum {}x{}", window.kernel[0], window.kernel[1]),
        Op::Square { .. } => "square".to_owned(),
        Op::Product { .. } => "product".to_owned(),
        Op::StridedAdd { .. } => "arrange".to_owned(),
        Op::Offset { .. } => "offset".to_owned(),
        Op::Reveal { .. } => "open".to_owned(),
        Op::Argmax { .. } => "argmax".to_owned(),
    }
}

const fn function_name(function: &Function) -> &'static str {
    match function {
        Function::Identity => "identity",
        Function::Relu => "relu",
        Function::Clip { .. } => "clip",
        Function::Leaky { .. } => "leaky relu",
        Function::PiecewiseLinear(_) => "spline",
    }
}
