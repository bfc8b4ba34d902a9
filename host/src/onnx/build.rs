//! The network in the making: every node is checked and counted before it is appended.

use super::call::{Computed, Kind, Value, possible};
use super::tensor::{Tensor, count};
use super::views::{Loops, stretched, strides};
use crate::network::{Activation, Head, Labels, Linear, Node, PerElement, Piece, TensorId, Work};
use minionn_core::plan::{
    Convolution, MAX_CLASSES, MAX_COPIES, MAX_LEN, MAX_MOVES, MAX_WEIGHTS, View,
};

/// Most weights of all layers, and numbers of constants that nodes read: twice what the largest
/// layer may have.
const MAX_TOTAL: u64 = 2 * MAX_WEIGHTS;
/// Most nodes.
const MAX_NODES: usize = 4096;
/// Most elements of all tensors together.
const MAX_ELEMENTS: u64 = 1 << 26;
/// Most pieces of all strided adds together.
const MAX_PIECES: usize = 1 << 16;

/// The nodes so far.
pub(super) struct Builder {
    pub(super) nodes: Vec<Node>,
    /// Elements of each tensor.
    lens: Vec<usize>,
    elements: u64,
    moves: u64,
    /// Weights of all layers so far: many nodes can read one constant.
    weights: u64,
    /// Numbers of constants that may still be read, and made.
    unread: u64,
    unmade: u64,
    pieces: usize,
    pub(super) notes: Vec<String>,
    /// A fixed batch of the file, and what it is read as.
    pub(super) batch: Option<(usize, usize)>,
    /// What the classes are called, as far as a node said.
    pub(super) labels: Option<Labels>,
    /// The words that the node at hand reads as a constant.
    pub(super) words: Option<Vec<String>>,
    /// The element type of the zero point that the node at hand reads.
    pub(super) zero_type: Option<i32>,
    /// What was dropped behind the logits.
    pub(super) head: Option<Head>,
}

/// The shape that two broadcast to.
pub(super) fn joint(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let padded = |dims: &[usize]| [vec![1; rank - dims.len()], dims.to_vec()].concat();
    let pairs = padded(a).into_iter().zip(padded(b));
    pairs
        .map(|(a, b)| match (a, b) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| format!("shapes {a:?} and {b:?} do not broadcast"))
}

/// Part of a tensor that is put together: some elements of one of its sources.
pub(super) struct Part {
    pub(super) source: usize,
    pub(super) loops: Loops,
}

impl Builder {
    /// For a file of `file_len` bytes: a small file cannot make large constants.
    pub(super) fn new(input_len: usize, file_len: usize) -> Self {
        Self {
            nodes: Vec::new(),
            lens: vec![input_len],
            elements: input_len as u64,
            moves: 0,
            weights: 0,
            unread: MAX_TOTAL,
            unmade: MAX_TOTAL.min((1 << 24) + 4 * file_len as u64),
            pieces: 0,
            notes: Vec::new(),
            batch: None,
            labels: None,
            words: None,
            zero_type: None,
            head: None,
        }
    }

    pub(super) fn len(&self, id: TensorId) -> usize {
        self.lens.get(id).copied().unwrap_or(0)
    }

    /// Counts the numbers of a constant that a node reads: many can read one.
    pub(super) fn count_read(&mut self, len: usize) -> Result<(), String> {
        self.unread = self
            .unread
            .checked_sub(len as u64)
            .ok_or("the constants that nodes read are too large, all together")?;
        Ok(())
    }

    /// Counts the numbers of a constant before it is made of others.
    pub(super) fn count_constant(&mut self, len: usize) -> Result<(), String> {
        let left = self.unmade.checked_sub(len as u64);
        self.unmade =
            left.ok_or("the constants that nodes make are too large for a file of this size")?;
        Ok(())
    }

    /// Notes that what stands behind the logits is left out: of several the first.
    pub(super) fn dropped(&mut self, node: &str, head: Head) {
        self.head = self.head.or(Some(head));
        self.notes.push(format!(
            "{node} dropped: it does not change which output is largest; logits are those before \
             it (predict --softmax gives what it makes of them)"
        ));
    }

