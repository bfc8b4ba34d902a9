"""Turn ONNX's own tests of single nodes into graphs with one input.

Usage: python3 host/tests/graphs/backend.py [--out DIR]

The tests come with the onnx package (Apache-2.0). Taken are those of the
operators below with float32 data. The first input stays; every other one, be
it weights, axes or a second operand, becomes an initializer with the value of
the test. Only the first output stays. Writes NAME.onnx, NAME.x.npy and
NAME.y.npy (float32, one row each) to the folder backend, and backend.json.
See README.md.
"""

import argparse
import sys
import warnings
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ next to the committed files

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

from archive import Archive
from make import run, write_index

OPERATORS = set("""
    Abs Acos Acosh Add ArgMax Asin Asinh Atan Atanh AveragePool BatchNormalization Celu Clip Compress Concat Conv
    ConvTranspose Cos Cosh DepthToSpace Div Dropout Elu Erf Exp Expand Flatten GRU Gather GatherElements
    GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool GroupNormalization HardSigmoid HardSwish
    Identity InstanceNormalization LRN LSTM LayerNormalization LeakyRelu Log LogSoftmax LpNormalization
    MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mul Neg PRelu Pad Pow RMSNormalization RNN Reciprocal
    ReduceL1 ReduceL2 ReduceLogSum ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
    Relu Reshape Resize ReverseSequence ScatterElements ScatterND Selu Shrink Sigmoid Sign Sin Sinh Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu
    Unsqueeze Upsample
""".split())
LARGEST = 20_000  # values of a tensor
NEWEST_OPSET = 25  # of what is released; Celu's test names a later one


def arrays(test):
    """Inputs and outputs of the test, or None if some are sequences or absent."""
    parts = [[np.asarray(a) if isinstance(a, np.generic) else a for a in part] for part in test.data_sets[0]]
    return parts if all(isinstance(a, np.ndarray) for part in parts for a in part) else None


def unfit(test):
    """Why a test of one of OPERATORS cannot be used, or None."""
    node = test.model.graph.node[0]
    if arrays(test) is None:
        return "sequences or absent values"
    inputs, outputs = arrays(test)
    if test.name == "test_acosh_example":
        return "infinitely steep at one of its inputs, which are rounded"
    if test.name in ("test_softmax_large_number", "test_logsoftmax_large_number"):
        return "differences of a ten-thousandth of the inputs, which are rounded"
    if not node.input[0]:
        return "the first input is absent"
    if inputs[0].dtype != np.float32 or outputs[0].dtype not in (np.float32, np.int64):
        return "not float32"
    if max(a.size for a in inputs + outputs) > LARGEST:
        return "too large"
    if inputs[0].size == 0 or outputs[0].size == 0:
        return "no values"
    if not all(np.isfinite(a).all() for a in [inputs[0], outputs[0]]):
        return "not finite"
    if node.op_type in ("Dropout", "BatchNormalization") and len(outputs) > 1 + (node.op_type == "Dropout"):
        return "training mode"
    if node.op_type == "BatchNormalization" and any(a.name == "training_mode" and a.i for a in node.attribute):
        return "training mode"
    if node.op_type == "Dropout" and len(inputs) > 2 and inputs[2].any():
        return "training mode"
    return None


def rewrite(test):
    """The test's model with one input and one output."""
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    graph = model.graph
    inputs, outputs = arrays(test)
    graph.initializer.extend(numpy_helper.from_array(a, v.name) for a, v in list(zip(inputs, graph.input))[1:])
    kind = helper.np_dtype_to_tensor_dtype(outputs[0].dtype)
    values = [helper.make_tensor_value_info(graph.input[0].name, TensorProto.FLOAT, inputs[0].shape),
              helper.make_tensor_value_info(graph.output[0].name, kind, outputs[0].shape)]
    for field, value in zip([graph.input, graph.output], values):
        del field[:]
        field.append(value)
    model.producer_name = "onnx backend test"
    model.opset_import[0].version = min(model.opset_import[0].version, NEWEST_OPSET)
    return model


def agrees(model, x, y):
    """None if onnxruntime computes y from x, otherwise its complaint."""
    try:
        result = run(model, x.shape, [x])[0]
    except Exception:
        return "output of the test alone: onnxruntime does not have this form"
    if result.shape != y.shape or not np.allclose(result, y, rtol=1e-3, atol=1e-5):
        return "onnxruntime differs from the test"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent,
                        help="folder for the files (default: the folder of this script)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")  # some tests of other operators overflow on purpose
    onnxruntime.set_default_logger_severity(4)

    lines, skipped, archive = [], {}, Archive(out / "backend.tar")
    for test in sorted(load_model_tests(kind="node"), key=lambda t: t.name):
        nodes = test.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in OPERATORS or test.name.endswith("_expanded"):
            continue
        reason = unfit(test)
        if reason is None:
            x, y = [part[0] for part in arrays(test)]
            model = rewrite(test)
            try:
                onnx.checker.check_model(model)
            except onnx.checker.ValidationError:
                skipped.setdefault("not valid", []).append(test.name)
                continue
            complaint = agrees(model, x, y)
        if reason:
            skipped.setdefault(reason, []).append(test.name)
            continue
        name = test.name.removeprefix("test_")
        archive.add(f"{name}.onnx", model)
        archive.add(f"{name}.x.npy", x.reshape(1, -1))
        archive.add(f"{name}.y.npy", y.reshape(1, -1).astype(np.float32))
        low, high = np.floor(x.min() * 8) / 8, np.ceil(x.max() * 8) / 8
        line = {"name": name, "op": nodes[0].op_type, "input_range": [float(low), float(high)],
                "opset": model.opset_import[0].version}
        lines.append(line | ({"tolerance_note": complaint} if complaint else {}))
    archive.write()
    write_index(out / "backend.json", lines)
    print(f"{len(lines)} tests of {len({l['op'] for l in lines})} operators, {archive.size() / 1e6:.2f} MB")
    for reason, names in skipped.items():
        print(f"  {reason}: {len(names)} ({', '.join(names)})")
    print(f"  operators without test: {OPERATORS - {l['op'] for l in lines}}")


if __name__ == "__main__":
    main()
