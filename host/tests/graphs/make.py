"""Make the small ONNX graphs of the importer's tests, with inputs and expected outputs.

Usage: python3 host/tests/graphs/make.py [--out DIR]

Every function marked @case builds one graph. For each, NAME.onnx, NAME.x.npy
(float32 [8, inputs]) and NAME.y.npy (float32 [8, outputs], by onnxruntime, row
by row) are written, and one line of index.json. refused.py makes the files an
importer has to refuse. See README.md.
"""

import argparse
import json
import sys
import zlib
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ next to the committed files

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import kinds
import refused
from archive import Archive

ROWS = 8
CASES = []

PICTURE = (1, 2, 6, 6)
VECTOR = (1, 16)


def ints(*values):
    return np.array(values, np.int64)


def floats(*values):
    return np.array(values, np.float32)


def scalar(value):
    return np.array(value, np.float32)


class Graph:
    """One graph under construction; tensors are known by their names."""

    def __init__(self, name, opset, shape):
        self.name, self.opset, self.shape = name, opset, list(shape)
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.weights = [], []

    def __call__(self, op, *inputs, outputs=1, **attributes):
        """Add a node and return its output, or a list of them. Arrays become initializers."""
        inputs = [i if isinstance(i, str) else self.initializer(i) for i in inputs]
        stem = f"{op.lower()}{len(self.nodes)}"
        names = [stem] if outputs == 1 else [f"{stem}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, stem, **attributes))
        return names[0] if outputs == 1 else names

    def initializer(self, array, typed=False):
        """Stored as raw bytes, or in the typed field (float_data and so on)."""
        name = f"w{len(self.weights)}"
        array = np.asarray(array)
        if typed:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            self.weights.append(helper.make_tensor(name, kind, array.shape, array.ravel().tolist()))
        else:
            self.weights.append(numpy_helper.from_array(array, name))
        return name

    def random(self, *shape, fan=1, gain=1.0):
        return (self.rng.standard_normal(shape) * gain / np.sqrt(fan)).astype(np.float32)

    def dense(self, x, outputs, gain=1.5):
        """Gemm as PyTorch writes it: weights [outputs,inputs], transB."""
        inputs = self.size(x)[-1]
        return self("Gemm", x, self.random(outputs, inputs, fan=inputs, gain=gain),
                    self.random(outputs, gain=0.2), transB=1)

    def matmul(self, x, outputs, gain=1.5):
        inputs = self.size(x)[-1]
        return self("MatMul", x, self.random(inputs, outputs, fan=inputs, gain=gain))

    def conv(self, x, outputs, *kernel, bias=True, gain=1.5, **attributes):
        channels = self.size(x)[1] // attributes.get("group", 1)
        weights = [self.random(outputs, channels, *kernel, fan=channels * np.prod(kernel), gain=gain)]
        if bias:
            weights.append(self.random(outputs, gain=0.2))
        return self("Conv", x, *weights, kernel_shape=kernel, **attributes)

    def norm(self, x, **attributes):
        """BatchNormalization with scale, bias, mean and variance of plausible size."""
        channels = self.size(x)[1]
        positive = [self.rng.uniform(0.5, 1.5, channels).astype(np.float32) for _ in range(2)]
        return self("BatchNormalization", x, positive[0], self.random(channels, gain=0.3),
                    self.random(channels, gain=0.3), positive[1], **attributes)

    def head(self, x, outputs=4):
        """Flatten and a fully connected layer, the usual end of a convolutional network."""
        return self.dense(self("Flatten", x), outputs)

    def size(self, x):
        """The shape of tensor x, found by running the graph so far."""
        return run(self.model(x), self.fixed(), np.zeros((1, self.inputs()), np.float32))[0].shape

    def fixed(self):
        return [1 if isinstance(d, str) else d for d in self.shape]

    def inputs(self):
        return int(np.prod(self.fixed()))

    def model(self, output, dims=None, kind=TensorProto.FLOAT):
        opset = helper.make_opsetid("", self.opset)
        ir_version = helper.find_min_ir_version_for([opset])
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)]
        if ir_version < 4:  # initializers had to be inputs too
            inputs += [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in self.weights]
        graph = helper.make_graph(self.nodes, self.name, inputs,
                                  [helper.make_tensor_value_info(output, kind, dims)], self.weights)
        return helper.make_model(graph, producer_name="minionn-tests", ir_version=ir_version,
                                 opset_imports=[opset])


