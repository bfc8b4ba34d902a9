//! Coefficient packing of a linear layer: the tile, and how it is chosen.
//!
//! A tile of degree n holds `n_b · n_o · n_c · h · w ≤ n` coefficients (after Cheetah, USENIX
//! Security 2022, §3, with a batch dimension): n_b predictions, n_o outputs, n_c channels of a
//! piece of h × w input elements, of which `rows × columns` outputs are made. With `S = n_c·h·w`
//! and `Z = (n_c − 1)·h·w + (k_h − 1)·w + k_w − 1`:
//! - input `(b, c, y, x)` at `b·n_o·S + c·h·w + y·w + x`,
//! - weight `(o, c, u, v)` at `o·S + Z − (c·h·w + u·w + v)`,
//! - result `(b, o, y, x)` at `(b·n_o + o)·S + Z + y·w + x`.
//!
//! For a fully connected layer h = w = 1, and `S = n_c`, `Z = n_c − 1`.

use super::geometry::Geometry;
use super::op::Op;
use crate::error::{Error, PlanFault, Result};
use crate::lattice::noise::{self, LayerNoise, Level, ParameterSet};
use crate::wire::{packed_len, polynomial_bytes};
use core::ops::Range;

/// Elements of a tensor and as many coefficients that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoefficientSpan {
    /// Which prediction's tensor.
    pub prediction: usize,
    /// The first element.
    pub element: usize,
    /// From one element to the next.
    pub step: usize,
    /// The first coefficient.
    pub at: usize,
    /// How many.
    pub len: usize,
}

impl CoefficientSpan {
    /// Prediction, element, coefficient of each.
    fn each(self) -> impl Iterator<Item = (usize, usize, usize)> + Clone {
        (0..self.len).map(move |i| (self.prediction, self.element + i * self.step, self.at + i))
    }
}

/// The packing of one linear layer for a stock of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Ring of the layer, in bits.
    pub ring: u8,
    /// The layer as a dense convolution.
    pub geometry: Geometry,
    /// Predictions in the stock.
    pub stock: usize,
    /// Predictions in one ciphertext.
    pub n_b: usize,
    /// Output channels in one ciphertext.
    pub n_o: usize,
    /// Input channels in one ciphertext.
    pub n_c: usize,
    /// Output rows and columns of one piece of the image.
    pub piece: [usize; 2],
    /// Ring, modulus, and bits of uploads.
    pub level: Level,
}

/// The distinct values of `⌈total/k⌉` for k = 1, 2, …: sizes of equal parts, largest first.
fn sizes(total: usize) -> impl Iterator<Item = usize> {
    // The fewest parts that are all below `size` are ⌈total/(size − 1)⌉.
    core::iter::successors(Some(total), move |&size| {
        (size > 1).then(|| total.div_ceil(total.div_ceil(size - 1)))
    })
}

/// `total` cut into parts of `size`: (how many, how long), whole parts and the rest.
const fn parts(total: usize, size: usize) -> [(usize, usize); 2] {
    [(total / size, size), (!total.is_multiple_of(size) as usize, total % size)]
}

