//! The server's secret: a plan with weights, as a checked view over bytes; and the integer model in
//! the clear.
//!
//! Layout (little-endian): [`MAGIC`], version u16, six zeros, the plan, then for each linear layer
//! the weights in ONNX's order (`i8` if they fit into 8 bits, else `i16`) and the biases (`i64`),
//! for each offset its constants (`i64`), SHA-256 of all that.

use crate::backend::{self, matrix::Weights};
use crate::error::{Error, PlanFault, Result};
use crate::params;
use crate::plan::{self, Convolution, Geometry, Op, Plan, Step};
use crate::ring::Modulus;
use sha2::{Digest as _, Sha256};

/// First bytes of a model.
pub const MAGIC: [u8; 8] = *b"MiniONNm";
/// Bytes before the plan.
pub const HEADER: usize = 16;

/// A checked model over borrowed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    plan: Plan<'a>,
    parameters: &'a [u8],
}

/// Weights and biases of one linear layer, as in ONNX: `[outputs][channels / groups][kernel]` and
/// `[outputs]`.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    ring: Modulus,
    geometry: Geometry,
    weights: Weights<'a>,
    biases: &'a [u8],
}

const fn fault<T>(fault: PlanFault) -> Result<T> {
    Err(Error::Model(fault))
}

/// Bytes of weights and of biases of a linear layer or an offset.
fn layer_bytes(op: &Op) -> Option<(usize, usize)> {
    if let Op::Offset { channels, .. } = op {
        return Some((0, *channels as usize * 8));
    }
    let (_, weight_bits, geometry) = op.linear()?;
    let geometry = geometry.ok()?;
    let width = if weight_bits > 8 { 2 } else { 1 };
    Some((usize::try_from(geometry.layer().weights()).ok()? * width, geometry.outputs * 8))
}