def run(model, shape, rows):
    """The output of model for each of rows [n,inputs], reshaped to shape."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: row.reshape(shape)})[0] for row in rows]


def case(op, opset=13, shape=VECTOR, range=(-1.0, 1.0), note=None, name=None):
    """Register a function (graph, x) -> output as one case."""
    def register(build):
        CASES.append((name or build.__name__, build, op, opset, shape, range, note))
        return build
    return register


# Fully connected layers.

@case("Gemm", opset=9, shape=("N", 16))
def gemm_default(g, x):
    y = g("Gemm", x, g.random(16, 8, fan=16, gain=1.5), g.random(8, gain=0.2))
    return g.dense(g("Relu", y), 4)


@case("Gemm", opset=7)
def gemm_opset7(g, x):
    return g.dense(g("Relu", g.dense(x, 8)), 4)


@case("Gemm", opset=11)
def gemm_alpha_beta(g, x):
    y = g("Gemm", x, g.random(8, 16, fan=16), g.random(8), alpha=2.0, beta=0.25, transA=0, transB=1)
    return g.dense(g("Relu", y), 4)


@case("Gemm", opset=11)
def gemm_no_bias(g, x):
    y = g("Gemm", x, g.random(8, 16, fan=16, gain=1.5), transB=1)
    return g("Gemm", g("Relu", y), g.random(8, 4, fan=8))


@case("Gemm")
def gemm_bias_shapes(g, x):
    y = g("Gemm", x, g.random(16, 8, fan=16, gain=1.5), scalar(0.25))
    y = g("Gemm", g("Relu", y), g.random(8, 8, fan=8), g.random(1, 8, gain=0.2))
    return g("Gemm", g("Relu", y), g.random(8, 4, fan=8), g.random(1, gain=0.2))


@case("Gemm", opset=14)
def gemm_typed_data(g, x):
    w = g.initializer(g.random(16, 8, fan=16, gain=1.5), typed=True)
    b = g.initializer(g.random(8, gain=0.2), typed=True)
    y = g("Gemm", x, w, b)
    y = g("Reshape", g("Relu", y), g.initializer(ints(1, 2, 4), typed=True))
    return g("Mul", y, g.initializer(scalar(1.5), typed=True))


@case("Gemm", shape=(4, 6))
def gemm_rows(g, x):
    return g("Gemm", g("Relu", g.dense(x, 5)), g.random(5, 3, fan=5))


@case("MatMul", opset=9)
def matmul_x_w(g, x):
    return g.matmul(g("Relu", g.matmul(x, 8)), 4)


@case("MatMul", shape=(4, 6))
def matmul_w_x(g, x):
    y = g("Relu", g("MatMul", g.random(5, 4, fan=4, gain=1.5), x))
    return g("MatMul", g.random(3, 5, fan=5), y)


@case("MatMul", shape=(16,))
def matmul_1d(g, x):
    y = g("Add", g.matmul(x, 8), g.random(8, gain=0.2))
    return g.matmul(g("Relu", y), 4)


@case("MatMul", shape=(16,))
def matmul_w_1d(g, x):
    return g("MatMul", g.random(4, 8, fan=8), g("Relu", g("MatMul", g.random(8, 16, fan=16, gain=1.5), x)))


@case("MatMul", shape=(1, 4, 6))
def matmul_stack(g, x):
    return g.matmul(g("Relu", g("Add", g.matmul(x, 5), g.random(5, gain=0.2))), 3)


@case("MatMul", shape=(1, 2, 3, 4), opset=17)
def matmul_weight_per_channel(g, x):
    y = g("MatMul", x, g.random(2, 4, 5, fan=4, gain=1.5))
    return g("MatMul", g("Relu", y), g.random(1, 1, 5, 3, fan=5))


@case("MatMul")
def matmul_dot(g, x):
    return g("MatMul", g("Relu", g.matmul(x, 8)), g.random(8, fan=8))


@case("DequantizeLinear")
def dequantize_weights(g, x):
    w = g.rng.integers(-127, 128, (16, 8)).astype(np.int8)
    w = g("DequantizeLinear", w, scalar(1 / 160), np.array(0, np.int8))
    y = g("Add", g("MatMul", x, w), g.random(8, gain=0.2))
    return g.dense(g("Relu", y), 4)


@case("DequantizeLinear", shape=PICTURE, opset=13)
def dequantize_per_channel(g, x):
    w = g.rng.integers(-127, 128, (3, 2, 3, 3)).astype(np.int8)
    w = g("DequantizeLinear", w, floats(1 / 100, 1 / 200, 1 / 300), axis=0)
    return g.head(g("Relu", g("Conv", x, w)))


@case("DequantizeLinear", opset=10)
def dequantize_zero_point(g, x):
    w = g.rng.integers(0, 256, (16, 8)).astype(np.uint8)
    w = g("DequantizeLinear", w, scalar(1 / 160), np.array(128, np.uint8))
    return g.dense(g("Relu", g("MatMul", x, w)), 4)


# Convolutions: convolution, ReLU, fully connected.

CONVOLUTIONS = {
    "conv_stride": dict(kernel=(3, 3), strides=[2, 2]),
    "conv_stride_uneven": dict(kernel=(3, 3), strides=[1, 2], opset=17),
    "conv_pads": dict(kernel=(3, 3), pads=[1, 1, 1, 1], opset=9),
    "conv_pads_asymmetric": dict(kernel=(3, 3), pads=[0, 1, 2, 0]),
    "conv_pads_stride": dict(kernel=(3, 3), pads=[1, 1, 1, 1], strides=[2, 2], opset=11),
    "conv_same_upper": dict(kernel=(3, 3), auto_pad="SAME_UPPER", opset=8),
    "conv_same_upper_stride": dict(kernel=(3, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv_same_upper_even": dict(kernel=(2, 2), auto_pad="SAME_UPPER"),
    "conv_same_lower": dict(kernel=(3, 3), auto_pad="SAME_LOWER", strides=[2, 2], opset=11),
    "conv_same_lower_even": dict(kernel=(4, 2), auto_pad="SAME_LOWER"),
    "conv_valid": dict(kernel=(3, 3), auto_pad="VALID"),
    "conv_notset": dict(kernel=(3, 3), auto_pad="NOTSET", pads=[1, 0, 1, 0]),
    "conv_dilation": dict(kernel=(2, 2), dilations=[2, 3]),
    "conv_dilation_pads": dict(kernel=(3, 3), dilations=[2, 2], pads=[2, 2, 2, 2], opset=15),
    "conv_groups": dict(shape=(1, 4, 5, 5), kernel=(3, 3), outputs=6, group=2),
    "conv_depthwise": dict(shape=(1, 4, 5, 5), kernel=(3, 3), outputs=4, group=4, pads=[1, 1, 1, 1]),
    "conv_depthwise_multiplier": dict(shape=(1, 3, 5, 5), kernel=(3, 3), outputs=6, group=3),
    "conv_1x1": dict(shape=(1, 4, 4, 4), kernel=(1, 1), outputs=5),
    "conv_1x1_stride": dict(shape=(1, 4, 5, 5), kernel=(1, 1), outputs=5, strides=[2, 2]),
    "conv_no_bias": dict(kernel=(3, 3), bias=False, opset=7),
    "conv_kernel_5": dict(shape=(1, 1, 8, 8), kernel=(5, 5), pads=[2, 2, 2, 2], outputs=2),
    "conv_kernel_larger": dict(shape=(1, 2, 4, 4), kernel=(5, 5), pads=[2, 2, 2, 2]),
    "conv_kernel_whole": dict(shape=(1, 2, 4, 4), kernel=(4, 4), outputs=6),
    "conv_kernel_rows": dict(kernel=(1, 3), pads=[0, 1, 0, 1], opset=21),
    "conv_symbolic_batch": dict(shape=("N", 2, 6, 6), kernel=(3, 3), opset=18),
    "conv_1d": dict(shape=(1, 3, 12), kernel=(3,), strides=[2], pads=[1, 1]),
    "conv_1d_dilation": dict(shape=(1, 3, 12), kernel=(3,), dilations=[2], pads=[4, 0], opset=11),
    "conv_1d_same": dict(shape=(1, 3, 11), kernel=(4,), auto_pad="SAME_UPPER", strides=[2]),
    "conv_1d_depthwise": dict(shape=(1, 4, 10), kernel=(3,), outputs=4, group=4),
}


def add_convolution(name, kernel, outputs=3, opset=13, shape=PICTURE, **attributes):
    @case("Conv", opset, shape, name=name)
    def build(g, x):
        return g.head(g("Relu", g.conv(x, outputs, *kernel, **attributes)))


for name, settings in CONVOLUTIONS.items():
    add_convolution(name, **settings)


@case("Conv", shape=PICTURE, opset=12)
def conv_last(g, x):
    """No fully connected layer: the output is a picture."""
    y = g("Relu", g.conv(x, 4, 3, 3, pads=[1, 1, 1, 1]))
    return g.conv(y, 2, 3, 3)


# Activations: fully connected, activation, fully connected.

ACTIVATIONS = {
    "relu": ("Relu", lambda g, y: g("Relu", y), 14),
    "leaky_relu_default": ("LeakyRelu", lambda g, y: g("LeakyRelu", y), 9),
    "leaky_relu_steep": ("LeakyRelu", lambda g, y: g("LeakyRelu", y, alpha=0.2), 16),
    "prelu_scalar": ("PRelu", lambda g, y: g("PRelu", y, floats(0.3)), 9),
    "prelu_vector": ("PRelu", lambda g, y: g("PRelu", y, g.rng.uniform(-0.2, 0.5, 8).astype(np.float32)), 16),
    "clip_attributes": ("Clip", lambda g, y: g("Clip", y, min=0.0, max=1.0), 7),
    "clip_relu6": ("Clip", lambda g, y: g("Clip", y, scalar(0), scalar(6)), 11),
    "clip_inside": ("Clip", lambda g, y: g("Clip", y, scalar(-0.5), scalar(0.75)), 13),
    "clip_min": ("Clip", lambda g, y: g("Clip", y, scalar(-0.25)), 12),
    "clip_max": ("Clip", lambda g, y: g("Clip", y, "", scalar(0.5)), 13),
    "clip_min_attribute": ("Clip", lambda g, y: g("Clip", y, min=-0.25), 10),
    "hard_sigmoid": ("HardSigmoid", lambda g, y: g("HardSigmoid", y), 9),
    "hard_sigmoid_alpha": ("HardSigmoid", lambda g, y: g("HardSigmoid", y, alpha=1 / 6, beta=0.4), 13),
    "hard_swish": ("HardSwish", lambda g, y: g("HardSwish", y), 14),
    "hard_swish_spelled": ("Clip", lambda g, y: g("Div", g("Mul", y, g("Clip", g("Add", y, scalar(3)), scalar(0), scalar(6))), scalar(6)), 12),
    "sigmoid": ("Sigmoid", lambda g, y: g("Sigmoid", y), 9),
    "tanh": ("Tanh", lambda g, y: g("Tanh", y), 13),
    "gelu": ("Gelu", lambda g, y: g("Gelu", y), 20),
    "gelu_tanh": ("Gelu", lambda g, y: g("Gelu", y, approximate="tanh"), 20),
    "gelu_erf": ("Erf", lambda g, y: g("Mul", g("Mul", y, g("Add", g("Erf", g("Div", y, scalar(np.sqrt(2)))), scalar(1))), scalar(0.5)), 13),
    "silu": ("Sigmoid", lambda g, y: g("Mul", y, g("Sigmoid", y)), 13),
    "elu": ("Elu", lambda g, y: g("Elu", y), 9),
    "elu_alpha": ("Elu", lambda g, y: g("Elu", y, alpha=0.5), 13),
    "selu": ("Selu", lambda g, y: g("Selu", y), 9),
    "celu": ("Celu", lambda g, y: g("Celu", y, alpha=2.0), 12),
    "softplus": ("Softplus", lambda g, y: g("Softplus", y), 13),
    "softsign": ("Softsign", lambda g, y: g("Softsign", y), 13),
    "square_mul": ("Mul", lambda g, y: g("Mul", y, y), 13),
    "square_pow": ("Pow", lambda g, y: g("Pow", y, scalar(2)), 15),
    "square_pow_7": ("Pow", lambda g, y: g("Pow", y, floats(2)), 7),
    "abs": ("Abs", lambda g, y: g("Abs", y), 13),
    "neg": ("Neg", lambda g, y: g("Neg", g("Relu", g("Neg", y))), 13),
}


def add_activation(name, op, activation, opset):
    @case(op, opset, name=name)
    def build(g, x):
        return g.dense(activation(g, g.dense(x, 8)), 4)


for name, settings in ACTIVATIONS.items():
    add_activation(name, *settings)


@case("PRelu", shape=PICTURE)
def prelu_per_channel(g, x):
    y = g.conv(x, 3, 3, 3)
    return g.head(g("PRelu", y, floats(0.1, 0.25, 0.5).reshape(3, 1, 1)))


@case("Sigmoid", shape=PICTURE)
def activation_on_input(g, x):
    """A lookup before any linear layer."""
    return g.head(g("Tanh", g("Sigmoid", x)))


@case("Relu", opset=9)
def activation_last(g, x):
    return g("Relu", g.dense(x, 8))


@case("Relu")
def activations_in_a_row(g, x):
    return g.dense(g("Sigmoid", g("Relu", g("Tanh", g.dense(x, 8)))), 4)


@case("Relu")
def activation_used_twice(g, x):
    y = g.dense(x, 8)
    return g.dense(g("Concat", g("Relu", y), g("Tanh", y), axis=1), 4)


# Pooling.

POOLS = {
    "max_pool_2": ("MaxPool", dict(kernel_shape=[2, 2], strides=[2, 2]), 8),
    "max_pool_overlap": ("MaxPool", dict(kernel_shape=[3, 3], strides=[2, 2]), 12),
    "max_pool_stride_1": ("MaxPool", dict(kernel_shape=[2, 2]), 13),
    "max_pool_pads": ("MaxPool", dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 13),
    "max_pool_ceil": ("MaxPool", dict(kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), 10),
    "max_pool_dilations": ("MaxPool", dict(kernel_shape=[2, 2], dilations=[2, 3]), 13),
    "max_pool_same": ("MaxPool", dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"), 13),
    "average_pool": ("AveragePool", dict(kernel_shape=[2, 2], strides=[2, 2]), 7),
    "average_pool_overlap": ("AveragePool", dict(kernel_shape=[3, 3], strides=[1, 2]), 11),
    "average_pool_pads": ("AveragePool", dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 10),
    "average_pool_pads_counted": ("AveragePool", dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1), 13),
    "average_pool_same_lower": ("AveragePool", dict(kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"), 13),
    "average_pool_ceil": ("AveragePool", dict(kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), 19),
    "average_pool_dilations": ("AveragePool", dict(kernel_shape=[2, 2], dilations=[2, 2]), 19),
    "global_average_pool": ("GlobalAveragePool", {}, 9),
    "global_max_pool": ("GlobalMaxPool", {}, 13),
    "reduce_mean_picture": ("ReduceMean", dict(axes=[2, 3], keepdims=0), 13),
}


def add_pool(name, op, attributes, opset):
    @case(op, opset, (1, 2, 7, 7), name=name)
    def build(g, x):
        y = g("Relu", g.conv(x, 3, 3, 3, pads=[1, 1, 1, 1]))
        return g.head(g(op, y, **attributes))


for name, settings in POOLS.items():
    add_pool(name, *settings)


@case("MaxPool", shape=(1, 3, 12), opset=11)
def max_pool_1d(g, x):
    y = g("MaxPool", g.conv(x, 4, 3), kernel_shape=[3], strides=[2], pads=[1, 0])
    return g.head(g("Relu", y))


@case("AveragePool", shape=(1, 3, 12))
def average_pool_1d(g, x):
    y = g("Relu", g.conv(x, 4, 3))
    return g.head(g("AveragePool", y, kernel_shape=[2], strides=[2]))


@case("MaxPool", shape=PICTURE)
def max_pool_on_input(g, x):
    return g.head(g("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))


@case("AveragePool", shape=PICTURE)
def average_pool_last(g, x):
    y = g("Relu", g.conv(x, 3, 3, 3))
    return g("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])


@case("GlobalMaxPool", shape=(1, 3, 8))
def global_max_pool_1d(g, x):
    return g.head(g("GlobalMaxPool", g.conv(x, 4, 3)))


# Sums, means and maxima over axes.

@case("ReduceMean", opset=18, shape=(1, 3, 4, 4))
def reduce_mean_input_axes(g, x):
    return g.head(g("ReduceMean", g("Relu", g.conv(x, 4, 1, 1)), ints(-1, -2)))


@case("ReduceMean", opset=11, shape=(1, 3, 4, 4))
def reduce_mean_channels(g, x):
    return g.head(g("ReduceMean", g("Relu", g.conv(x, 4, 1, 1)), axes=[1], keepdims=1))


@case("ReduceMean", shape=(5, 4))
def reduce_mean_all(g, x):
    return g("ReduceMean", g("Relu", g.dense(x, 3)), keepdims=0)


@case("ReduceSum", opset=11, shape=(1, 4, 6))
def reduce_sum_attribute(g, x):
    y = g("Relu", g.matmul(x, 5))
    return g.dense(g("ReduceSum", y, axes=[1], keepdims=0), 3, gain=0.7)


@case("ReduceSum", opset=13, shape=(1, 4, 6))
def reduce_sum_input(g, x):
    y = g("Relu", g.matmul(x, 5))
    return g("ReduceSum", y, ints(-1), keepdims=1)


@case("ReduceSum", opset=13, shape=(1, 4, 6))
def reduce_sum_noop(g, x):
    y = g("ReduceSum", g("Relu", g.matmul(x, 5)), noop_with_empty_axes=1)
    return g.matmul(y, 2)


@case("ReduceSum", opset=21, shape=(1, 2, 3, 4))
def reduce_sum_outer_axes(g, x):
    return g("ReduceSum", g("Relu", g.matmul(x, 5)), ints(1, 3), keepdims=0)


@case("ReduceMax", opset=12, shape=(1, 4, 6))
def reduce_max_attribute(g, x):
    return g.dense(g("ReduceMax", g.matmul(x, 5), axes=[1], keepdims=0), 3)


@case("ReduceMax", opset=18, shape=(1, 4, 6))
def reduce_max_input(g, x):
    y = g("ReduceMax", g.matmul(x, 5), ints(2), keepdims=1)
    return g.head(g("Relu", y), 3)


@case("ReduceMin", opset=13, shape=(1, 4, 6))
def reduce_min(g, x):
    return g.dense(g("ReduceMin", g.matmul(x, 5), axes=[1], keepdims=0), 3)


@case("ReduceMax")
def maxout(g, x):
    y = g("Reshape", g.dense(x, 24), ints(1, 8, 3))
    return g.dense(g("ReduceMax", y, axes=[2], keepdims=0), 4)


# Batch normalisation.

@case("BatchNormalization", opset=9, shape=PICTURE)
def norm_after_conv(g, x):
    return g.head(g("Relu", g.norm(g.conv(x, 3, 3, 3, bias=False))))


@case("BatchNormalization", opset=15, shape=PICTURE)
def norm_before_conv(g, x):
    return g.head(g("Relu", g.conv(g.norm(x, epsilon=1e-3), 3, 3, 3)))


@case("BatchNormalization", opset=14, shape=PICTURE)
def norm_before_padded_conv(g, x):
    """The padding is zero behind the normalisation, so its bias does not reach it."""
    return g.head(g("Relu", g.conv(g.norm(x, training_mode=0), 3, 3, 3, pads=[1, 1, 1, 1])))


@case("BatchNormalization", opset=13, shape=PICTURE)
def norm_after_relu(g, x):
    y = g.norm(g("Relu", g.conv(x, 3, 3, 3)), momentum=0.8)
    return g.head(g("Tanh", y))


@case("BatchNormalization", opset=8)
def norm_after_gemm(g, x):
    return g.dense(g("Relu", g.norm(g.dense(x, 8))), 4)


@case("BatchNormalization", opset=7)
def norm_opset7(g, x):
    return g.dense(g("Relu", g.norm(g.dense(x, 8), spatial=1, epsilon=1e-4)), 4)


@case("BatchNormalization", shape=PICTURE)
def norm_relu_conv(g, x):
    """Pre-activation order."""
    y = g.conv(x, 3, 3, 3)
    return g.head(g.conv(g("Relu", g.norm(y)), 4, 3, 3))


@case("BatchNormalization", shape=PICTURE, opset=17)
def norm_of_branches(g, x):
    """The convolution's output is also used without the normalisation."""
    y = g.conv(x, 2, 3, 3, pads=[1, 1, 1, 1])
    return g.head(g("Add", g("Relu", g.norm(y)), g("Tanh", y)))