/// Counts through three nested loops; the last is the innermost.
fn nested([a, b, c]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> + Clone {
    (0..a * b * c).map(move |i| [i / (b * c), i / c % b, i % c])
}

const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

impl Tile {
    /// The tile with the fewest bytes, then the fewest products; both parties come to the same one.
    ///
    /// # Errors
    /// [`Error::Plan`] if no parameter set carries a tile's noise or the kernel is larger than a
    /// polynomial, [`Error::Internal`] if `op` is not linear.
    pub fn choose(op: &Op, stock: usize) -> Result<Self> {
        let (ring, weight_bits, geometry) = op.linear().ok_or(Error::Internal)?;
        let geometry = geometry?;
        let mut search = Search {
            noise: LayerNoise {
                ring: ring.into(),
                weight_bits: weight_bits.into(),
                fan_in: geometry.layer().fan_in(),
            },
            ring,
            geometry,
            stock,
            best: None,
            refused: Error::Plan(PlanFault::Shape),
        };
        for set in ParameterSet::ALL {
            search.set(set);
        }
        search.best.map(|(_, _, tile)| tile).ok_or(search.refused)
    }

    /// Elements of the input tensor.
    #[cfg(any(test, feature = "unstable"))]
    #[must_use]
    pub fn elements(&self) -> usize {
        self.geometry.layer().input.iter().product::<u32>() as usize
    }

    /// Elements of the output tensor.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        let [ho, wo] = self.geometry.size;
        self.geometry.outputs * ho * wo
    }

    /// Height and width of the piece of input that makes a piece of output.
    #[must_use]
    pub const fn image(&self) -> [usize; 2] {
        let ([rows, columns], [kh, kw]) = (self.piece, self.geometry.kernel);
        [rows + kh - 1, columns + kw - 1]
    }

    /// Degree of the polynomials.
    #[must_use]
    pub const fn n(&self) -> usize {
        self.level.set.n
    }

    /// Limbs of the modulus.
    #[must_use]
    pub const fn limbs(&self) -> usize {
        self.level.set.limbs
    }

    /// `h·w`, `S` and `Z`.
    const fn strides(&self) -> (usize, usize, usize) {
        let ([h, w], [kh, kw]) = (self.image(), self.geometry.kernel);
        (h * w, self.n_c * h * w, (self.n_c - 1) * h * w + (kh - 1) * w + kw - 1)
    }

    /// Chunks of input channels.
    #[must_use]
    pub const fn chunks(&self) -> usize {
        self.geometry.channels.div_ceil(self.n_c)
    }

    /// Groups of output channels.
    #[must_use]
    pub const fn groups(&self) -> usize {
        self.geometry.outputs.div_ceil(self.n_o)
    }

    /// Pieces of the image: down, across.
    const fn grid(&self) -> [usize; 2] {
        let ([ho, wo], [rows, columns]) = (self.geometry.size, self.piece);
        [ho.div_ceil(rows), wo.div_ceil(columns)]
    }

    /// Pieces of the image.
    #[must_use]
    pub const fn pieces(&self) -> usize {
        let [down, across] = self.grid();
        down * across
    }

    /// Groups of predictions that share a ciphertext.
    #[must_use]
    pub const fn batches(&self) -> usize {
        self.stock.div_ceil(self.n_b)
    }

    /// Ciphertexts up, for the whole stock: batch by batch, piece by piece, chunk by chunk.
    #[must_use]
    pub const fn up(&self) -> usize {
        self.batches() * self.pieces() * self.chunks()
    }

    /// Ciphertexts down, for the whole stock: batch by batch, piece by piece, group by group.
    #[must_use]
    pub const fn down(&self) -> usize {
        self.batches() * self.pieces() * self.groups()
    }

    /// Chunks whose channels reach a group of outputs: all, unless the layer has groups of its own.
    #[must_use]
    pub const fn chunks_of(&self, group: usize) -> Range<usize> {
        let per_out = self.geometry.outputs / self.geometry.groups;
        let per_in = self.geometry.channels_per_group();
        let last = min((group + 1) * self.n_o, self.geometry.outputs) - 1;
        let (from, to) = (group * self.n_o / per_out * per_in, (last / per_out + 1) * per_in);
        from / self.n_c..to.div_ceil(self.n_c)
    }

    /// Weight polynomials of the groups before `group`.
    #[must_use]
    pub fn polynomials_before(&self, group: usize) -> usize {
        if self.geometry.groups == 1 {
            group * self.chunks()
        } else {
            (0..group).map(|g| self.chunks_of(g).len()).sum()
        }
    }

    /// Weight polynomials in all.
    #[must_use]
    pub fn weight_polynomials(&self) -> usize {
        self.polynomials_before(self.groups())
    }

    /// Whether a ciphertext holds one element of many predictions: then weight polynomials are
    /// constants.
    #[must_use]
    pub const fn is_scalar(&self) -> bool {
        let (_, s, _) = self.strides();
        s * self.n_o == 1
    }

    /// Numbers that a transformed weight polynomial takes: a constant one is the same everywhere.
    #[must_use]
    pub const fn weight_len(&self) -> usize {
        if self.is_scalar() { 1 } else { self.n() }
    }

    /// Products of a ciphertext with a weight polynomial, for the whole stock.
    #[must_use]
    pub fn products(&self) -> u64 {
        (self.batches() * self.pieces()) as u64 * self.weight_polynomials() as u64
    }

    /// Predictions of batch `batch`.
    const fn predictions(&self, batch: usize) -> Range<usize> {
        batch * self.n_b..min((batch + 1) * self.n_b, self.stock)
    }

    /// First output row and column of a piece, and how many of each it makes.
    const fn corner(&self, piece: usize) -> ([usize; 2], [usize; 2]) {
        let ([_, across], [rows, columns], [ho, wo]) =
            (self.grid(), self.piece, self.geometry.size);
        let (y, x) = (piece / across * rows, piece % across * columns);
        ([y, x], [min(rows, ho - y), min(columns, wo - x)])
    }

    /// What upload `number` packs: prediction, element of the input tensor, coefficient.
    /// Coefficients not named are zero.
    #[cfg(any(test, feature = "unstable"))]
    pub fn inputs(&self, number: usize) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        self.input_spans(number).flat_map(CoefficientSpan::each)
    }

    /// The same, run by run.
    pub fn input_spans(&self, number: usize) -> impl Iterator<Item = CoefficientSpan> + use<> {
        let tile = *self;
        let (chunk, rest) = (number % tile.chunks(), number / tile.chunks());
        let (piece, batch) = (rest % tile.pieces(), rest / tile.pieces());
        let ([top, left], _) = tile.corner(piece);
        let ([h, w], (area, s, _)) = (tile.image(), tile.strides());
        let (first, end) = (chunk * tile.n_c, min((chunk + 1) * tile.n_c, tile.geometry.channels));
        let predictions = tile.predictions(batch);
        // A row of channels is one run.
        let row = tile.geometry.is_row();
        let [channels, rows] = if row { [1, 1] } else { [end - first, h] };
        nested([predictions.len(), channels, rows]).filter_map(move |[b, c, y]| {
            let (prediction, at) = (predictions.start + b, b * tile.n_o * s);
            if row {
                return Some(CoefficientSpan {
                    prediction,
                    element: first,
                    step: 1,
                    at,
                    len: end - first,
                });
            }
            let (skipped, element, len) = tile.geometry.row(first + c, top + y, left, w)?;
            let step = tile.geometry.layer().stride[1] as usize;
            Some(CoefficientSpan {
                prediction,
                element,
                step,
                at: at + c * area + y * w + skipped,
                len,
            })
        })
    }

    /// What download `number` carries, in the order of the wire: prediction, element of the output
    /// tensor, coefficient.
    pub fn results(
        &self,
        number: usize,
    ) -> impl Iterator<Item = (usize, usize, usize)> + Clone + use<> {
        self.result_spans(number).flat_map(CoefficientSpan::each)
    }

    /// How many these are.
    #[must_use]
    pub fn result_count(&self, number: usize) -> usize {
        let (group, rest) = (number % self.groups(), number / self.groups());
        let (_, [rows, columns]) = self.corner(rest % self.pieces());
        let outputs = min((group + 1) * self.n_o, self.geometry.outputs) - group * self.n_o;
        self.predictions(rest / self.pieces()).len() * outputs * rows * columns
    }

    /// The same, run by run.
    pub fn result_spans(
        &self,
        number: usize,
    ) -> impl Iterator<Item = CoefficientSpan> + Clone + use<> {
        let tile = *self;
        let (group, rest) = (number % tile.groups(), number / tile.groups());
        let (piece, batch) = (rest % tile.pieces(), rest / tile.pieces());
        let ([top, left], [rows, columns]) = tile.corner(piece);
        let ([_, w], (_, s, z), [ho, wo]) = (tile.image(), tile.strides(), tile.geometry.size);
        let (first, end) = (group * tile.n_o, min((group + 1) * tile.n_o, tile.geometry.outputs));
        let predictions = tile.predictions(batch);
        nested([predictions.len(), end - first, rows]).map(move |[b, o, y]| {
            let (element, at) =
                (((first + o) * ho + top + y) * wo + left, (b * tile.n_o + o) * s + z + y * w);
            CoefficientSpan {
                prediction: predictions.start + b,
                element,
                step: 1,
                at,
                len: columns,
            }
        })
    }

    /// The weight polynomial of a group of outputs and a chunk of channels: index of the weight,
    /// coefficient.
    pub fn weights(
        &self,
        group: usize,
        chunk: usize,
    ) -> impl Iterator<Item = (usize, usize)> + use<> {
        let tile = *self;
        let ([_, w], (area, s, z), [kh, kw]) = (tile.image(), tile.strides(), tile.geometry.kernel);
        let outputs = group * tile.n_o..min((group + 1) * tile.n_o, tile.geometry.outputs);
        let channels = chunk * tile.n_c..min((chunk + 1) * tile.n_c, tile.geometry.channels);
        outputs.enumerate().flat_map(move |(o, output)| {
            channels.clone().enumerate().flat_map(move |(c, channel)| {
                (0..kh * kw).filter_map(move |i| {
                    let (u, v) = (i / kw, i % kw);
                    Some((
                        tile.geometry.weight(output, channel, u, v)?,
                        o * s + z - (c * area + u * w + v),
                    ))
                })
            })
        })
    }

    /// Most results of one download.
    #[must_use]
    pub const fn most_results(&self) -> usize {
        let [rows, columns] = self.piece;
        min(self.n_b, self.stock) * min(self.n_o, self.geometry.outputs) * rows * columns
    }

    /// Bits of a result before its carry is removed.
    #[must_use]
    pub const fn result_bits(&self) -> u32 {
        self.ring as u32 + noise::RESULT_EXTRA
    }

    /// Bits of a coefficient of the downloaded `c1`.
    #[must_use]
    pub const fn c1_bits(&self) -> u32 {
        self.result_bits() + noise::C1_EXTRA
    }

    /// Bits of a coefficient of the downloaded `c0`.
    #[must_use]
    pub const fn c0_bits(&self) -> u32 {
        self.result_bits() + noise::C0_EXTRA
    }

    /// Bytes of the upload's payload: a seed and one rounded polynomial for each ciphertext.
    #[must_use]
    pub const fn upload_bytes(&self) -> u64 {
        let each = match self.level.upload_bits {
            Some(bits) => packed_len(self.n() as u64, bits),
            None => polynomial_bytes(self.n(), self.limbs()),
        };
        32 + self.up() as u64 * each
    }

    /// Bytes of the download's payload: for each ciphertext `c1` whole and `c0` where results
    /// stand.
    #[must_use]
    pub fn download_bytes(&self) -> u64 {
        let mut bytes = self.down() as u64 * packed_len(self.n() as u64, self.c1_bits());
        let ([ho, wo], [rows, columns]) = (self.geometry.size, self.piece);
        for (batches, b) in parts(self.stock, self.n_b) {
            for (groups, o) in parts(self.geometry.outputs, self.n_o) {
                for (down, y) in parts(ho, rows) {
                    for (across, x) in parts(wo, columns) {
                        bytes += (batches * groups * down * across) as u64
                            * packed_len((b * o * y * x) as u64, self.c0_bits());
                    }
                }
            }
        }
        bytes
    }
}

