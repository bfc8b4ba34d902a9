"""Cases by kind: what moves elements, functions of one tensor, normalisations, choices, attention.

make.py registers them; `case` and the arrays are its own.
"""

import numpy as np

PICTURE = (1, 2, 6, 6)


def ints(*values):
    return np.array(values, np.int64)


def floats(*values):
    return np.array(values, np.float32)


def scalar(value):
    return np.array(value, np.float32)


def small(g, x, channels=3):
    """A convolution in front, so that what is moved is computed."""
    return g.conv(x, channels, 3, 3)


def register(case):
    moves(case)
    resizes(case)
    transposed(case)
    products(case)
    functions(case)
    norms(case)
    choices(case)
    constants(case)


def moves(case):
    def depth(mode):
        return lambda g, x: g("DepthToSpace", g.conv(x, 8, 3, 3), blocksize=2, mode=mode)

    case("DepthToSpace", shape=PICTURE, name="depth_to_space")(depth("DCR"))
    case("DepthToSpace", opset=11, shape=PICTURE, name="depth_to_space_crd")(depth("CRD"))
    case("SpaceToDepth", shape=PICTURE, name="space_to_depth")(
        lambda g, x: g("SpaceToDepth", small(g, x), blocksize=2))
    for mode, opset in [("reflect", 11), ("edge", 13), ("wrap", 19)]:
        case("Pad", opset=opset, shape=PICTURE, name=f"pad_{mode}")(
            lambda g, x, mode=mode: g("Pad", small(g, x), ints(0, 0, 1, 2, 0, 0, 2, 1), mode=mode))
    case("Tile", shape=PICTURE, name="tile")(
        lambda g, x: g("Tile", small(g, x), ints(1, 2, 1, 3)))
    case("GatherND", shape=PICTURE, name="gather_nd")(
        lambda g, x: g("GatherND", small(g, x), np.array([[0, 1, 2], [0, 0, 3], [0, 2, -1]])))
    case("GatherND", shape=(2, 3, 4), name="gather_nd_batch")(
        lambda g, x: g("GatherND", g.matmul(x, 4), np.array([[1], [2]]), batch_dims=1))
    case("GatherElements", shape=(3, 5), name="gather_elements")(
        lambda g, x: g("GatherElements", g.matmul(x, 5), np.array([[0, 4, -1], [2, 2, 1]]), axis=1))
    case("Gather", shape=(4, 6), name="gather_shuffled")(
        lambda g, x: g("Gather", g.matmul(x, 6), np.array([[3, 0], [5, 5], [1, -2]]), axis=1))
    case("ScatterND", opset=16, shape=(4, 6), name="scatter_nd")(
        lambda g, x: g("ScatterND", g.matmul(x, 6), np.array([[2], [0]]), g("Slice", x, ints(0), ints(2))))
    case("ScatterElements", opset=13, shape=(3, 5), name="scatter_elements")(
        lambda g, x: g("ScatterElements", g.matmul(x, 5), np.array([[1, 0, 2, 0, 1]]), g.random(1, 5), axis=0))
    case("Trilu", opset=14, shape=(1, 4, 5), name="trilu_upper")(
        lambda g, x: g("Trilu", g.matmul(x, 5), np.array(1)))
    case("Trilu", opset=14, shape=(1, 4, 5), name="trilu_lower")(
        lambda g, x: g("Trilu", g.matmul(x, 5), upper=0))
    case("Compress", shape=(3, 5), name="compress")(
        lambda g, x: g("Compress", g.matmul(x, 5), np.array([True, False, True, True]), axis=1))
    case("ReverseSequence", shape=(4, 3, 2), name="reverse_sequence")(
        lambda g, x: g("ReverseSequence", g.matmul(x, 2), ints(3, 1, 4), time_axis=0, batch_axis=1))
    case("Slice", shape=PICTURE, name="flip")(
        lambda g, x: g("Slice", small(g, x), ints(-1, -1), ints(-100, -100), ints(2, 3), ints(-1, -1)))
    for name, attributes in [("", {}), ("_exclusive", {"exclusive": 1}), ("_reverse", {"reverse": 1}),
                             ("_both", {"exclusive": 1, "reverse": 1})]:
        case("CumSum", shape=(3, 5), name=f"cumsum{name}")(
            lambda g, x, attributes=attributes: g("CumSum", g.matmul(x, 5), np.array(1), **attributes))