# Branches.

@case("Add", shape=(1, 3, 5, 5))
def residual_identity(g, x):
    y = g("Relu", g.conv(x, 3, 3, 3, pads=[1, 1, 1, 1]))
    y = g.conv(y, 3, 3, 3, pads=[1, 1, 1, 1])
    return g.head(g("Relu", g("Add", y, x)))


@case("Add", shape=(1, 2, 6, 6), opset=11)
def residual_conv_1x1(g, x):
    y = g("Relu", g.conv(x, 4, 3, 3, pads=[1, 1, 1, 1], strides=[2, 2]))
    y = g.conv(y, 4, 3, 3, pads=[1, 1, 1, 1])
    return g.head(g("Relu", g("Add", g.conv(x, 4, 1, 1, strides=[2, 2]), y)))


@case("Add")
def add_three(g, x):
    a, b, c = g("Relu", g.dense(x, 8)), g("Sigmoid", g.dense(x, 8)), g.dense(x, 8)
    return g.dense(g("Relu", g("Add", g("Add", a, b), c)), 4)


@case("Add")
def add_to_itself(g, x):
    y = g("Relu", g.dense(x, 8))
    return g.dense(g("Add", y, y), 4)


@case("Add", shape=(1, 3, 4, 4))
def add_broadcast_branches(g, x):
    """A picture plus one value per channel, both computed."""
    mean = g("Relu", g.conv(g("GlobalAveragePool", x), 4, 1, 1))
    return g.head(g("Tanh", g("Add", g.conv(x, 4, 3, 3), mean)))


