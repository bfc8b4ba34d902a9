"""ONNX files of fully connected networks with ReLU, and their committed companions."""

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import narrow
from initializers import raw


def save(path, layers, given, made, argmax=False):
    """Gemm (transB=1) and Relu in turn, at the end ArgMax if wanted. Input `given` float32 [1,in], output `made`."""
    nodes, weights, x = [], [], given
    for i, layer in enumerate(layers, 1):
        last = i == len(layers)
        y = f"fc{i}" if not last else "logits" if argmax else made
        nodes.append(helper.make_node("Gemm", [x, f"fc{i}.weight", f"fc{i}.bias"], [y], f"fc{i}", transB=1))
        weights += [raw(f"fc{i}.weight", layer.w), raw(f"fc{i}.bias", layer.b)]
        x = y
        if not last:
            x = f"relu{i}"
            nodes.append(helper.make_node("Relu", [y], [x], x))
    output = helper.make_tensor_value_info(made, TensorProto.FLOAT, [1, len(layers[-1].b)])
    if argmax:
        nodes.append(helper.make_node("ArgMax", [x], [made], "argmax", axis=1, keepdims=0))
        output = helper.make_tensor_value_info(made, TensorProto.INT64, [1])
    given = helper.make_tensor_value_info(given, TensorProto.FLOAT, [1, layers[0].w.shape[1]])
    model = helper.make_model(helper.make_graph(nodes, path.stem, [given], [output], weights), producer_name="minionn-models",
                              ir_version=7, opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def logits(path, layers, x):
    """What ONNX's reference evaluator makes of x [n,in] before any ArgMax; it must be what numpy makes in float64."""
    model = onnx.load(str(path))
    evaluator, given = ReferenceEvaluator(model), model.graph.input[0].name
    last = [node for node in model.graph.node if node.op_type == "Gemm"][-1].output[0]
    made = np.concatenate([evaluator.run(None, {given: row[None]}, intermediate=True)[last] for row in x])
    wide = [narrow.Layer(l.w.astype(np.float64), l.b.astype(np.float64)) for l in layers]
    expected = narrow.forward(wide, x.astype(np.float64))[-1]
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    return made.astype(np.float32)


def save_rows(path, calibration, test, labels, made):
    """The arrays next to path: calibration rows, held-out rows, their labels and the float network's outputs."""
    for what, array in [("calibrate", calibration), ("test", test), ("labels", labels.astype(np.uint8)), ("logits", made)]:
        np.save(path.with_suffix(f".{what}.npy"), array)


def report(name, integers, seconds, unit=1.0):
    """Prints options of the compiler, for an input in parts of `unit`, and what they lead to."""
    rounding = integers.rounding
    print(f"{name}: {sum(l.w.size for l in integers.layers)} weights, {seconds:.0f} s; --saturate "
          f"--weight-bits {rounding.weight_bits} --activation-bits {rounding.activation_bits} "
          f"--input-range=-{rounding.input_range * unit:g},{rounding.input_range * unit:g}")
    print(f"  rings {integers.rings()}, shifts {integers.shifts}")