impl<'a> Model<'a> {
    /// Checks digest, plan, lengths and that every weight is as narrow as the plan says.
    ///
    /// # Errors
    /// [`Error::Model`] or [`Error::Plan`] with the reason.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let content = bytes
            .len()
            .checked_sub(plan::DIGEST)
            .and_then(|n| bytes.get(..n))
            .ok_or(Error::Model(PlanFault::Truncated))?;
        let (head, body) =
            content.split_first_chunk::<HEADER>().ok_or(Error::Model(PlanFault::Truncated))?;
        let mut expected = [0; HEADER];
        for (to, from) in
            expected.iter_mut().zip(MAGIC.iter().chain(&params::VERSION.to_le_bytes()))
        {
            *to = *from;
        }
        if head.first_chunk() != Some(&MAGIC) {
            return fault(PlanFault::Magic);
        }
        if *head != expected {
            return fault(PlanFault::Version);
        }
        if bytes.get(content.len()..) != Some(&Sha256::digest(content)[..]) {
            return fault(PlanFault::Digest);
        }
        let plan_bytes = Plan::prefix(body)?;
        let plan = Plan::parse(plan_bytes)?;
        let parameters = body.get(plan_bytes.len()..).ok_or(Error::Model(PlanFault::Truncated))?;
        let need: usize = plan.ops().filter_map(|op| layer_bytes(&op)).map(|(w, b)| w + b).sum();
        if parameters.len() != need {
            return fault(PlanFault::Truncated);
        }
        let model = Self { plan, parameters };
        for (op, layer) in plan.ops().filter(Op::has_parameters).zip(model.layers()) {
            let Some((_, weight_bits, _)) = op.linear() else { continue };
            let top = 1_i64 << (weight_bits - 1);
            if layer.weights().any(|w| w < -top || w >= top) {
                return fault(PlanFault::Weight);
            }
        }
        Ok(model)
    }

    /// Bytes of a model with this plan.
    #[must_use]
    pub fn len_bytes(plan: &Plan<'_>) -> usize {
        let parameters: usize =
            plan.ops().filter_map(|op| layer_bytes(&op)).map(|(w, b)| w + b).sum();
        HEADER + plan.len_bytes() + parameters + plan::DIGEST
    }

    /// Writes a model into `out`, which has [`Model::len_bytes`]. `plan_bytes` is the whole plan;
    /// `weight(l, i, j)` and `bias(l, i)` give the integers of the `l`-th operation that has
    /// any: the `j`-th weight of output `i`, in ONNX's order.
    ///
    /// # Errors
    /// [`Error::Plan`] if the plan does not parse, [`Error::Memory`] if `out` is too small,
    /// [`Error::Model`] if a weight is too wide.
    pub fn write(
        plan_bytes: &[u8],
        weight: impl Fn(usize, usize, usize) -> i64,
        bias: impl Fn(usize, usize) -> i64,
        out: &mut [u8],
    ) -> Result<usize> {
        let plan = Plan::parse(plan_bytes)?;
        let need = Self::len_bytes(&plan);
        let out = out.get_mut(..need).ok_or(Error::Memory { need })?;
        let (content, digest) = out.split_at_mut(need - plan::DIGEST);
        let (head, parameters) = content.split_at_mut(HEADER + plan_bytes.len());
        head.fill(0);
        let (fixed, plan_slot) = head.split_at_mut(HEADER);
        for (to, from) in fixed.iter_mut().zip(MAGIC.iter().chain(&params::VERSION.to_le_bytes())) {
            *to = *from;
        }
        plan_slot.copy_from_slice(plan_bytes);
        let mut rest = parameters;
        for (l, op) in plan.ops().filter(Op::has_parameters).enumerate() {
            let (weight_bits, fan_in) = match op.linear() {
                Some((_, weight_bits, geometry)) => {
                    (weight_bits, geometry?.layer().fan_in() as usize)
                }
                None => (params::MAX_WEIGHT_BITS, 1),
            };
            let (w, b) = layer_bytes(&op).ok_or(Error::Internal)?;
            let (weights, tail) = rest.split_at_mut(w);
            let (biases, tail) = tail.split_at_mut(b);
            rest = tail;
            let width = if weight_bits > 8 { 2 } else { 1 };
            for (n, slot) in weights.chunks_exact_mut(width).enumerate() {
                let (i, j) = (n / fan_in, n % fan_in);
                let bytes = weight(l, i, j).to_le_bytes();
                slot.copy_from_slice(bytes.get(..width).ok_or(Error::Internal)?);
                let top = 1_i64 << (weight_bits - 1);
                if !(-top..top).contains(&weight(l, i, j)) {
                    return fault(PlanFault::Weight);
                }
            }
            for (i, slot) in biases.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                *slot = bias(l, i).to_le_bytes();
            }
        }
        digest.copy_from_slice(&Sha256::digest(&*content));
        Ok(need)
    }

    /// The public part.
    #[must_use]
    pub const fn plan(&self) -> &Plan<'a> {
        &self.plan
    }

    /// The numbers of the operations that have any, in order.
    pub fn layers(&self) -> impl Iterator<Item = Layer<'a>> + use<'a> {
        let mut rest = self.parameters;
        self.plan.ops().filter(Op::has_parameters).filter_map(move |op| {
            let (w, b) = layer_bytes(&op)?;
            let (weights, tail) = rest.split_at_checked(w)?;
            let (biases, tail) = tail.split_at_checked(b)?;
            rest = tail;
            let (ring, weight_bits, geometry) = match op {
                Op::Offset { ring, channels, .. } => {
                    (ring, 0, Geometry::new(Convolution::fully_connected(channels, channels)))
                }
                _ => op.linear()?,
            };
            let weights = if weight_bits > 8 {
                Weights::Wide(weights.as_chunks().0)
            } else {
                Weights::Narrow(bytemuck::cast_slice(weights))
            };
            Some(Layer { ring: Modulus::Bits(ring), geometry: geometry.ok()?, weights, biases })
        })
    }

    /// Elements of scratch that [`Model::evaluate`] needs.
    #[must_use]
    pub fn scratch_len(plan: &Plan<'_>) -> usize {
        plan.elements()
    }

    /// The integer model in the clear: what a private prediction equals bit for bit.
    /// `x`: quantised inputs; `out`: the opened tensor, signed (for argmax: the logits behind it).
    /// Returns the index of the largest output.
    ///
    /// # Errors
    /// [`Error::Length`] for slices of the wrong length, [`Error::Input`] if an input is outside
    /// the plan's range.
    pub fn evaluate(&self, x: &[i64], scratch: &mut [u64], out: &mut [i64]) -> Result<usize> {
        let header = self.plan.header();
        let check = |need: usize, got: usize| {
            if need == got { Ok(()) } else { Err(Error::Length { need }) }
        };
        check(header.input_len as usize, x.len())?;
        check(header.output_len as usize, out.len())?;
        let need = Self::scratch_len(&self.plan);
        let tensors = scratch.get_mut(..need).ok_or(Error::Length { need })?;
        let ring = Modulus::Bits(self.plan.input_ring());
        for (slot, &value) in tensors.iter_mut().zip(x) {
            if value < i64::from(header.input.min) || value > i64::from(header.input.max) {
                return Err(Error::Input);
            }
            *slot = ring.reduce_signed(value);
        }
        let mut layers = self.layers();
        let mut best = (0, i64::MIN);
        for step in self.plan.steps() {
            let layer = if step.op.has_parameters() {
                Some(layers.next().ok_or(Error::Internal)?)
            } else {
                None
            };
            if step.op.is_output() {
                let ring = Modulus::Bits(step.op.input().0);
                let logits =
                    tensors.get(step.from..step.from + out.len()).ok_or(Error::Internal)?;
                for (i, (slot, &value)) in out.iter_mut().zip(logits).enumerate() {
                    *slot = ring.to_signed(ring.reduce(value));
                    if *slot > best.1 {
                        best = (i, *slot);
                    }
                }
            } else {
                apply(&step, layer.as_ref(), tensors)?;
            }
        }
        Ok(best.0)
    }
}

