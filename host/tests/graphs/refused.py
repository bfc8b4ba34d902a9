"""ONNX files that an importer has to refuse, each with a reason; make.py writes them.

Many break the standard on purpose, so none is checked.
"""

import sys

sys.dont_write_bytecode = True  # no __pycache__ next to the committed files

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
CASES = []


def case(why):
    def register(build):
        CASES.append((build.__name__, why, build))
        return build
    return register


def node(op, inputs, outputs, **attributes):
    """A node; its inputs and outputs are names separated by blanks, - for an absent one."""
    names = [["" if n == "-" else n for n in part.split()] for part in (inputs, outputs)]
    return helper.make_node(op, *names, name=f"{op.lower()}_{names[1][0] if names[1] else ''}", **attributes)


def value(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name, *shape):
    """Values -0.5, -0.4, ... 0.5, over and over."""
    count = int(np.prod(shape))
    return numpy_helper.from_array((np.arange(count) % 11 / 10 - 0.5).astype(np.float32).reshape(shape), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def model(nodes, weights=(), inputs=(("x", [1, 4]),), output=("y", None), opset=17, kind=FLOAT, domains=()):
    graph = helper.make_graph(nodes, "refused", [value(*i) for i in inputs],
                              [value(*output, kind)], list(weights))
    opsets = [helper.make_opsetid("", opset), *[helper.make_opsetid(d, 1) for d in domains]]
    return helper.make_model(graph, producer_name="minionn-tests", ir_version=8, opset_imports=opsets)


def picture(*nodes, weights=(), shape=(1, 2, 6, 6), **settings):
    return model(nodes, weights, [("x", shape)], **settings)


def dense():
    """Gemm and Relu on four values: a sound graph to spoil."""
    return model([node("Gemm", "x w b", "h", transB=1), node("Relu", "h", "y")], [weight("w", 3, 4), weight("b", 3)])


# Operators that have no private form.

@case("Conv in three dimensions")
def conv_3d():
    return picture(node("Conv", "x w", "y"), weights=[weight("w", 2, 1, 2, 2, 2)], shape=(1, 1, 4, 4, 4))


@case("operator Loop")
def loop():
    body = helper.make_graph(
        [node("Identity", "go", "again"), node("Relu", "v", "next")], "body",
        [value("i", [], INT64), value("go", [], TensorProto.BOOL), value("v", [1, 4])],
        [value("again", [], TensorProto.BOOL), value("next", [1, 4])])
    trip = numpy_helper.from_array(np.array(3, np.int64), "trip")
    go = numpy_helper.from_array(np.array(True), "start")
    return model([node("Loop", "trip start x", "y", body=body)], [trip, go])


@case("operator If, with a condition computed from the input")
def if_computed():
    branches = [helper.make_graph([node(op, "x", f"{op}_y")], op, [], [value(f"{op}_y", [1, 4])])
                for op in ("Relu", "Neg")]
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    return model([node("ReduceSum", "x", "s", keepdims=0), node("Greater", "s zero", "c"),
                  node("If", "c", "y", then_branch=branches[0], else_branch=branches[1])], [zero])


@case("an operator of another domain, com.example.Relu")
def custom_domain():
    return model([node("Relu", "x", "y", domain="com.example")], domains=["com.example"])


@case("an operator that does not exist")
def unknown_operator():
    return model([node("Frobnicate", "x", "y")])


@case("ArgMax before another layer")
def argmax_middle():
    return model([node("ArgMax", "x", "a", axis=1), node("Cast", "a", "f", to=FLOAT),
                  node("MatMul", "f w", "y")], [weight("w", 1, 3)])


@case("Gather with an index computed from the input")
def gather_computed():
    return model([node("ArgMax", "x", "i", axis=1), node("Gather", "x i", "y", axis=1)])


@case("Reshape to a shape computed from the input")
def reshape_computed():
    return model([node("Cast", "x", "s", to=INT64), node("Reshape", "x s", "y")], inputs=[("x", [2])])


@case("Equal of what is computed")
def equal_computed():
    return model([node("Equal", "x x", "e"), node("Cast", "e", "y", to=FLOAT)])


@case("rounding of what is computed")
def round_computed():
    return model([node("Round", "x", "y")])


@case("operator NonZero of what is computed")
def non_zero_computed():
    return model([node("NonZero", "x", "n"), node("Cast", "n", "y", to=FLOAT)])


# Sizes and indices out of reach.

@case("Tile of 2 to the power of 62 copies")
def tile_huge():
    return model([node("Tile", "x n", "y")], [ints("n", 1, 2 ** 62)])


@case("Resize to a billion times the size")
def resize_huge():
    scales = numpy_helper.from_array(np.array([1, 1, 1e9, 1e9], np.float32), "s")
    return picture(node("Resize", "x - s", "y"), weights=[scales])


@case("Resize by a scale of zero")
def resize_zero():
    scales = numpy_helper.from_array(np.array([1, 1, 0, 1], np.float32), "s")
    return picture(node("Resize", "x - s", "y"), weights=[scales])


@case("a Range without end")
def range_endless():
    numbers = [numpy_helper.from_array(np.array(n, np.float32), name) for n, name in [(0, "a"), (1, "b"), (0, "c")]]
    return model([node("Range", "a b c", "r"), node("Add", "x r", "y")], numbers)


@case("a Range of 2 to the power of 40 numbers")
def range_huge():
    numbers = [numpy_helper.from_array(np.array(n, np.int64), name) for n, name in [(0, "a"), (2 ** 40, "b"), (1, "c")]]
    return model([node("Range", "a b c", "r"), node("Cast", "r", "f", to=FLOAT), node("Add", "x f", "y")], numbers)


@case("OneHot with a depth of 2 to the power of 60")
def one_hot_huge():
    numbers = [numpy_helper.from_array(np.array(2 ** 60), "d"), numpy_helper.from_array(np.zeros(2, np.float32), "v")]
    return model([node("OneHot", "i d v", "h"), node("Add", "x h", "y")], [ints("i", 1), *numbers])


@case("constants of integers whose product is too large")
def integers_overflow():
    return model([node("Mul", "a a", "b"), node("Reshape", "x b", "y")], [ints("a", 2 ** 62)])


@case("Einsum whose letters do not fit")
def einsum_mismatch():
    return model([node("Einsum", "x w", "y", equation="bi,ijk->bj")], [weight("w", 4, 3)])


@case("GatherND with an index outside")
def gather_nd_outside():
    return model([node("GatherND", "x i", "y")], [numpy_helper.from_array(np.array([[0, 7]]), "i")])


@case("ScatterND with updates of another shape")
def scatter_nd_mismatch():
    return model([node("ScatterND", "x i u", "y")],
                 [numpy_helper.from_array(np.array([[0, 1]]), "i"), weight("u", 3)])


@case("ConvTranspose that cuts everything off")
def conv_transpose_nothing():
    return picture(node("ConvTranspose", "x w", "y", pads=[9, 9, 9, 9]), weights=[weight("w", 2, 3, 3, 3)])


@case("TopK of more than there are")
def top_k_too_many():
    return model([node("TopK", "x k", "y i", axis=1)], [ints("k", 9)])


@case("a mask that leaves nothing of a row")
def softmax_masked():
    mask = numpy_helper.from_array(np.full((1, 4), -np.inf, np.float32), "m")
    return model([node("Add", "x m", "s"), node("Softmax", "s", "p", axis=1), node("MatMul", "p w", "y")],
                 [mask, weight("w", 4, 3)])


@case("more norms in a LayerNormalization than it has channels")
def layer_norm_mismatch():
    return model([node("LayerNormalization", "x w", "y")], [weight("w", 5)])


# Attributes and optional inputs without support.

@case("Dropout in training mode")
def dropout_training():
    return model([node("Dropout", "x ratio training", "y")],
                 [numpy_helper.from_array(np.array(0.5, np.float32), "ratio"),
                  numpy_helper.from_array(np.array(True), "training")])


@case("BatchNormalization in training mode")
def batch_norm_training():
    return picture(node("BatchNormalization", "x s b m v", "y mean variance", training_mode=1),
                   weights=[weight(n, 2) for n in "sbmv"])


@case("unknown auto_pad SAME_MIDDLE")
def conv_auto_pad():
    return picture(node("Conv", "x w", "y", auto_pad="SAME_MIDDLE"), weights=[weight("w", 3, 2, 3, 3)])


@case("an attribute Relu does not have")
def unknown_attribute():
    return model([node("Relu", "x", "y", slope=0.5)])


@case("attribute strides of the wrong type")
def attribute_type():
    return picture(node("Conv", "x w", "y", strides="2,2"), weights=[weight("w", 3, 2, 3, 3)])


def lstm(weights=(), inputs="x w r b", **attributes):
    return model([node("LSTM", inputs, "y", hidden_size=2, **attributes)],
                 [weight("w", 1, 8, 4), weight("r", 1, 8, 2), weight("b", 1, 16), *weights],
                 inputs=[("x", [3, 1, 4])])


@case("LSTM with sequence_lens")
def lstm_sequence_lens():
    return lstm([numpy_helper.from_array(np.array([2], np.int32), "n")], "x w r b n")


@case("LSTM with peepholes")
def lstm_peepholes():
    return lstm([weight("p", 1, 6)], "x w r b - - - p")


@case("LSTM with input_forget")
def lstm_input_forget():
    return lstm(input_forget=1)


@case("LSTM with an activation that does not exist")
def lstm_activation():
    return lstm(activations=["Sigmoid", "Tanh", "Wave"])


# Shapes.

@case("height and width of the input are not known")
def dynamic_shape():
    return picture(node("Conv", "x w", "y"), weights=[weight("w", 3, 2, 3, 3)], shape=("N", 2, "H", "W"))


@case("the input has no shape")
def no_shape():
    return model([node("Relu", "x", "y")], inputs=[("x", None)])


@case("a dimension of zero")
def zero_dimension():
    return model([node("Relu", "x", "y")], inputs=[("x", [1, 0])])


@case("a negative dimension")
def negative_dimension():
    return model([node("Relu", "x", "y")], inputs=[("x", [1, -4])])


@case("the input has 2 to the power of 120 values")
def huge_input():
    return model([node("Relu", "x", "y")], inputs=[("x", [2**40, 2**40, 2**40])])


@case("weights of 2 to the power of 80 values, without data")
def huge_weights():
    m = dense()
    del m.graph.initializer[0]
    m.graph.initializer.append(TensorProto(name="w", data_type=FLOAT, dims=[2**40, 2**40]))
    return m


@case("Gemm weights that do not fit the input")
def gemm_mismatch():
    return model([node("Gemm", "x w", "y", transB=1)], [weight("w", 3, 5)])


@case("Conv weights for other channels")
def conv_mismatch():
    return picture(node("Conv", "x w", "y"), weights=[weight("w", 3, 4, 3, 3)])


@case("a kernel larger than the picture")
def conv_kernel_too_large():
    return picture(node("Conv", "x w", "y"), weights=[weight("w", 3, 2, 9, 9)])


@case("Conv with strides of zero")
def conv_stride_zero():
    return picture(node("Conv", "x w", "y", strides=[0, 0]), weights=[weight("w", 3, 2, 3, 3)])


@case("Conv with a group of zero")
def conv_group():
    return picture(node("Conv", "x w", "y", group=0), weights=[weight("w", 3, 2, 3, 3)])


@case("Pad by 2 to the power of 62 on every side")
def pad_huge():
    return picture(node("Pad", "x p", "y"), weights=[ints("p", *[2**62] * 8)])


@case("Reshape to another number of values")
def reshape_mismatch():
    return model([node("Reshape", "x s", "y")], [ints("s", 3, 3)])


@case("an axis outside the shape")
def axis_out_of_range():
    return model([node("Concat", "x x", "y", axis=5)])


@case("Gather with a constant index outside the axis")
def gather_out_of_range():
    return model([node("Gather", "x i", "y", axis=1)], [ints("i", 4)])


# Types and values.

@case("two inputs that are not weights")
def two_inputs():
    return model([node("Add", "x z", "y")], inputs=[("x", [1, 4]), ("z", [1, 4])])


@case("no input")
def no_input():
    return model([node("Relu", "w", "y")], [weight("w", 1, 4)], inputs=[])


@case("input of strings")
def string_input():
    return model([node("Identity", "x", "y")], inputs=[("x", [1, 4], TensorProto.STRING)], kind=TensorProto.STRING)


@case("weights that are strings")
def string_weights():
    w = helper.make_tensor("w", TensorProto.STRING, [4], [b"a", b"b", b"c", b"d"])
    return model([node("Add", "x w", "y")], [w])


@case("complex weights")
def complex_weights():
    return model([node("Add", "x w", "y")], [numpy_helper.from_array(np.ones(4, np.complex64), "w")])


@case("a weight that is not a number")
def nan_weight():
    m = dense()
    m.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([[np.nan, 1, 1, 1]] * 3, np.float32), "w"))
    return m