def resizes(case):
    empty = np.array([], np.float32)

    def resize(name, scales=None, sizes=None, opset=13, **attributes):
        more = [floats(*scales)] if sizes is None else [empty, ints(*sizes)]
        case("Resize", opset=opset, shape=PICTURE, name=name)(
            lambda g, x: g("Resize", small(g, x), empty, *more, **attributes))

    half = {"coordinate_transformation_mode": "half_pixel"}
    corners = {"coordinate_transformation_mode": "align_corners"}
    plain = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    resize("resize_nearest", (1, 1, 2, 2), mode="nearest", **plain)
    resize("resize_nearest_uneven", sizes=(1, 3, 7, 9), mode="nearest", **half)
    resize("resize_nearest_down", sizes=(1, 3, 3, 2), mode="nearest", nearest_mode="ceil", opset=11, **half)
    resize("resize_linear", (1, 1, 2, 2), mode="linear", **half)
    resize("resize_linear_corners", sizes=(1, 3, 7, 7), mode="linear", **corners)
    resize("resize_linear_uneven", sizes=(1, 3, 7, 5), mode="linear", **half)
    resize("resize_cubic", (1, 1, 2, 2), mode="cubic", opset=18, **half)
    resize("resize_antialias", sizes=(1, 3, 2, 2), mode="linear", antialias=1, opset=18, **half)
    case("Upsample", opset=9, shape=PICTURE, name="upsample")(
        lambda g, x: g("Upsample", small(g, x), floats(1, 1, 2, 3)))
    case("Upsample", opset=7, shape=PICTURE, name="upsample_attribute")(
        lambda g, x: g("Upsample", small(g, x), scales=[1.0, 1.0, 2.0, 2.0], mode="nearest"))