@case("Sub")
def sub_branches(g, x):
    return g.dense(g("Sub", g("Relu", g.dense(x, 8)), g("Tanh", g.dense(x, 8))), 4)


@case("Sum", opset=8)
def sum_three(g, x):
    return g.dense(g("Sum", g("Relu", g.dense(x, 8)), g("Tanh", g.dense(x, 8)), g.dense(x, 8)), 4)


@case("Sum")
def sum_one(g, x):
    return g.dense(g("Sum", g("Relu", g.dense(x, 8))), 4)


@case("Mean")
def mean_of_branches(g, x):
    return g.dense(g("Mean", g("Relu", g.dense(x, 8)), g("Tanh", g.dense(x, 8))), 4)


@case("Mul")
def mul_gate(g, x):
    return g.dense(g("Mul", g("Sigmoid", g.dense(x, 8)), g("Tanh", g.dense(x, 8))), 4)


@case("Mul")
def mul_linear_branches(g, x):
    """A bilinear form: no activation on either side."""
    return g.dense(g("Mul", g.dense(x, 8), g.dense(x, 8)), 4)


@case("Mul", shape=(1, 4, 4, 4))
def mul_channel_gate(g, x):
    """Squeeze and excitation."""
    y = g("Relu", g.conv(x, 4, 3, 3))
    s = g("Relu", g.conv(g("GlobalAveragePool", y), 2, 1, 1))
    return g.head(g("Mul", y, g("Sigmoid", g.conv(s, 4, 1, 1))))


@case("Max")
def max_of_branches(g, x):
    return g.dense(g("Max", g.dense(x, 8), g.dense(x, 8)), 4)


@case("Max", opset=12)
def max_of_three(g, x):
    return g.dense(g("Max", g.dense(x, 8), g.dense(x, 8), g("Tanh", g.dense(x, 8))), 4)