/// One operation that makes a tensor, on all tensors of the integer model.
fn apply(step: &Step, layer: Option<&Layer<'_>>, tensors: &mut [u64]) -> Result<()> {
    if step.op.is_local() {
        step.compute(tensors)?;
        if let Some(layer) = layer {
            layer.add_biases(step.split(tensors)?.1)?;
        }
        return Ok(());
    }
    if let Op::Product { ring, len } = step.op {
        for i in 0..len as usize {
            let at = |offset: usize| tensors.get(offset + i).copied().ok_or(Error::Internal);
            let product = Modulus::Bits(ring).reduce(at(step.from)?.wrapping_mul(at(step.also)?));
            *tensors.get_mut(step.to + i).ok_or(Error::Internal)? = product;
        }
        return Ok(());
    }
    let (x, y) = step.split(tensors)?;
    match (step.op, layer) {
        (_, Some(layer)) => layer.apply(x, y)?,
        (Op::MaxPool { function, ring_in, ring_out, shift, window }, _) => {
            let ring = Modulus::Bits(ring_in);
            for (output, y) in y.iter_mut().enumerate() {
                let signed = window.window_at(output).try_fold(None, |max, i| {
                    let value = ring.to_signed(ring.reduce(*x.get(i).ok_or(Error::Internal)?));
                    Ok(max.max(Some(value)))
                })?;
                let max = signed.ok_or(Error::Internal)?;
                *y = Modulus::Bits(ring_out).reduce_signed(function.apply(max, shift));
            }
        }
        (op, _) => {
            if x.len() != y.len() {
                return Err(Error::Internal);
            }
            for (y, &x) in y.iter_mut().zip(x) {
                *y = element(&op, x);
            }
        }
    }
    Ok(())
}

/// One element of an operation without weights or windows.
fn element(op: &Op, x: u64) -> u64 {
    match *op {
        Op::Activation { function, ring_in, ring_out, shift, .. } => {
            let ring = Modulus::Bits(ring_in);
            Modulus::Bits(ring_out)
                .reduce_signed(function.apply(ring.to_signed(ring.reduce(x)), shift))
        }
        Op::Square { ring, .. } => Modulus::Bits(ring).reduce(x.wrapping_mul(x)),
        _ => x,
    }
}

impl<'a> Layer<'a> {
    /// Weight `index` in ONNX's order, if there is one.
    #[inline]
    #[must_use]
    pub fn weight(&self, index: usize) -> Option<i64> {
        self.weights.get(index).map(i64::from)
    }