/// The search for the cheapest tile.
struct Search {
    noise: LayerNoise,
    ring: u8,
    geometry: Geometry,
    stock: usize,
    best: Option<(u64, u64, Tile)>,
    refused: Error,
}

impl Search {
    /// Tries all tiles of a parameter set.
    fn set(&mut self, set: ParameterSet) {
        let mut n_b = 1;
        while n_b <= self.stock.min(set.n) {
            let [height, width] = self.geometry.size;
            for rows in sizes(height) {
                for columns in sizes(width) {
                    self.channels(set, n_b, [rows, columns]);
                }
            }
            n_b *= 2;
        }
    }

    /// Tries every number of channels with these predictions and this piece; the outputs fill what
    /// is left.
    fn channels(&mut self, set: ParameterSet, n_b: usize, piece: [usize; 2]) {
        let (g, [kh, kw], n) = (self.geometry, self.geometry.kernel, set.n);
        let [rows, columns] = piece;
        let image = (rows + kh - 1).saturating_mul(columns + kw - 1).saturating_mul(n_b);
        if image > n {
            return;
        }
        for n_c in sizes(g.channels).skip_while(|&n_c| image * n_c > n) {
            let most = g.outputs.min(n / (image * n_c));
            // More outputs are more noise: where the set does not carry that, half as many are
            // tried.
            for n_o in core::iter::successors(Some(most), |&n_o| (n_o > 1).then_some(n_o / 2)) {
                match self.noise.level(set, n_o as u64 * self.noise.fan_in) {
                    Ok(level) => {
                        self.consider(Tile {
                            ring: self.ring,
                            geometry: g,
                            stock: self.stock,
                            n_b,
                            n_o,
                            n_c,
                            piece,
                            level,
                        });
                        break;
                    }
                    Err(error) => self.refused = error,
                }
            }
            // Fewer channels than this only add uploads: one group of outputs is all that is left.
            if most == g.outputs {
                break;
            }
        }
    }