@case("Min", opset=8)
def min_of_branches(g, x):
    return g.dense(g("Min", g.dense(x, 8), g("Relu", g.dense(x, 8))), 4)


@case("Max")
def max_with_constant(g, x):
    return g.dense(g("Min", g("Max", g.dense(x, 8), scalar(-0.5)), g.random(1, 8)), 4)


@case("Concat", shape=PICTURE)
def concat_channels(g, x):
    a = g("Relu", g.conv(x, 2, 3, 3, pads=[1, 1, 1, 1]))
    b = g("Tanh", g.conv(x, 3, 1, 1))
    return g.head(g("Relu", g.conv(g("Concat", a, b, axis=1), 3, 3, 3)))


@case("Concat", opset=8)
def concat_last_axis(g, x):
    y = g("Concat", g("Relu", g.dense(x, 6)), g("Sigmoid", g.dense(x, 3)), x, axis=1)
    return g.dense(y, 4)


@case("Concat", shape=(1, 3, 4))
def concat_constant(g, x):
    y = g("Concat", g("Relu", g.matmul(x, 4)), g.random(1, 2, 4), axis=-2)
    return g.head(y)


@case("Split", opset=9)
def split_attribute(g, x):
    a, b = g("Split", g.dense(x, 8), outputs=2, axis=1, split=[3, 5])
    return g.dense(g("Concat", g("Relu", a), g("Tanh", b), axis=1), 4)


@case("Split", opset=13)
def split_input(g, x):
    a, b, c = g("Split", g.dense(x, 9), ints(2, 3, 4), outputs=3, axis=-1)
    return g.dense(g("Concat", g("Relu", a), b, g("Sigmoid", c), axis=1), 4)


@case("Split", opset=12, shape=(1, 4, 4, 4))
def split_equal(g, x):
    a, b = g("Split", x, outputs=2, axis=1)
    return g.head(g("Add", g("Relu", g.conv(a, 3, 3, 3)), g.conv(b, 3, 3, 3)))


@case("Split", opset=18)
def split_num_outputs(g, x):
    a, b, c = g("Split", g.dense(x, 8), outputs=3, axis=1, num_outputs=3)  # 3, 3, 2
    return g.dense(g("Concat", g("Relu", c), g("Add", a, b), axis=1), 4)


# Moving values.

@case("Slice", opset=9, shape=(1, 3, 6, 6))
def slice_attributes(g, x):
    y = g("Slice", g("Relu", g.conv(x, 4, 1, 1)), starts=[1, 0, -3], ends=[3, 4, 1000], axes=[1, 2, 3])
    return g.head(y)


@case("Slice", opset=10)
def slice_inputs(g, x):
    y = g("Relu", g.dense(x, 10))
    return g.dense(g("Slice", y, ints(2), ints(9), ints(1)), 4)


@case("Slice", opset=13, shape=(1, 2, 7, 7))
def slice_steps(g, x):
    y = g("Slice", x, ints(0, 5), ints(7, 0), ints(2, 3), ints(2, -1))
    return g.head(g("Relu", g.conv(y, 3, 3, 3)))


@case("Slice", opset=13)
def slice_reverse(g, x):
    y = g("Slice", g.dense(x, 8), ints(-1), ints(np.iinfo(np.int64).min), ints(1), ints(-1))
    return g.dense(g("Relu", y), 4)


@case("Slice", opset=11, shape=(2, 8))
def slice_no_axes(g, x):
    return g.dense(g("Relu", g("Slice", g.dense(x, 8), ints(1, -6), ints(2, -1))), 4)


@case("Gather", opset=11)
def gather_indices(g, x):
    y = g("Gather", g("Relu", g.dense(x, 8)), ints(7, 0, 3, 3, -2), axis=1)
    return g.dense(y, 4)


@case("Gather", shape=(1, 3, 6))
def gather_one(g, x):
    """A scalar index takes its axis away."""
    y = g("Gather", g("Relu", g.matmul(x, 5)), np.array(-1, np.int64), axis=1)
    return g.dense(y, 4)


@case("Gather", shape=(1, 3, 6), opset=13)
def gather_matrix(g, x):
    y = g("Gather", x, np.array([[0, 2], [4, 1]], np.int32), axis=2)
    return g.head(g("Relu", y))


@case("Transpose", shape=PICTURE)
def transpose_nchw_nhwc(g, x):
    y = g("Relu", g.conv(x, 3, 3, 3))
    return g.head(g("Transpose", y, perm=[0, 2, 3, 1]))


@case("Transpose", shape=("N", 6, 6, 2), opset=9)
def transpose_nhwc_input(g, x):
    """Channels last at the outside, channels first inside, as converters from Keras write it."""
    y = g("Transpose", x, perm=[0, 3, 1, 2])
    y = g("Relu", g.conv(y, 3, 3, 3))
    return g.head(g("Transpose", y, perm=[0, 2, 3, 1]))


@case("Transpose", shape=(3, 5))
def transpose_default(g, x):
    return g.matmul(g("Relu", g("Transpose", g.matmul(x, 4))), 2)


@case("Reshape", opset=8, shape=PICTURE)
def reshape_minus_one(g, x):
    return g.dense(g("Reshape", g("Relu", g.conv(x, 3, 3, 3)), ints(1, -1)), 4)


@case("Reshape", shape=("N", 2, 6, 6))
def reshape_zero(g, x):
    y = g("Reshape", g("Relu", g.conv(x, 3, 3, 3)), ints(0, 0, -1))
    return g.dense(g("Reshape", y, ints(0, -1)), 4)


@case("Reshape", opset=14, shape=(24,))
def reshape_input(g, x):
    """The input is flat; the picture is made inside."""
    y = g("Reshape", x, ints(1, 2, 3, 4), allowzero=0)
    return g.head(g("Relu", g.conv(y, 3, 2, 2)))


@case("Shape", shape=("N", 2, 6, 6), opset=11, note="batch size taken from Shape, as PyTorch writes x.view(x.size(0), -1)")
def reshape_by_shape(g, x):
    y = g("Relu", g.conv(x, 3, 3, 3))
    n = g("Unsqueeze", g("Gather", g("Shape", y), np.array(0, np.int64), axis=0), axes=[0])
    return g.dense(g("Reshape", y, g("Concat", n, ints(-1), axis=0)), 4)


@case("Flatten", opset=9, shape=(2, 3, 4))
def flatten_axis(g, x):
    return g.dense(g("Relu", g.dense(g("Flatten", x, axis=2), 5)), 3)


@case("Flatten", shape=(1, 3, 4))
def flatten_negative_axis(g, x):
    return g.dense(g("Relu", g("Flatten", x, axis=-1)), 3)


@case("Flatten", shape=(3, 4))
def flatten_axis_0(g, x):
    return g.dense(g("Flatten", g("Relu", x), axis=0), 3)


@case("Squeeze", opset=9, shape=(1, 3, 4, 4))
def squeeze_attribute(g, x):
    y = g("GlobalAveragePool", g("Relu", g.conv(x, 5, 3, 3)))
    return g.dense(g("Squeeze", y, axes=[2, 3]), 4)