    fn append(
        &mut self,
        name: &str,
        work: Work,
        inputs: Vec<TensorId>,
    ) -> Result<TensorId, String> {
        let len = work.output_len(inputs.first().map_or(0, |&i| self.len(i)));
        if len == 0 || len > MAX_LEN as usize {
            return Err(format!("it makes {len} elements: 1 to {MAX_LEN} are supported"));
        }
        self.elements += len as u64;
        if self.nodes.len() >= MAX_NODES || self.elements > MAX_ELEMENTS {
            return Err(format!(
                "the network is too large here: at most {MAX_NODES} steps and {MAX_ELEMENTS} \
                 elements of all tensors are supported"
            ));
        }
        self.nodes.push(Node { name: name.into(), work, inputs });
        self.lens.push(len);
        Ok(self.nodes.len())
    }

    /// A linear layer with weights `[outputs][channels / groups][kernel]`.
    pub(super) fn linear(
        &mut self,
        name: &str,
        x: TensorId,
        layer: Convolution,
        weights: Vec<f32>,
        biases: Vec<f64>,
    ) -> Result<TensorId, String> {
        layer.output_size().map_err(|_| {
            format!("it is too large: input {:?}, kernel {:?}", layer.input, layer.kernel)
        })?;
        self.weights = self.weights.saturating_add(layer.weights());
        if layer.weights() > MAX_WEIGHTS || self.weights > MAX_TOTAL {
            return Err(format!(
                "it has too many weights: at most {MAX_WEIGHTS} in a layer and {MAX_TOTAL} in all \
                 layers are supported"
            ));
        }
        debug_assert_eq!(
            (weights.len() as u64, biases.len()),
            (layer.weights(), layer.outputs as usize)
        );
        if let Some(at) = weights.iter().position(|w| !w.is_finite()) {
            let fan_in = layer.fan_in() as usize;
            return Err(format!(
                "weight [{}, {}] (output, input) is not a finite number",
                at / fan_in,
                at % fan_in
            ));
        }
        if let Some(at) = biases.iter().position(|b| !b.is_finite()) {
            return Err(format!("bias {at} is not a finite number"));
        }
        self.append(name, Work::Linear(Linear { layer, weights, biases }), vec![x])
    }

    /// A fully connected layer on all elements of `x`; `weights`: `[outputs][inputs]`.
    pub(super) fn fully_connected(
        &mut self,
        name: &str,
        x: TensorId,
        weights: Vec<f32>,
        biases: Vec<f64>,
    ) -> Result<TensorId, String> {
        let layer = Convolution::fully_connected(self.len(x) as u32, biases.len() as u32);
        self.linear(name, x, layer, weights, biases)
    }

    pub(super) fn affine(
        &mut self,
        name: &str,
        x: &Computed,
        scale: PerElement,
        offset: PerElement,
    ) -> Result<Computed, String> {
        if !scale.is_finite() || !offset.is_finite() {
            return Err("its constant is not a finite number, or a division by zero".into());
        }
        if (&scale, &offset) == (&PerElement::One(1.0), &PerElement::One(0.0)) {
            return Ok(x.clone());
        }
        self.append(name, Work::Affine(scale, offset), vec![x.id])
            .map(|id| Computed::new(id, x.dims.clone()))
    }

    /// `scale·x + offset`.
    pub(super) fn scaled(
        &mut self,
        name: &str,
        x: &Computed,
        scale: f64,
        offset: f64,
    ) -> Result<Computed, String> {
        self.affine(name, x, PerElement::One(scale), PerElement::One(offset))
    }

    pub(super) fn activation(
        &mut self,
        name: &str,
        x: &Computed,
        activation: Activation,
    ) -> Result<Computed, String> {
        self.append(name, Work::Activation(activation), vec![x.id])
            .map(|id| Computed::new(id, x.dims.clone()))
    }