@case("an infinite weight")
def infinite_weight():
    m = dense()
    m.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array([np.inf, 0, 0], np.float32), "b"))
    return m


@case("variance below zero")
def negative_variance():
    values = {"s": 1, "b": 0, "m": 0, "v": -1}
    return picture(node("BatchNormalization", "x s b m v", "y"),
                   weights=[numpy_helper.from_array(np.full(2, v, np.float32), n) for n, v in values.items()])


@case("weights with fewer bytes than their shape says")
def short_weights():
    m = dense()
    m.graph.initializer[0].raw_data = m.graph.initializer[0].raw_data[:-4]
    return m


@case("weights with more bytes than their shape says")
def long_weights():
    m = dense()
    m.graph.initializer[0].raw_data += bytes(4)
    return m


@case("weights in another file, which is absent")
def external_data():
    return external("weights.bin")


@case("weights in another file, outside the folder of the model")
def external_data_outside():
    return external("../../../../etc/passwd")


def external(location):
    m = dense()
    w = m.graph.initializer[0]
    w.ClearField("raw_data")
    w.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, "offset": "0", "length": "48"}.items():
        w.external_data.add(key=key, value=text)
    return m


# Graphs that are not sound.

@case("two nodes need each other's output")
def cycle():
    return model([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")])


@case("a node that reads its own output")
def cycle_of_one():
    return model([node("Add", "x y", "y")])


@case("a tensor that nothing makes")
def missing_initializer():
    m = dense()
    del m.graph.initializer[0]
    return m


@case("an output that nothing makes")
def missing_output():
    return model([node("Relu", "x", "h")])


@case("no output")
def no_output():
    m = dense()
    del m.graph.output[:]
    return m


@case("two nodes make the same tensor")
def duplicate_output():
    return model([node("Relu", "x", "h"), node("Neg", "x", "h"), node("Relu", "h", "y")])


@case("two initializers of one name")
def duplicate_initializer():
    m = dense()
    m.graph.initializer.append(weight("w", 3, 4))
    return m


@case("a node makes a tensor with the name of an initializer")
def shadowed_initializer():
    return model([node("Relu", "x", "w"), node("MatMul", "x w", "y")], [weight("w", 4, 4)])


@case("Gemm with one input")
def too_few_inputs():
    return model([node("Gemm", "x", "y")])


@case("Relu with two inputs")
def too_many_inputs():
    return model([node("Relu", "x x", "y")])


@case("opset 999")
def opset_unknown():
    return model([node("Relu", "x", "y")], opset=999)


@case("no opset")
def opset_missing():
    m = dense()
    del m.opset_import[:]
    return m


@case("a model without graph")
def no_graph():
    return onnx.ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 17)])


@case("an empty file")
def empty_file():
    return b""


@case("a file that is not ONNX")
def not_onnx():
    return b"\x89PNG\r\n\x1a\n" + bytes(range(64))


@case("a file cut short")
def truncated():
    return dense().SerializeToString()[:-20]


def make(archive):
    """Write all files into the archive; the lines of the index."""
    for name, _, build in CASES:
        archive.add(f"{name}.onnx", build())
    return [{"name": name, "why": why} for name, why, _ in CASES]
