//! A model made ready to be served: its weights, transformed once for all sessions with one stock.

use super::Options;
use crate::backend::limb::BLOCK;
use crate::error::{Error, Result};
use crate::memory::Space;
use crate::model::{Layer, Model};
use crate::params::N;
use crate::plan::tile::Tile;
use crate::plan::{Op, Plan};
use crate::ring::{LIMBS, Limb};
use zeroize::Zeroizing;

/// The tile of a linear operation under these options.
pub(crate) fn tile(op: &Op, options: &Options) -> Result<Tile> {
    Tile::choose(op, options.stock as usize)
}

/// What a server spares. Answers and bytes are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Footprint {
    /// Time: weights are transformed once, and all results of a layer are under way at once.
    #[default]
    Fast,
    /// Memory: weights are transformed whenever they are needed, and of a result only what goes to
    /// the client is kept until it is sent.
    Small,
}

/// A model that is ready to be served.
pub struct Prepared<'a> {
    model: Model<'a>,
    stock: u32,
    /// `NTT(w)`, Montgomery form, for each linear layer `[limb][group]` the polynomials of the
    /// group's chunks, block by block as [`crate::backend::limb::sums_of_products`] reads them; or
    /// `[limb][group][chunk]` ([`Tile::is_scalar`]).
    weights: Option<&'a [i32]>,
}

impl<'a> Prepared<'a> {
    pub(crate) fn take(
        space: &mut Space<'a>,
        plan: &Plan<'_>,
        stock: u32,
    ) -> Result<&'a mut [i32]> {
        let options = Options { stock, ..Options::default() };
        options.check()?;
        let mut numbers = 0_usize;
        for op in plan.ops().filter(Op::is_linear) {
            numbers = numbers.saturating_add(weights_len(&tile(&op, &options)?));
        }
        space.take(numbers)
    }

    /// Transforms the weights into `memory`, which has [`super::prepared_memory`] bytes, once for
    /// all sessions with the same stock.
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::Alignment`] or [`Error::Option`].
    pub fn new(model: Model<'a>, stock: u32, memory: &'a mut [u8]) -> Result<Self> {
        let weights = Self::take(&mut Space::carve(memory)?, model.plan(), stock)?;
        let options = Options { stock, ..Options::default() };
        let mut left = &mut *weights;
        for (op, layer) in linear_layers(&model) {
            let tile = tile(&op, &options)?;
            for limb in LIMBS.iter().take(tile.limbs()) {
                for group in 0..tile.groups() {
                    let len = tile.chunks_of(group).len() * tile.weight_len();
                    let weights = left.split_off_mut(..len).ok_or(Error::Internal)?;
                    group_weights(limb, &tile, &layer, group, weights)?;
                }
            }
        }
        Ok(Self { model, stock, weights: Some(weights) })
    }

    /// A model that stays as it is, for a server with little memory: [`Footprint::Small`].
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn small(model: Model<'a>, stock: u32) -> Result<Self> {
        Options { stock, ..Options::default() }.check()?;
        Ok(Self { model, stock, weights: None })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// The stock that the tiles were chosen for.
    #[must_use]
    pub const fn stock(&self) -> u32 {
        self.stock
    }

    /// What sessions with this model spare.
    #[must_use]
    pub const fn footprint(&self) -> Footprint {
        if self.weights.is_some() { Footprint::Fast } else { Footprint::Small }
    }

    /// The weights of all linear layers in order.
    pub(crate) fn layers(&self) -> impl Layers<'a> {
        let mut kept = self.weights;
        let mut layers = linear_layers(&self.model);
        move |tile: &Tile| {
            let (_, layer) = layers.next().ok_or(Error::Internal)?;
            match &mut kept {
                Some(left) => {
                    left.split_off(..weights_len(tile)).map(Weights::Kept).ok_or(Error::Internal)
                }
                None => Ok(Weights::Made(layer)),
            }
        }
    }
}

/// Gives the weights of the next linear layer, whose tile this is.
pub(crate) trait Layers<'a>: FnMut(&Tile) -> Result<Weights<'a>> {}
impl<'a, F: FnMut(&Tile) -> Result<Weights<'a>>> Layers<'a> for F {}

/// The linear layers of a model.
fn linear_layers<'a>(model: &Model<'a>) -> impl Iterator<Item = (Op, Layer<'a>)> + use<'a> {
    model
        .plan()
        .ops()
        .filter(Op::has_parameters)
        .zip(model.layers())
        .filter(|(op, _)| op.is_linear())
}

/// A layer's weight polynomials, transformed.
pub(crate) enum Weights<'w> {
    /// All of them.
    Kept(&'w [i32]),
    /// Made when they are needed.
    Made(Layer<'w>),
}

/// Numbers that the weights of a layer take.
pub(crate) fn weights_len(tile: &Tile) -> usize {
    tile.weight_polynomials().saturating_mul(tile.limbs() * tile.weight_len())
}

/// The weight polynomials of one group of outputs, as [`Prepared`] keeps them.
fn group_weights(
    limb: &Limb,
    tile: &Tile,
    layer: &Layer<'_>,
    group: usize,
    out: &mut [i32],
) -> Result<()> {
    let chunks = tile.chunks_of(group);
    if tile.is_scalar() {
        for (chunk, out) in chunks.zip(out) {
            transformed_weights(limb, tile, layer, (group, chunk), core::slice::from_mut(out))?;
        }
        return Ok(());
    }
    let mut poly = Zeroizing::new([0; N]);
    let poly = poly.get_mut(..tile.n()).ok_or(Error::Internal)?;
    let polynomials = chunks.len();
    let blocks = out.as_chunks_mut::<BLOCK>().0;
    for (number, chunk) in chunks.enumerate() {
        transformed_weights(limb, tile, layer, (group, chunk), poly)?;
        let own = blocks.iter_mut().skip(number).step_by(polynomials);
        own.zip(poly.as_chunks().0).for_each(|(to, from)| *to = *from);
    }
    Ok(())
}

/// The weight polynomial of one group of outputs and one chunk of inputs, Montgomery form,
/// transformed. `out`: n values, or one of a constant polynomial.
pub(crate) fn transformed_weights(
    limb: &Limb,
    tile: &Tile,
    layer: &Layer<'_>,
    (group, chunk): (usize, usize),
    out: &mut [i32],
) -> Result<()> {
    out.fill(0);
    for (index, at) in tile.weights(group, chunk) {
        let slot = out.get_mut(at).ok_or(Error::Internal)?;
        let weight = layer.weight(index).ok_or(Error::Internal)?;
        *slot = limb.to_montgomery(weight as i32);
    }
    if tile.is_scalar() {
        let (w, rest) = out.split_first_mut().ok_or(Error::Internal)?;
        rest.fill(*w);
    } else {
        limb.forward(out);
    }
    Ok(())
}