    /// `x` copied in a way that another tensor of its length was.
    pub(super) fn repeat(
        &mut self,
        name: &str,
        work: Work,
        x: &Computed,
        dims: Vec<usize>,
    ) -> Result<Computed, String> {
        match work {
            Work::StridedAdd(len, pieces) => {
                Ok(Computed::new(self.arrange(name, vec![x.id], len, pieces)?, dims))
            }
            _ => Err("it is no copy".into()),
        }
    }

    /// `x·y` of the same shape.
    pub(super) fn product(
        &mut self,
        name: &str,
        x: &Computed,
        y: &Computed,
    ) -> Result<Computed, String> {
        let (work, inputs) = if x.id == y.id {
            (Work::Square, vec![x.id])
        } else {
            (Work::Product, vec![x.id, y.id])
        };
        self.append(name, work, inputs).map(|id| Computed::new(id, x.dims.clone()))
    }

    /// The largest element of each window.
    pub(super) fn max_pool(
        &mut self,
        name: &str,
        x: TensorId,
        window: Convolution,
    ) -> Result<TensorId, String> {
        if window.window_len() > MAX_CLASSES as usize {
            return Err(format!(
                "a window of {} elements is too large: at most {MAX_CLASSES} are supported",
                window.window_len()
            ));
        }
        if !window.is_window() {
            return Err(format!(
                "windows of {:?} elements on {:?} are too large",
                window.kernel, window.input
            ));
        }
        self.append(name, Work::MaxPool(window), vec![x])
    }

    pub(super) fn sum_pool(
        &mut self,
        name: &str,
        x: TensorId,
        window: Convolution,
        divisor: f64,
    ) -> Result<TensorId, String> {
        self.append(name, Work::SumPool(window, divisor), vec![x])
    }

    /// A tensor of `len` elements made of pieces of `inputs`; a whole copy is no node at all.
    pub(super) fn arrange(
        &mut self,
        name: &str,
        inputs: Vec<TensorId>,
        len: usize,
        pieces: Vec<Piece>,
    ) -> Result<TensorId, String> {
        if let ([piece], [x]) = (&pieces[..], &inputs[..])
            && piece.factor == 1.0
            && self.len(*x) == len
            && piece.view == View::whole(len as u32)
        {
            return Ok(*x);
        }
        let copies = pieces.iter().fold(0_u64, |n, piece| n.saturating_add(piece.view.len()));
        self.moves = self.moves.saturating_add(copies);
        if copies > MAX_COPIES || self.moves > MAX_MOVES {
            return Err(format!(
                "it moves too many elements: at most {MAX_COPIES} in a step and {MAX_MOVES} in \
                 all are supported"
            ));
        }
        self.pieces += pieces.len();
        if self.pieces > MAX_PIECES {
            return Err(format!(
                "elements are moved in too many pieces: at most {MAX_PIECES} in all are supported"
            ));
        }
        for piece in &pieces {
            let from = inputs.get(piece.input).map_or(0, |&i| self.len(i));
            // A mistake of the importer, not of the file: but nothing may be read outside.
            piece
                .view
                .check(from as u32, len as u32, MAX_COPIES)
                .map_err(|_| "it copies elements outside its tensors")?;
        }
        self.append(name, Work::StridedAdd(len, pieces), inputs)
    }

    /// One copy of `x`, into a tensor of shape `dims`.
    pub(super) fn copy(
        &mut self,
        name: &str,
        x: &Computed,
        dims: Vec<usize>,
        factor: f64,
        loops: &Loops,
    ) -> Result<Computed, String> {
        let pieces =
            loops.views()?.into_iter().map(|view| Piece { input: 0, factor, view }).collect();
        let id = self.arrange(name, vec![x.id], possible(&dims)?, pieces)?;
        Ok(Computed::new(id, dims))
    }