    fn consider(&mut self, tile: Tile) {
        let cost = (tile.upload_bytes() + tile.download_bytes(), tile.products());
        if self.best.is_none_or(|(bytes, work, _)| cost < (bytes, work)) {
            self.best = Some((cost.0, cost.1, tile));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Convolution;
    use std::collections::HashSet;

    fn fc(ring: u8, inputs: u32, outputs: u32, stock: usize) -> Tile {
        Tile::choose(&Op::FullyConnected { ring, weight_bits: 8, inputs, outputs }, stock)
            .unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn sizes_are_the_distinct_parts() {
        for total in 1..200 {
            let mut expected: std::vec::Vec<usize> =
                (1..=total).map(|k: usize| total.div_ceil(k)).collect();
            expected.dedup();
            assert_eq!(sizes(total).collect::<std::vec::Vec<_>>(), expected);
        }
    }

    #[test]
    fn the_papers_layer_takes_few_ciphertexts() {
        let t = fc(24, 784, 128, 1);
        assert_eq!((t.up(), t.down(), t.limbs()), (5, 10, 2));
    }

    #[test]
    fn wide_rings_take_the_larger_set() {
        let sets = [30, 34, 40, 44].map(|ring| fc(ring, 784, 128, 1).n());
        assert_eq!(sets, [2048, 4096, 4096, 4096]);
    }

    #[test]
    fn bytes_per_prediction_fall_with_the_stock() {
        let per = |k: usize| {
            let t = fc(24, 784, 128, k);
            (t.upload_bytes() + t.download_bytes()) / k as u64
        };
        assert!(
            per(4) < per(1) && per(16) < per(4) && per(64) <= per(16),
            "{} {} {} {}",
            per(1),
            per(4),
            per(16),
            per(64)
        );
    }

    /// A schoolbook product of packed inputs and weights holds the layer's outputs where results
    /// are read.
    fn packs(op: &Op, stock: usize) {
        let tile = Tile::choose(op, stock).unwrap();
        let layer = *tile.geometry.layer();
        let elements = layer.input.iter().product::<u32>() as usize;
        let x = |p: usize, i: usize| ((p * 131 + i * 37 + 11) % 101) as i64 - 50;
        let w = |j: usize| ((j * 53 + 5) % 61) as i64 - 30;
        let outputs = tile.geometry.outputs * tile.geometry.size[0] * tile.geometry.size[1];
        let mut seen = HashSet::new();
        let mut used = HashSet::new();
        for number in 0..tile.down() {
            let (group, rest) = (number % tile.groups(), number / tile.groups());
            let n = tile.n();
            let mut sum = std::vec![0_i64; n];
            for chunk in tile.chunks_of(group) {
                let mut a = std::vec![0_i64; n];
                for (p, element, at) in tile.inputs(rest * tile.chunks() + chunk) {
                    assert!(element < elements && a[at] == 0);
                    a[at] = x(p, element);
                }
                for (j, at) in tile.weights(group, chunk) {
                    used.insert(j);
                    for (i, a) in a.iter().enumerate().filter(|(_, a)| **a != 0) {
                        let k = i + at;
                        sum[k % n] += if k < n { a * w(j) } else { -a * w(j) };
                    }
                }
            }
            assert!(tile.results(number).count() <= tile.most_results());
            assert_eq!(tile.results(number).count(), tile.result_count(number));
            for (p, output, at) in tile.results(number) {
                assert!(seen.insert((p, output)), "twice: {p} {output}");
                assert_eq!(
                    sum[at],
                    direct(&tile, p, output, &x, &w),
                    "{op:?} prediction {p} output {output}"
                );
            }
        }
        assert_eq!(seen.len(), stock * outputs);
        assert_eq!(used.len() as u64, layer.weights(), "every weight is packed");
    }

    fn direct(
        tile: &Tile,
        p: usize,
        output: usize,
        x: &impl Fn(usize, usize) -> i64,
        w: &impl Fn(usize) -> i64,
    ) -> i64 {
        let (g, [ho, wo]) = (tile.geometry, tile.geometry.size);
        let (o, y, z) = (output / (ho * wo), output / wo % ho, output % wo);
        let mut sum = 0;
        for c in 0..g.channels {
            for u in 0..g.kernel[0] {
                for v in 0..g.kernel[1] {
                    if let (Some(i), Some(j)) = (g.source(c, y + u, z + v), g.weight(o, c, u, v)) {
                        sum += x(p, i) * w(j);
                    }
                }
            }
        }
        sum
    }

    #[test]
    fn packing_is_the_layer() {
        for (i, o, k) in [(7, 3, 1), (784, 20, 1), (4097, 2, 1), (64, 10, 9), (1, 300, 2)] {
            packs(&Op::FullyConnected { ring: 20, weight_bits: 8, inputs: i, outputs: o }, k);
        }
        let plain = Convolution::fully_connected(1, 1);
        for (layer, stock) in [
            (
                Convolution {
                    input: [1, 28, 28],
                    outputs: 5,
                    kernel: [5, 5],
                    stride: [2, 2],
                    pads: [1; 4],
                    ..plain
                },
                1,
            ),
            (
                Convolution {
                    input: [3, 9, 8],
                    outputs: 4,
                    kernel: [3, 2],
                    stride: [2, 2],
                    pads: [1, 0, 2, 1],
                    ..plain
                },
                3,
            ),
            (
                Convolution {
                    input: [4, 10, 10],
                    outputs: 4,
                    kernel: [3, 3],
                    pads: [2; 4],
                    dilation: [2, 2],
                    groups: 4,
                    ..plain
                },
                1,
            ),
            (Convolution { input: [6, 5, 5], outputs: 9, groups: 3, ..plain }, 2),
            (
                Convolution {
                    input: [2, 1, 300],
                    outputs: 3,
                    kernel: [1, 9],
                    stride: [1, 3],
                    ..plain
                },
                1,
            ),
            (
                Convolution {
                    input: [1, 70, 70],
                    outputs: 2,
                    kernel: [3, 3],
                    pads: [1; 4],
                    ..plain
                },
                1,
            ),
        ] {
            packs(&Op::Convolution { ring: 20, weight_bits: 8, layer }, stock);
        }
    }
}