    /// The weights.
    pub fn weights(&self) -> impl Iterator<Item = i64> + use<'a> {
        let (narrow, wide): (&[i8], &[[u8; 2]]) = match self.weights {
            Weights::Narrow(all) => (all, &[]),
            Weights::Wide(all) => (&[], all),
        };
        narrow
            .iter()
            .map(|&w| i64::from(w))
            .chain(wide.iter().map(|&w| i64::from(i16::from_le_bytes(w))))
    }

    /// The biases, one for each output channel.
    pub fn biases(&self) -> impl Iterator<Item = i64> + use<'a> {
        self.biases.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b))
    }

    /// The layer's shapes.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// `y = W∗x + b` in the ring: `x` and `y` are whole tensors, channel by channel.
    ///
    /// # Errors
    /// [`Error::Internal`] if they have another length than the layer's.
    pub fn apply(&self, x: &[u64], y: &mut [u64]) -> Result<()> {
        let (layer, bits) = (self.geometry.layer(), self.ring.bits());
        let [channels, height, width] = layer.input;
        if layer.kernel == [height, width] && layer.pads == [0; 4] && layer.groups == 1 {
            let inputs = channels as usize * height as usize * width as usize;
            if x.len() != inputs || y.len() != layer.outputs as usize {
                return Err(Error::Internal);
            }
            y.fill(0);
            backend::matrix::add_rows(self.weights, bits, (0..).step_by(inputs), x, y)?;
        } else {
            backend::matrix::convolve(self.weights, bits, layer, x, y)?;
        }
        self.add_biases(y)
    }

    /// `y + b`, in the ring: one bias for each of equal parts of `y`.
    ///
    /// # Errors
    /// [`Error::Internal`] if `y` does not fall into such parts.
    pub(crate) fn add_biases(&self, y: &mut [u64]) -> Result<()> {
        let (biases, len) = (self.biases.as_chunks().0, y.len());
        if biases.is_empty() || len == 0 || !len.is_multiple_of(biases.len()) {
            return Err(Error::Internal);
        }
        for (channel, &bias) in y.chunks_exact_mut(len / biases.len()).zip(biases) {
            let bias = i64::from_le_bytes(bias);
            for y in channel {
                *y = self.ring.reduce(y.wrapping_add(bias as u64));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Function, Header, Quantisation};
    use std::vec;

    fn small() -> (std::vec::Vec<u8>, std::vec::Vec<u8>) {
        let header = Header {
            input_len: 3,
            output_len: 2,
            input: Quantisation { scale: 0.5, min: -4, max: 4 },
            output_scale: 0.25,
            name: [0; 32],
        };
        let ops = [
            Op::FullyConnected { ring: 16, weight_bits: 8, inputs: 3, outputs: 2 },
            Op::Activation {
                function: Function::Relu,
                ring_in: 16,
                ring_out: 20,
                shift: 1,
                len: 2,
            },
            Op::Square { ring: 20, len: 2 },
            Op::FullyConnected { ring: 20, weight_bits: 10, inputs: 2, outputs: 2 },
            Op::Reveal { ring: 20, len: 2 },
        ];
        let mut plan = vec![0; 400];
        let n = Plan::write(&header, &ops, &mut plan).unwrap();
        plan.truncate(n);
        let mut model = vec![0; Model::len_bytes(&Plan::parse(&plan).unwrap())];
        let weight = |l: usize, i: usize, j: usize| {
            if l == 0 { (i as i64 - 1) * 100 + j as i64 } else { [300, -300][i ^ j] }
        };
        Model::write(&plan, weight, |l, i| (l * 10 + i) as i64 - 5, &mut model).unwrap();
        (plan, model)
    }

    #[test]
    fn evaluates_as_by_hand() {
        let (_, bytes) = small();
        let model = Model::parse(&bytes).unwrap();
        let mut out = [0; 2];
        let mut scratch = vec![0; Model::scratch_len(model.plan())];
        let best = model.evaluate(&[1, -2, 3], &mut scratch, &mut out).unwrap();
        // Layer 1: rows [-100, -99, -98], [0, 1, 2], biases -5, -4: -201, 0; ReLU and shift: 0, 0.
        assert_eq!((out, best), ([5, 6], 1));
        let best = model.evaluate(&[-1, 2, 4], &mut scratch, &mut out).unwrap();
        // -495 and 6: 0 and 3; squares 0 and 9; -2700 + 5, 2700 + 6.
        assert_eq!((out, best), ([-2695, 2706], 1));
        assert_eq!(model.evaluate(&[5, 0, 0], &mut scratch, &mut out), Err(Error::Input));
    }

    #[test]
    fn every_damaged_byte_and_every_truncation_is_refused() {
        let (plan, model) = small();
        for bytes in [&plan, &model] {
            let parse = |b: &[u8]| {
                if bytes.len() == plan.len() {
                    Plan::parse(b).map(|_| ())
                } else {
                    Model::parse(b).map(|_| ())
                }
            };
            assert_eq!(parse(bytes), Ok(()));
            for i in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[i] ^= 1 << (i % 8);
                assert!(parse(&bad).is_err(), "byte {i}");
                assert!(parse(&bytes[..i]).is_err(), "length {i}");
            }
        }
    }
}