def transposed(case):
    def layer(name, outputs=2, kernel=(3, 3), group=1, shape=PICTURE, opset=13, bias=True, **attributes):
        @case("ConvTranspose", opset=opset, shape=shape, name=name)
        def build(g, x):
            channels = shape[1]
            weights = [g.random(channels, outputs // group, *kernel, fan=channels * np.prod(kernel), gain=1.5)]
            if bias:
                weights.append(g.random(outputs, gain=0.2))
            return g("ConvTranspose", x, *weights, group=group, **attributes)

    layer("conv_transpose", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    layer("conv_transpose_plain", kernel=(2, 3), bias=False)
    layer("conv_transpose_groups", outputs=4, group=2, strides=[3, 2])
    layer("conv_transpose_dilated", strides=[2, 3], dilations=[2, 1], pads=[0, 1, 2, 1], opset=11)
    layer("conv_transpose_far", kernel=(1, 2), strides=[3, 3])
    layer("conv_transpose_shape", strides=[2, 2], output_shape=[13, 12])
    layer("conv_transpose_same", strides=[2, 2], auto_pad="SAME_UPPER")
    layer("conv_transpose_1d", kernel=(4,), shape=(1, 3, 7), strides=[2], pads=[1, 1])


def products(case):
    def two(g, x):
        return g("Reshape", g.dense(x, 12), ints(1, 3, 4)), g("Reshape", g.dense(x, 8), ints(1, 4, 2))

    case("MatMul", name="matmul_computed")(lambda g, x: g("MatMul", *two(g, x)))
    case("MatMul", shape=(2, 3, 4), name="matmul_computed_batch")(
        lambda g, x: g("MatMul", g.matmul(x, 4), g("Transpose", g.matmul(x, 4), perm=[0, 2, 1])))
    case("Gemm", shape=(3, 4), name="gemm_computed")(
        lambda g, x: g("Gemm", g.matmul(x, 4), g.matmul(x, 4), g.random(3, gain=0.5), transB=1, alpha=0.5))

    def einsum(name, equation, shape, *weights, opset=13):
        @case("Einsum", opset=opset, shape=shape, name=name)
        def build(g, x):
            return g("Einsum", g.matmul(x, shape[-1]), *[g.random(*w) for w in weights], equation=equation)

    einsum("einsum_linear", "bi, oi -> bo", (2, 6), (4, 6))
    einsum("einsum_dots", "...i,ij", (2, 3, 4), (4, 5))
    einsum("einsum_batch", "bhi,hij->bjh", (2, 3, 4), (3, 4, 2), opset=12)
    einsum("einsum_outer", "bi,j->bij", (1, 4), (3,))
    einsum("einsum_sums", "bij,ik->jb", (2, 3, 4), (3, 2))
    einsum("einsum_diagonal", "bii->ib", (2, 3, 3))
    case("Einsum", shape=(1, 2, 3, 4), name="einsum_computed")(
        lambda g, x: g("Einsum", g.matmul(x, 4), g.matmul(x, 4), equation="bhqd,bhkd->bhqk"))


def functions(case):
    def f(name, build, op, opset=13, limits=(-3.0, 3.0)):
        case(op, opset=opset, shape=(1, 12), range=limits, name=f"function_{name}")(build)

    def one(op, opset=13, limits=(-3.0, 3.0), **attributes):
        f(op.lower(), lambda g, x: g(op, x, **attributes), op, opset, limits)

    positive = (0.3, 4.0)
    for op in ["Exp", "Sin", "Cos", "Atan", "Sinh", "Asinh", "Tan"]:
        one(op, limits=(-1.2, 1.2) if op in ("Sinh", "Tan") else (-2.0, 2.0))
    for op in ["Log", "Sqrt", "Reciprocal"]:
        one(op, limits=positive)
    one("Mish", opset=18)
    one("ThresholdedRelu", opset=10, alpha=0.0)
    one("Shrink", opset=9, lambd=1.0, bias=1.0)
    f("mish_spelled", lambda g, x: g("Mul", x, g("Tanh", g("Softplus", x))), "Mul")
    f("mish_by_logs", lambda g, x: g("Mul", g("Tanh", g("Log", g("Add", g("Exp", x), scalar(1)))), x), "Mul")
    f("sigmoid", lambda g, x: g("Reciprocal", g("Add", g("Exp", g("Neg", x)), scalar(1))), "Reciprocal")
    f("silu", lambda g, x: g("Div", x, g("Add", scalar(1), g("Exp", g("Neg", x)))), "Div")
    f("quick_gelu", lambda g, x: g("Mul", x, g("Sigmoid", g("Mul", x, scalar(1.702)))), "Mul")
    f("softsign", lambda g, x: g("Div", x, g("Add", scalar(1), g("Abs", x))), "Div")
    f("log_sigmoid", lambda g, x: g("Log", g("Sigmoid", x)), "Log")
    f("log_sigmoid_softplus", lambda g, x: g("Neg", g("Softplus", g("Neg", x))), "Softplus")
    f("tanhshrink", lambda g, x: g("Sub", x, g("Tanh", x)), "Sub")
    f("root", lambda g, x: g("Sqrt", g("Add", g("Mul", x, x), scalar(1))), "Sqrt")
    f("power", lambda g, x: g("Pow", x, scalar(1.5)), "Pow", limits=positive)
    f("power_of_two", lambda g, x: g("Pow", scalar(2), x), "Pow")
    f("one_over", lambda g, x: g("Div", scalar(2), x), "Div", limits=(0.5, 3.0))
    f("bump", lambda g, x: g("Exp", g("Neg", g("Mul", x, x))), "Exp")
    f("elu_where", lambda g, x: g("Where", g("Greater", x, scalar(0)), x,
                                  g("Sub", g("Exp", x), scalar(1))), "Where")
    f("shifted_tail", lambda g, x: g("Sub", g("Softplus", g("Add", x, scalar(1))),
                                     g("Mul", g("Sigmoid", x), scalar(2))), "Softplus")


def norms(case):
    def weights(g, *shape):
        return g.rng.uniform(0.5, 1.5, shape).astype(np.float32), g.random(*shape, gain=0.3)

    case("LayerNormalization", opset=17, shape=(1, 12), name="layer_norm")(
        lambda g, x: g("LayerNormalization", g.dense(x, 10), *weights(g, 10)))
    case("LayerNormalization", opset=17, shape=(1, 3, 6), name="layer_norm_rows")(
        lambda g, x: g("LayerNormalization", g.matmul(x, 6), weights(g, 6)[0], axis=-1, epsilon=1e-3))
    case("GroupNormalization", opset=21, shape=PICTURE, name="group_norm")(
        lambda g, x: g("GroupNormalization", g.conv(x, 4, 3, 3), *weights(g, 4), num_groups=2))
    case("InstanceNormalization", shape=PICTURE, name="instance_norm")(
        lambda g, x: g("InstanceNormalization", small(g, x), *weights(g, 3)))
    case("MeanVarianceNormalization", shape=PICTURE, name="mean_variance_norm")(
        lambda g, x: g("MeanVarianceNormalization", small(g, x), axes=[0, 2, 3]))
    case("LpNormalization", shape=(1, 8), name="lp_norm_1")(
        lambda g, x: g("LpNormalization", g.dense(x, 6), axis=1, p=1))
    case("LpNormalization", shape=(1, 8), name="lp_norm_2")(
        lambda g, x: g("LpNormalization", g.dense(x, 6)))
    case("LRN", shape=(1, 3, 4, 4), name="lrn")(
        lambda g, x: g("LRN", g.conv(x, 5, 1, 1), size=3, alpha=0.5, beta=0.75, bias=1.0))

    @case("Div", opset=13, shape=(1, 12), name="layer_norm_spelled")
    def layer_norm_spelled(g, x):
        y = g.dense(x, 10)
        y = g("Sub", y, g("ReduceMean", y, axes=[-1]))
        variance = g("ReduceMean", g("Pow", y, scalar(2)), axes=[-1])
        y = g("Div", y, g("Sqrt", g("Add", variance, scalar(1e-5))))
        return g("Add", g("Mul", y, weights(g, 10)[0]), weights(g, 10)[1])

    @case("Div", opset=13, shape=(1, 12), name="l2_spelled")
    def l2_spelled(g, x):
        y = g.dense(x, 6)
        norm = g("Clip", g("ReduceL2", y, axes=[1]), scalar(1e-12))
        return g("Div", y, g("Expand", norm, ints(1, 6)))

    for op, opset in [("ReduceL1", 13), ("ReduceL2", 18), ("ReduceSumSquare", 13), ("ReduceLogSumExp", 11)]:
        case(op, opset=opset, shape=(3, 4), name=op.lower())(
            lambda g, x, op=op, opset=opset: g(op, g.matmul(x, 4), ints(1)) if opset == 18
            else g(op, g.matmul(x, 4), axes=[1], keepdims=0))
    case("ReduceProd", shape=(3, 3), name="reduceprod")(
        lambda g, x: g("ReduceProd", g.matmul(x, 3), axes=[1]))
    case("Softmax", shape=(1, 6), name="softmax_inside", note="probabilities are computed with")(
        lambda g, x: g.dense(g("Softmax", g.dense(x, 5)), 4))
    case("Div", shape=(1, 6), range=(0.2, 1.0), name="divide")(
        lambda g, x: g("Div", g.dense(x, 4), g("Add", g("Relu", g.dense(x, 4)), scalar(1))))
    case("MatMul", opset=17, shape=(1, 4, 6), name="attention")(
        lambda g, x: attention(g, x, np.where(np.tri(4) > 0, 0, -np.inf).astype(np.float32)))
    case("MatMul", opset=17, shape=(1, 4, 6), name="attention_without_mask")(lambda g, x: attention(g, x))


def attention(g, x, mask=None):
    """One head: queries, keys and values of a sequence of 4."""
    q, k, v = [g.matmul(x, 6) for _ in range(3)]
    scores = g("Div", g("MatMul", q, g("Transpose", k, perm=[0, 2, 1])), scalar(6 ** 0.5))
    if mask is not None:
        scores = g("Add", scores, mask)
    return g.matmul(g("MatMul", g("Softmax", scores, axis=-1), v), 4)


def choices(case):
    def f(name, build, op="Where", opset=16):
        case(op, opset=opset, shape=(1, 12), range=(-2.0, 2.0), name=name)(build)

    zero = scalar(0)
    f("where_leaky", lambda g, x: g("Where", g("Greater", x, zero), x, g("Mul", x, scalar(0.2))))
    f("where_steep", lambda g, x: g("Where", g("Less", x, scalar(0.5)), g("Mul", x, scalar(-0.5)),
                                    g("Add", g("Mul", x, scalar(2)), scalar(-1.25))))
    f("where_relu", lambda g, x: g("Where", g("GreaterOrEqual", x, zero), x, zero))
    f("where_mask", lambda g, x: g("Where", np.arange(12) % 3 == 0, g.matmul(x, 12), scalar(0.5)))
    f("where_two", lambda g, x: g("Where", g("Greater", g("Slice", x, ints(0), ints(4), ints(1)), scalar(3)),
                                  g.matmul(x, 4), g.matmul(x, 4)))
    f("max_of_chains", lambda g, x: g("Max", g("Mul", x, scalar(0.5)), g("Neg", x)), "Max")
    f("sign", lambda g, x: g("Mul", g("Add", g("Sign", g("Add", x, scalar(9))), scalar(1)), g.matmul(x, 12)), "Sign")
    f("top_1", lambda g, x: g("TopK", g.dense(x, 5), ints(1), outputs=2)[0], "TopK")
    f("top_3", lambda g, x: g("TopK", g.dense(x, 7), ints(3), outputs=2)[0], "TopK")
    f("least_2_of_rows", lambda g, x: g("TopK", g("Reshape", g.dense(x, 12), ints(3, 4)), ints(2), largest=0,
                                        outputs=2)[0], "TopK", 11)

    def truth(name, build, opset=13):
        f(name, lambda g, x: g("Mul", g("Cast", build(g, x), to=1), g.matmul(x, 12)), "Greater", opset)

    # Far from every input, as what is compared is rounded.
    high, low = scalar(9), scalar(-9)
    truth("truth_and", lambda g, x: g("And", g("Greater", x, low), g("Less", x, high)))
    truth("truth_or", lambda g, x: g("Or", g("Greater", x, high), g("Not", g("Less", x, low))))
    truth("truth_xor", lambda g, x: g("Xor", g("GreaterOrEqual", x, low), g("LessOrEqual", x, low)))


def constants(case):
    """What exporters leave to compute of constants."""
    @case("Range", opset=17, shape=(1, 8), name="constants")
    def of_constants(g, x):
        y = g.dense(x, 8)
        span = g("Range", np.array(0), g("Gather", g("Shape", y), np.array(1)), np.array(1))
        even = g("Cast", g("Equal", g("Mod", span, np.array(2)), np.array(0)), to=1)
        scale = g("Where", g("Cast", even, to=9), scalar(1.5), scalar(-0.5))
        norm = g("ReduceL2", g.random(8, 8), axes=[1], keepdims=0)
        weights = g("Div", g.random(8, 8), g("Unsqueeze", norm, ints(1)))
        product = g("MatMul", weights, g("Transpose", weights, perm=[1, 0]))
        mask = g("Trilu", g("ConstantOfShape", ints(8, 8), value=one()), upper=0)
        y = g("MatMul", y, g("Mul", product, mask))
        total = g("Cast", g("ReduceProd", ints(2, 2), keepdims=0), to=1)
        bias = g("Softmax", g("Sin", g("CumSum", g("Tile", floats(0.3, -0.2), ints(4)), np.array(0))), axis=0)
        return g("Add", g("Div", g("Mul", y, scale), total), bias)


def one():
    from onnx import numpy_helper
    return numpy_helper.from_array(floats(1))