@case("Squeeze", opset=13, shape=(1, 3, 4, 4))
def squeeze_input(g, x):
    y = g("GlobalAveragePool", g("Relu", g.conv(x, 5, 3, 3)))
    return g.dense(g("Squeeze", y, ints(-1, -2)), 4)


@case("Squeeze", opset=13, shape=(1, 1, 16))
def squeeze_all(g, x):
    return g.matmul(g("Relu", g("Squeeze", x)), 4)


@case("Unsqueeze", opset=11, shape=(1, 12))
def unsqueeze_attribute(g, x):
    y = g("Unsqueeze", g("Relu", g.dense(x, 8)), axes=[1, 3])
    return g.head(g.conv(y, 2, 3, 1))


@case("Unsqueeze", opset=13, shape=(1, 12))
def unsqueeze_input(g, x):
    return g.head(g("Relu", g.conv(g("Unsqueeze", x, ints(1)), 3, 3)))


@case("Identity", opset=14)
def identity(g, x):
    return g("Identity", g.dense(g("Identity", g("Relu", g.dense(g("Identity", x), 8))), 4))


@case("Dropout", opset=7)
def dropout_opset7(g, x):
    return g.dense(g("Dropout", g("Relu", g.dense(x, 8)), ratio=0.3), 4)


@case("Dropout", opset=10)
def dropout_default(g, x):
    return g.dense(g("Dropout", g("Relu", g.dense(x, 8))), 4)


@case("Dropout", opset=13)
def dropout_inputs(g, x):
    return g.dense(g("Dropout", g("Relu", g.dense(x, 8)), scalar(0.5), np.array(False)), 4)


@case("Cast", opset=13)
def cast_float(g, x):
    return g.dense(g("Cast", g("Relu", g.dense(x, 8)), to=TensorProto.FLOAT), 4)


@case("Constant", opset=12)
def constant_nodes(g, x):
    w = g("Constant", value=numpy_helper.from_array(g.random(16, 8, fan=16, gain=1.5)))
    b = g("Constant", value_floats=[0.1, -0.2, 0.3, 0.0, 0.05, -0.1, 0.2, 0.15])
    y = g("Relu", g("Gemm", x, w, b))
    y = g("Reshape", y, g("Constant", value_ints=[1, 2, 4]))
    return g("Mul", y, g("Constant", value_float=0.75))


@case("Constant", opset=9)
def constant_arithmetic(g, x):
    """Weights computed from constants: folded before anything runs."""
    w = g("Transpose", g("Mul", g.random(8, 16, fan=16), scalar(1.5)), perm=[1, 0])
    b = g("Add", g.random(8, gain=0.2), g.random(8, gain=0.2))
    return g.dense(g("Relu", g("Gemm", x, w, b)), 4)


@case("Pad", opset=9, shape=PICTURE)
def pad_attributes(g, x):
    y = g("Pad", x, mode="constant", pads=[0, 0, 1, 0, 0, 0, 1, 2], value=0.0)
    return g.head(g("Relu", g.conv(y, 3, 3, 3)))


@case("Pad", opset=11, shape=PICTURE)
def pad_inputs(g, x):
    y = g("Pad", g("Relu", g.conv(x, 3, 3, 3)), ints(0, 0, 1, 1, 0, 0, 1, 1), scalar(0))
    return g.head(g("Tanh", g.conv(y, 2, 3, 3)))


@case("Pad", opset=13, shape=PICTURE)
def pad_default_value(g, x):
    y = g("Pad", g("Tanh", x), ints(0, 1, 0, 0, 0, 0, 0, 0))
    return g.head(g("Relu", g.conv(y, 3, 3, 3)))


@case("Pad", opset=18, shape=PICTURE)
def pad_axes(g, x):
    y = g("Pad", x, ints(1, 0, 1, 2), "", ints(2, 3))
    return g.head(g("Relu", g.conv(y, 3, 3, 3)))


@case("Pad", opset=13, shape=PICTURE)
def pad_crop(g, x):
    """Negative pads take values away."""
    y = g("Pad", g("Relu", x), ints(0, 0, -1, 0, 0, 0, -1, 1))
    return g.head(g("Relu", g.conv(y, 3, 3, 3)))


# Arithmetic with constants.

@case("Mul")
def mul_constant(g, x):
    return g.dense(g("Tanh", g("Mul", g("Sigmoid", g.dense(x, 8)), g.random(8))), 4)


@case("Add", shape=(1, 3, 4, 4))
def add_constant_per_channel(g, x):
    y = g("Add", g("Relu", g.conv(x, 3, 3, 3)), floats(0.5, -0.25, 0.1).reshape(3, 1, 1))
    return g.head(g("Tanh", y))


@case("Sub")
def sub_constant(g, x):
    y = g("Sub", g("Relu", g.dense(x, 8)), g.random(1, 8, gain=0.5))
    return g.dense(g("Relu", g("Sub", scalar(0.5), y)), 4)


@case("Div")
def div_constant(g, x):
    return g.dense(g("Relu", g("Div", g.dense(x, 8), scalar(-2.5))), 4)


@case("Mul", shape=(1, 3, 5, 5), range=(0.0, 1.0))
def scale_input(g, x):
    """Normalisation of a picture in 0..1, as preprocessing inside the graph."""
    y = g("Div", g("Sub", x, floats(0.48, 0.45, 0.4).reshape(1, 3, 1, 1)),
          floats(0.23, 0.22, 0.22).reshape(1, 3, 1, 1))
    return g.head(g("Relu", g.conv(y, 3, 3, 3, gain=1.0)))


@case("Mul", shape=(1, 1, 5, 5), range=(0.0, 255.0))
def bytes_input(g, x):
    """Pixels 0..255."""
    return g.head(g("Relu", g.conv(g("Mul", x, scalar(1 / 255)), 3, 3, 3)))


@case("Mul", shape=(1, 3, 4))
def mul_constant_grows(g, x):
    """The constant has the larger shape."""
    return g.head(g("Relu", g("Mul", x, g.random(1, 2, 3, 4))))


# The end of a classifier.

@case("ArgMax", opset=13, note="int64 indices, written as floats")
def argmax(g, x):
    return g("ArgMax", g.dense(g("Relu", g.dense(x, 8)), 5), axis=1, keepdims=0)


@case("ArgMax", opset=8, note="int64 indices, written as floats")
def argmax_keepdims(g, x):
    return g("ArgMax", g.dense(g("Relu", g.dense(x, 8)), 5), axis=1)


@case("ArgMax", opset=12, note="int64 indices, written as floats")
def argmax_negative_axis(g, x):
    return g("ArgMax", g.dense(g("Relu", g.dense(x, 8)), 5), axis=-1, keepdims=0, select_last_index=1)


@case("Softmax", opset=13, note="probabilities, not logits")
def softmax(g, x):
    return g("Softmax", g.dense(g("Relu", g.dense(x, 8)), 5))


@case("Softmax", opset=9, note="probabilities, not logits")
def softmax_opset9(g, x):
    return g("Softmax", g.dense(g("Relu", g.dense(x, 8)), 5))


@case("Softmax", opset=11, shape=(1, 3, 6), note="opset 11: one softmax over all axes from the first on")
def softmax_flattened(g, x):
    return g("Softmax", g("Relu", g.matmul(x, 5)), axis=1)


