//! Which operators are read, in which forms, and what stands in the way of the others: for error
//! messages and `minionn operators`.

use super::build::Builder;
use super::call::{Call, Outputs};
use super::{
    copy, einsum, elementwise, fold, functions, image, matrix, moves, norm, quantised, recurrent,
    reduce, resize, select, shape, transposed,
};

/// An operator that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its name in ONNX.
    pub name: &'static str,
    /// The forms that are read; empty: all.
    pub forms: &'static str,
}

/// What reads a node.
pub(super) type Reader = fn(&mut Builder, &Call<'_>) -> Outputs;

/// How exact it is.
const CURVE: &str = "as a curve";
/// Where it is read.
const CONSTANTS: &str = "of constants only";

/// Operators, what reads them, and in which forms, in the order of the alphabet.
const ALL: &[(&str, Reader, &str)] = &[
    ("Abs", functions::unary, ""),
    ("Acos", functions::unary, CURVE),
    ("Acosh", functions::unary, CURVE),
    ("Add", elementwise::arithmetic, ""),
    ("And", select::logic, ""),
    ("ArgMax", reduce::arg_max, "at the end, over all elements"),
    ("ArgMin", constants, CONSTANTS),
    ("Asin", functions::unary, CURVE),
    ("Asinh", functions::unary, CURVE),
    ("Atan", functions::unary, CURVE),
    ("Atanh", functions::unary, CURVE),
    ("AveragePool", image::pool, "1-D and 2-D"),
    ("BatchNormalization", elementwise::batch_normalization, "for inference"),
    ("Cast", shape::cast, "to floats; of truth values and indices to any type"),
    ("Ceil", functions::unary, CONSTANTS),
    ("Celu", elementwise::curve, CURVE),
    ("Clip", elementwise::clip_node, "constant bounds"),
    ("Compress", moves::compress, "a constant condition"),
    ("Concat", copy::concat, ""),
    ("Constant", fold::constant, ""),
    ("ConstantOfShape", fold::constant_of_shape, ""),
    ("Conv", image::convolution, "1-D and 2-D, constant weights"),
    ("ConvTranspose", transposed::convolution, "1-D and 2-D, constant weights"),
    ("Cos", functions::unary, CURVE),
    ("Cosh", functions::unary, CURVE),
    ("CumSum", reduce::cumulative, ""),
    ("DepthToSpace", moves::depth_to_space, ""),
    ("DequantizeLinear", quantised::dequantize, "of constants, or behind QuantizeLinear"),
    ("Div", elementwise::arithmetic, "by what is computed: times a curve, its reciprocal"),
    ("Dropout", shape::dropout, "for inference"),
    ("Einsum", einsum::einsum, "one or two tensors"),
    ("Elu", elementwise::curve, CURVE),
    ("Equal", select::compare, CONSTANTS),
    ("Erf", elementwise::curve, CURVE),
    ("Exp", functions::unary, CURVE),
    ("Expand", copy::expand, ""),
    ("EyeLike", constants, CONSTANTS),
    ("Flatten", shape::flatten, ""),
    ("Floor", functions::unary, CONSTANTS),
    ("GRU", recurrent::gru, "fixed length, batch of 1"),
    ("Gather", moves::gather, "constant indices, or a constant table of at most 1024 rows"),
    ("GatherElements", moves::gather_elements, "constant indices"),
    ("GatherND", moves::gather_nd, "constant indices"),
    ("Gelu", elementwise::curve, CURVE),
    ("Gemm", matrix::gemm, ""),
    ("GlobalAveragePool", image::global_pool, "1-D and 2-D"),
    ("GlobalMaxPool", image::global_pool, "1-D and 2-D"),
    ("Greater", select::compare, ""),
    ("GreaterOrEqual", select::compare, ""),
    ("GroupNormalization", norm::group, "constant scale and bias"),
    ("HardSigmoid", elementwise::curve, ""),
    ("HardSwish", elementwise::curve, CURVE),
    ("Identity", shape::identity, ""),
    ("InstanceNormalization", norm::group, "constant scale and bias"),
    ("IsInf", functions::unary, CONSTANTS),
    ("IsNaN", functions::unary, CONSTANTS),
    ("LRN", norm::local_response, ""),
    ("LSTM", recurrent::lstm, "fixed length, batch of 1"),
    ("LayerNormalization", norm::layer, "constant scale and bias"),
    ("LeakyRelu", elementwise::curve, ""),
    ("Less", select::compare, ""),
    ("LessOrEqual", select::compare, ""),
    ("Log", functions::unary, CURVE),
    ("LogSoftmax", norm::soft, "dropped at the end; inside by curves and products"),
    ("LpNormalization", norm::lp, ""),
    ("MatMul", matrix::mat_mul, "of two computed matrices: a product for each two elements"),
    ("Max", elementwise::extreme, ""),
    ("MaxPool", image::pool, "1-D and 2-D"),
    ("Mean", elementwise::sum, ""),
    ("MeanVarianceNormalization", norm::mean_variance, ""),
    ("Min", elementwise::extreme, ""),
    ("Mish", functions::unary, CURVE),
    ("Mod", constants, CONSTANTS),
    ("Mul", elementwise::arithmetic, ""),
    ("Neg", functions::unary, ""),
    ("NonZero", constants, CONSTANTS),
    ("Not", functions::unary, ""),
    ("OneHot", constants, CONSTANTS),
    ("Or", select::logic, ""),
    ("PRelu", elementwise::prelu, "a constant slope"),
    ("Pad", copy::pad, "constant pads"),
    ("Pow", elementwise::power, "exponents 1, 2 and 3 exactly, other constants as a curve"),
    ("QuantizeLinear", quantised::quantize, "in front of DequantizeLinear"),
    ("RMSNormalization", norm::layer, "a constant scale"),
    ("RNN", recurrent::rnn, "fixed length, batch of 1"),
    ("Range", constants, CONSTANTS),
    ("Reciprocal", functions::unary, CURVE),
    ("ReduceL1", reduce::reduce, ""),
    ("ReduceL2", reduce::reduce, ""),
    ("ReduceLogSum", reduce::reduce, ""),
    ("ReduceLogSumExp", reduce::reduce, ""),
    ("ReduceMax", reduce::reduce, ""),
    ("ReduceMean", reduce::reduce, ""),
    ("ReduceMin", reduce::reduce, ""),
    ("ReduceProd", reduce::reduce, "of at most 64 elements"),
    ("ReduceSum", reduce::reduce, ""),
    ("ReduceSumSquare", reduce::reduce, ""),
    ("Relu", elementwise::curve, ""),
    ("Reshape", shape::reshape, "a constant shape"),
    ("Resize", resize::resize, "nearest, linear and cubic, constant sizes"),
    ("ReverseSequence", moves::reverse_sequence, "constant lengths"),
    ("Round", functions::unary, CONSTANTS),
    ("ScatterElements", moves::scatter_elements, "constant indices, without reduction"),
    ("ScatterND", moves::scatter_nd, "constant indices, without reduction"),
    ("Selu", elementwise::curve, CURVE),
    ("Shape", fold::shape, ""),
    ("Shrink", elementwise::curve, CURVE),
    ("Sigmoid", elementwise::curve, CURVE),
    ("Sign", functions::unary, ""),
    ("Sin", functions::unary, CURVE),
    ("Sinh", functions::unary, CURVE),
    ("Size", fold::size, ""),
    ("Slice", copy::slice, "constant bounds"),
    ("Softmax", norm::soft, "dropped at the end; inside by curves and products"),
    ("Softplus", elementwise::curve, CURVE),
    ("Softsign", elementwise::curve, CURVE),
    ("SpaceToDepth", moves::space_to_depth, ""),
    ("Split", copy::split, "constant sizes"),
    ("Sqrt", functions::unary, CURVE),
    ("Squeeze", shape::squeeze, "constant axes"),
    ("Sub", elementwise::arithmetic, ""),
    ("Sum", elementwise::sum, ""),
    ("Swish", elementwise::curve, CURVE),
    ("Tan", functions::unary, CURVE),
    ("Tanh", elementwise::curve, CURVE),
    ("ThresholdedRelu", elementwise::curve, CURVE),
    ("Tile", moves::tile, "constant repeats"),
    ("TopK", select::top_k, "values, of at most 64; the index of the largest at the end"),
    ("Transpose", copy::transpose, ""),
    ("Trilu", moves::trilu, ""),
    ("Unsqueeze", shape::unsqueeze, "constant axes"),
    ("Upsample", resize::resize, "nearest and linear"),
    ("Where", select::choose, ""),
    ("Xor", select::logic, ""),
];

/// Operators that are refused, with the reason and the nearest form that is read.
const REFUSED: &[(&str, &str)] = &[
    ("BitShift", "it works on the bits of integers: use Mul or Div by a power of two"),
    ("Bernoulli", "it is random: export for inference"),
    ("Det", "it needs a division for each step of an elimination: compute it before the network"),
    ("DFT", "write it as a MatMul with constant matrices"),
    ("DynamicQuantizeLinear", "its scale depends on the input: export the float network"),
    (
        "GridSample",
        "where it reads depends on the input: use Resize or Gather with constant indices",
    ),
    ("Hardmax", "use ArgMax at the end"),
    ("If", "which branch runs would be seen: use Where, or export with a constant condition"),
    ("ConvInteger", "export the float network: it is quantised when it is compiled"),
    ("MatMulInteger", "export the float network: it is quantised when it is compiled"),
    ("LpPool", "use Mul, AveragePool and Sqrt"),
    ("Loop", "how often it runs would be seen: export with loops unrolled"),
    ("MaxRoiPool", "where it reads depends on the input: use MaxPool"),
    ("MaxUnpool", "it reads indices of a MaxPool: use Resize or ConvTranspose"),
    ("Multinomial", "it is random: export for inference"),
    ("NonMaxSuppression", "which boxes stay would be seen: end the network before it"),
    ("RandomNormal", "it is random: export for inference"),
    ("RandomNormalLike", "it is random: export for inference"),
    ("RandomUniform", "it is random: export for inference"),
    ("RandomUniformLike", "it is random: export for inference"),
    ("RoiAlign", "where it reads depends on the input: use Resize or AveragePool"),
    ("STFT", "write it as a Conv with constant weights"),
    ("Scan", "how often it runs would be seen: export with loops unrolled"),
    ("Unique", "how many results there are would be seen: end the network before it"),
];

/// All operators that are read, in the order of the alphabet.
pub fn operators() -> impl Iterator<Item = Operator> {
    ALL.iter().map(|&(name, _, forms)| Operator { name, forms })
}

/// What reads the nodes of an operator.
pub(super) fn reader(op: &str) -> Option<Reader> {
    let found = ALL.binary_search_by(|(name, ..)| (*name).cmp(op)).ok()?;
    ALL.get(found).map(|&(_, reader, _)| reader)
}

/// What is said of an operator that is not read.
pub(super) fn unsupported(op: &str) -> String {
    match REFUSED.iter().find(|(name, _)| *name == op) {
        Some((_, nearest)) => format!("this operator is not supported: {nearest}"),
        None => "this operator is not supported; `minionn operators` lists those that are".into(),
    }
}

/// Operators that are computed of constants: anything else is refused.
fn constants(_: &mut Builder, _: &Call<'_>) -> Outputs {
    Err("it is supported for constants only, and reads what is computed from the input".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_none_is_read_and_refused() {
        assert!(ALL.is_sorted_by(|(a, ..), (b, ..)| a < b));
        assert!(ALL.iter().all(|(name, ..)| reader(name).is_some()));
        assert!(REFUSED.iter().all(|(name, _)| reader(name).is_none()));
    }
}