    /// `x` repeated to shape `to`, by NumPy's broadcasting.
    pub(super) fn stretch(
        &mut self,
        name: &str,
        x: &Computed,
        to: &[usize],
    ) -> Result<Computed, String> {
        possible(to)?;
        let loops = Loops::new(to, 0, &stretched(&x.dims, to), 0, &strides(to));
        self.copy(name, x, to.to_vec(), 1.0, &loops)
    }

    /// The sum of terms, each with a factor, broadcast to one shape.
    pub(super) fn sum(
        &mut self,
        name: &str,
        terms: &[(f64, &Computed)],
    ) -> Result<Computed, String> {
        let mut dims = Vec::new();
        for (_, x) in terms {
            dims = joint(&dims, &x.dims)?;
        }
        let len = possible(&dims)?;
        let (mut inputs, mut pieces): (Vec<TensorId>, Vec<Piece>) = (Vec::new(), Vec::new());
        for &(factor, x) in terms {
            let input = inputs.iter().position(|&id| id == x.id).unwrap_or_else(|| {
                inputs.push(x.id);
                inputs.len() - 1
            });
            for view in
                Loops::new(&dims, 0, &stretched(&x.dims, &dims), 0, &strides(&dims)).views()?
            {
                match pieces.iter_mut().find(|p| p.input == input && p.view == view) {
                    Some(piece) => piece.factor += factor,
                    None => pieces.push(Piece { input, factor, view }),
                }
            }
        }
        // A tensor added to itself is only scaled.
        match (&pieces[..], &inputs[..]) {
            (&[Piece { factor, view, .. }], &[x])
                if self.len(x) == len && view == View::whole(len as u32) =>
            {
                self.scaled(name, &Computed::new(x, dims), factor, 0.0)
            }
            _ => Ok(Computed::new(self.arrange(name, inputs, len, pieces)?, dims)),
        }
    }

    /// A tensor of shape `dims` put together from computed and constant parts that do not overlap;
    /// `fill` elsewhere.
    pub(super) fn assemble(
        &mut self,
        name: &str,
        sources: &[&Value],
        dims: Vec<usize>,
        fill: f64,
        parts: &[Part],
    ) -> Result<Value, String> {
        let views = |source: usize| {
            let own = parts.iter().filter(|p| p.source == source);
            own.map(|p| p.loops.views()).collect::<Result<Vec<_>, _>>().map(|views| views.concat())
        };
        let (mut inputs, mut pieces, mut constants, mut kind) =
            (Vec::new(), Vec::new(), Vec::new(), Kind::Float);
        for (i, source) in sources.iter().enumerate() {
            match source {
                Value::Constant(tensor) => constants.push((tensor.as_ref(), views(i)?)),
                Value::Computed(_) => {
                    pieces.extend(views(i)?.into_iter().map(|view| Piece {
                        input: inputs.len(),
                        factor: 1.0,
                        view,
                    }));
                    let moved = source.movable()?;
                    inputs.push(moved.id);
                    match (&kind, &moved.kind) {
                        (_, Kind::Float) => {}
                        (Kind::Quantised(_), other) if kind != *other => {
                            return Err("its inputs are quantised by different scales".into());
                        }
                        (_, other) => kind = other.clone(),
                    }
                }
            }
        }
        if inputs.is_empty() {
            self.count_constant(count(&dims).unwrap_or(usize::MAX))?;
            return Ok(Tensor::assembled(dims, fill, &constants).into());
        }
        let len = possible(&dims)?;
        let mut offset = PerElement::One(0.0);
        if fill != 0.0 || !constants.is_empty() {
            self.count_constant(len)?;
            let mut numbers = Tensor::assembled(dims.clone(), fill, &constants).numbers();
            for piece in &pieces {
                piece.view.for_each(|_, to| numbers.get_mut(to).into_iter().for_each(|x| *x = 0.0));
            }
            offset = PerElement::Each(numbers);
        }
        let arranged = Computed::new(self.arrange(name, inputs, len, pieces)?, dims);
        Ok(Computed { kind, ..self.affine(name, &arranged, PerElement::One(1.0), offset)? }.into())
    }
}