@case("Softmax", opset=13, shape=(1, 3, 6), note="opset 13: one softmax for each of the three rows")
def softmax_rows(g, x):
    return g("Softmax", g("Relu", g.matmul(x, 5)), axis=-1)


@case("LogSoftmax", opset=13, note="logarithms of probabilities, not logits")
def log_softmax(g, x):
    return g("LogSoftmax", g.dense(g("Relu", g.dense(x, 8)), 5), axis=1)


@case("Sigmoid")
def sigmoid_last(g, x):
    return g("Sigmoid", g.dense(g("Relu", g.dense(x, 8)), 1))


# Recurrent layers: sequence of 3.

SEQUENCE = (3, 1, 6)
HIDDEN = 5


def recurrent(g, op, x, gates, *states, directions=1, bias=True, **attributes):
    """Y [3,directions,1,HIDDEN] and Y_h [directions,1,HIDDEN] (an LSTM has Y_c too)."""
    inputs = [g.random(directions, gates * HIDDEN, g.size(x)[-1], fan=g.size(x)[-1], gain=1.2),
              g.random(directions, gates * HIDDEN, HIDDEN, fan=HIDDEN, gain=0.8),
              g.random(directions, 2 * gates * HIDDEN, gain=0.2) if bias else ""]
    if states:
        inputs += ["", *states]
    elif not bias:
        inputs.pop()
    return g(op, x, *inputs, outputs=3 if op == "LSTM" else 2, hidden_size=HIDDEN, **attributes)


def state(g):
    return g.rng.uniform(-0.5, 0.5, (1, 1, HIDDEN)).astype(np.float32)


@case("LSTM", opset=7, shape=SEQUENCE)
def lstm_last_state(g, x):
    y, h, c = recurrent(g, "LSTM", x, 4)
    return g.dense(g("Squeeze", h, axes=[0]), 4)


@case("LSTM", opset=14, shape=SEQUENCE)
def lstm_all_states(g, x):
    y, h, c = recurrent(g, "LSTM", x, 4)
    return g.matmul(g("Squeeze", y, ints(1)), 4)


@case("LSTM", opset=17, shape=SEQUENCE)
def lstm_no_bias(g, x):
    y, h, c = recurrent(g, "LSTM", x, 4, bias=False)
    return g.dense(g("Squeeze", h, ints(0)), 4)


@case("LSTM", opset=13, shape=SEQUENCE)
def lstm_initial_state(g, x):
    y, h, c = recurrent(g, "LSTM", x, 4, state(g), state(g))
    return g.dense(g("Squeeze", h, ints(0)), 4)


@case("LSTM", opset=11, shape=SEQUENCE)
def lstm_reverse(g, x):
    y, h, c = recurrent(g, "LSTM", x, 4, direction="reverse")
    return g.matmul(g("Squeeze", y, axes=[1]), 4)


@case("LSTM", opset=14, shape=SEQUENCE)
def lstm_bidirectional(g, x):
    y, h, c = recurrent(g, "LSTM", x, 4, directions=2, direction="bidirectional")
    y = g("Reshape", g("Transpose", y, perm=[0, 2, 1, 3]), ints(0, 0, -1))
    return g.matmul(y, 4)


@case("LSTM", opset=14, shape=SEQUENCE)
def lstm_cell_state(g, x):
    y, h, c = recurrent(g, "LSTM", x, 4, activations=["Sigmoid", "Tanh", "Tanh"], direction="forward")
    return g.dense(g("Concat", g("Squeeze", h, ints(0)), g("Squeeze", c, ints(0)), axis=1), 4)


@case("LSTM", opset=14, shape=(1, 3, 6))
def lstm_batch_first(g, x):
    """PyTorch's batch_first, two layers, last step taken by Gather."""
    y, h, c = recurrent(g, "LSTM", g("Transpose", x, perm=[1, 0, 2]), 4)
    y, h, c = recurrent(g, "LSTM", g("Squeeze", y, ints(1)), 4)
    y = g("Transpose", g("Squeeze", y, ints(1)), perm=[1, 0, 2])
    return g.dense(g("Gather", y, np.array(-1, np.int64), axis=1), 4)


@case("GRU", opset=14, shape=SEQUENCE)
def gru_reset_before(g, x):
    y, h = recurrent(g, "GRU", x, 3, linear_before_reset=0)
    return g.dense(g("Squeeze", h, ints(0)), 4)


@case("GRU", opset=9, shape=SEQUENCE)
def gru_reset_after(g, x):
    """linear_before_reset=1, the form of PyTorch and cuDNN."""
    y, h = recurrent(g, "GRU", x, 3, linear_before_reset=1)
    return g.matmul(g("Squeeze", y, axes=[1]), 4)


@case("GRU", opset=14, shape=SEQUENCE)
def gru_initial_state(g, x):
    y, h = recurrent(g, "GRU", x, 3, state(g), linear_before_reset=1, direction="reverse")
    return g.dense(g("Squeeze", h, ints(0)), 4)


@case("RNN", opset=14, shape=SEQUENCE)
def rnn_tanh(g, x):
    y, h = recurrent(g, "RNN", x, 1)
    return g.dense(g("Squeeze", h, ints(0)), 4)


@case("RNN", opset=7, shape=SEQUENCE)
def rnn_relu(g, x):
    y, h = recurrent(g, "RNN", x, 1, activations=["Relu"])
    return g.matmul(g("Squeeze", y, axes=[1]), 4)


@case("RNN", opset=14, shape=SEQUENCE)
def rnn_initial_state(g, x):
    y, h = recurrent(g, "RNN", x, 1, state(g), bias=False)
    return g.dense(g("Squeeze", h, ints(0)), 4)


# Small networks of the usual kinds.

@case("Conv", opset=17, shape=(1, 1, 14, 14), range=(0.0, 1.0))
def lenet(g, x):
    y = g("MaxPool", g("Relu", g.conv(x, 4, 5, 5, pads=[2, 2, 2, 2])), kernel_shape=[2, 2], strides=[2, 2])
    y = g("MaxPool", g("Relu", g.conv(y, 6, 3, 3)), kernel_shape=[2, 2], strides=[2, 2])
    y = g("Relu", g.dense(g("Flatten", y), 12))
    return g.dense(y, 10)


@case("Conv", opset=7, shape=(1, 1, 12, 12), range=(0.0, 1.0), note="probabilities, not logits")
def lenet_tanh(g, x):
    """Tanh and average pooling, initializers listed as inputs."""
    y = g("AveragePool", g("Tanh", g.conv(x, 3, 5, 5)), kernel_shape=[2, 2], strides=[2, 2])
    y = g("Tanh", g.dense(g("Flatten", y), 10))
    return g("Softmax", g.dense(y, 5), axis=1)


@case("Add", opset=15, shape=(1, 3, 6, 6))
def resnet(g, x):
    """Stem, one plain block, one block that halves the picture, mean, fully connected."""
    def block(y, channels, stride):
        z = g("Relu", g.norm(g.conv(y, channels, 3, 3, bias=False, pads=[1, 1, 1, 1], strides=[stride, stride])))
        z = g.norm(g.conv(z, channels, 3, 3, bias=False, pads=[1, 1, 1, 1]))
        if stride > 1:
            y = g.norm(g.conv(y, channels, 1, 1, bias=False, strides=[stride, stride]))
        return g("Relu", g("Add", z, y))

    y = g("Relu", g.norm(g.conv(x, 4, 3, 3, bias=False, pads=[1, 1, 1, 1])))
    y = block(block(y, 4, 1), 6, 2)
    return g.head(g("GlobalAveragePool", y))


@case("Conv", opset=11, shape=(1, 3, 6, 6))
def mobilenet(g, x):
    """Inverted residual: 1x1 to more channels, depthwise, 1x1 back, shortcut."""
    relu6 = (scalar(0), scalar(6))
    y = g("Clip", g.norm(g.conv(x, 8, 1, 1, bias=False)), *relu6)
    y = g("Clip", g.norm(g.conv(y, 8, 3, 3, bias=False, group=8, pads=[1, 1, 1, 1])), *relu6)
    y = g("Add", x, g.norm(g.conv(y, 3, 1, 1, bias=False)))
    return g.head(g("GlobalAveragePool", g("Clip", g.conv(y, 6, 1, 1), *relu6)))


@case("Concat", opset=12, shape=(1, 2, 6, 6))
def inception(g, x):
    """Four branches joined."""
    a = g("Relu", g.conv(x, 2, 1, 1))
    b = g("Relu", g.conv(g("Relu", g.conv(x, 2, 1, 1)), 3, 3, 3, pads=[1, 1, 1, 1]))
    c = g("Relu", g.conv(x, 2, 5, 5, pads=[2, 2, 2, 2]))
    d = g("Relu", g.conv(g("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 2, 1, 1))
    return g.head(g("AveragePool", g("Concat", a, b, c, d, axis=1), kernel_shape=[2, 2], strides=[2, 2]))


@case("Concat", opset=17, shape=(1, 2, 4, 4))
def densenet(g, x):
    """Every layer reads all before it."""
    y = x
    for _ in range(3):
        z = g.conv(g("Relu", g.norm(y)), 2, 3, 3, bias=False, pads=[1, 1, 1, 1])
        y = g("Concat", y, z, axis=1)
    return g.head(g("GlobalAveragePool", y))


@case("MatMul", opset=13, shape=("N", 20), note="probabilities, not logits")
def mlp_keras(g, x):
    for width in [12, 8]:
        y = g("Add", g.matmul(x, width), g.random(width, gain=0.2))
        x = g("Relu", y)
    return g("Softmax", g("Add", g.matmul(x, 4), g.random(4, gain=0.2)))


@case("Gemm", opset=17, shape=("N", 20))
def mlp_pytorch(g, x):
    for width in [12, 8]:
        x = g("Relu", g.dense(x, width))
    return g.dense(x, 4)


@case("ArgMax", opset=15, shape=("N", 13), note="int64 indices, written as floats")
def mlp_scikit_learn(g, x):
    """The shape of a converted MLPClassifier: Cast, MatMul and Add, Softmax, ArgMax."""
    x = g("Cast", x, to=TensorProto.FLOAT)
    for width in [10, 6]:
        x = g("Relu", g("Add", g.matmul(x, width), g.random(1, width, gain=0.2)))
    y = g("Softmax", g("Add", g.matmul(x, 3), g.random(1, 3, gain=0.2)), axis=1)
    return g("ArgMax", y, axis=1, keepdims=0)


@case("Conv", opset=13, shape=(1, 2, 16))
def text_cnn(g, x):
    """1-D convolutions of three widths, each with its maximum over time."""
    parts = [g("GlobalMaxPool", g("Relu", g.conv(x, 3, k))) for k in [2, 3, 4]]
    return g.head(g("Concat", *parts, axis=1))


@case("Conv", opset=20, shape=(1, 3, 5, 5))
def convnext(g, x):
    """Depthwise 3x3, then 1x1 as MatMul on the last axis with Gelu, scale, shortcut."""
    y = g.norm(g.conv(x, 3, 3, 3, group=3, pads=[1, 1, 1, 1]))
    y = g("Transpose", y, perm=[0, 2, 3, 1])
    y = g("Gelu", g("Add", g.matmul(y, 6), g.random(6, gain=0.2)))
    y = g("Mul", g("Add", g.matmul(y, 3), g.random(3, gain=0.2)), floats(0.5, 0.7, 0.9))
    y = g("Add", x, g("Transpose", y, perm=[0, 3, 1, 2]))
    return g.dense(g("ReduceMean", y, ints(2, 3), keepdims=0), 4)


kinds.register(case)


def clear_winners(g, rows):
    """Those of rows whose largest score leads by more than rounding can take away."""
    scores = np.sort(np.stack(run(g.model(g.nodes[-1].input[0]), g.fixed(), rows)).reshape(len(rows), -1))
    return rows[scores[:, -1] - scores[:, -2] > 0.1 * np.abs(scores).max()]


def make(archive, name, build, op, opset, shape, limits, note):
    """Build, check, run and write one case; its line of the index."""
    g = Graph(name, opset, shape)
    output = build(g, "x")
    kind = TensorProto.INT64 if op == "ArgMax" else TensorProto.FLOAT
    shape = g.fixed()
    rows = g.rng.uniform(*limits, (10 * ROWS, g.inputs())).astype(np.float32)
    if op == "ArgMax":
        rows = clear_winners(g, rows)
    rows = rows[:ROWS]
    assert len(rows) == ROWS, name
    results = run(g.model(output, kind=kind), shape, rows)
    dims = list(results[0].shape)
    if "N" in g.shape:
        dims[0] = "N"
    model = g.model(output, dims, kind)
    onnx.checker.check_model(model, full_check=True)
    results = run(model, shape, rows)
    assert all(np.isfinite(y).all() for y in results), name
    y = np.stack([y.ravel() for y in results]).astype(np.float32)
    if "N" in g.shape:  # a declared batch dimension works as one
        batch = run(model, [ROWS, *shape[1:]], [rows])[0].reshape(ROWS, -1)
        np.testing.assert_allclose(batch, y, rtol=1e-4, atol=1e-5)
    if len(y) > 1 and (y == y[0]).all():
        print(f"{name}: the same output for every row", file=sys.stderr)
    for end, content in [("onnx", model), ("x.npy", rows), ("y.npy", y)]:
        archive.add(f"{name}.{end}", content)
    line = {"name": name, "op": op, "input_range": list(limits), "opset": opset}
    return line | ({"tolerance_note": note} if note else {}), np.abs(y).max()


def write_index(path, lines):
    """JSON with one entry a line."""
    path.write_text("[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent,
                        help="folder for the files (default: the folder of this script)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    assert len({c[0] for c in CASES}) == len(CASES)

    archive = Archive(out / "graphs.tar")
    lines, largest = zip(*[make(archive, *c) for c in CASES])
    archive.write()
    write_index(out / "index.json", lines)
    print(f"{len(lines)} graphs, {archive.size() / 1e6:.2f} MB, largest output {max(largest):.2f}, "
          f"operators {len({l['op'] for l in lines})}, opsets {sorted({l['opset'] for l in lines})}")

    archive = Archive(out / "refused.tar")
    lines = refused.make(archive)
    archive.write()
    write_index(out / "refused.json", lines)
    print(f"{len(lines)} refused")


if __name__ == "__main__":
    main()
