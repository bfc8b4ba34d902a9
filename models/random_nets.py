"""Write two networks of the MiniONN paper with random weights: Figures 13 and 14.

Usage: python3 models/random_nets.py [--out DIR]
       python3 models/random_nets.py --fig14 FILE [--vocabulary N] [--hidden N] [--int8]

They show cost, not accuracy: nothing is trained. The first form writes
fig13_cifar and a small Figure 14, fig14_lstm_small. The second writes Figure 14
of any size, with its inputs next to it; the paper's (the default) has 4.3
million weights, too many to keep here. See README.md.
"""

import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ next to the committed files

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SEED = 0
CALIBRATE_ROWS = 8
TEST_ROWS = 2


def half(array):
    """float32, rounded to values that float16 has: fewer digits, smaller archives."""
    return np.asarray(array).astype(np.float16).astype(np.float32)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def save_model(path, nodes, weights, inputs, outputs):
    graph = helper.make_graph(
        nodes, path.stem,
        [helper.make_tensor_value_info(inputs[0], TensorProto.FLOAT, inputs[1])],
        [helper.make_tensor_value_info(outputs[0], TensorProto.FLOAT, outputs[1])], weights)
    model = helper.make_model(graph, producer_name="minionn-models", ir_version=7,
                              opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def save_rows(path, shape, rows):
    """Write calibration rows, test rows and the logits of the test rows next to path."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # fixes the order of summation
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = rows.astype(np.float32)
    logits = np.stack([session.run(None, {name: row.reshape(shape)})[0].ravel() for row in rows])
    np.save(path.with_suffix(".calibrate.npy"), rows[:CALIBRATE_ROWS])
    np.save(path.with_suffix(".test.npy"), rows[CALIBRATE_ROWS:])
    np.save(path.with_suffix(".logits.npy"), logits[CALIBRATE_ROWS:].astype(np.float32))
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB, logits rms {np.sqrt((logits ** 2).mean()):.3f}, "
          f"max {np.abs(logits).max():.3f}")
    return logits


# Figure 13.

# (kernel, output channels); None is mean-pooling by 2.
FIG13 = [(3, 64), (3, 64), None, (3, 64), (3, 64), None, (3, 64), (1, 64), (1, 16)]


def smooth_images(count, rng):
    """Colour images [count,3*32*32] in 0..1: random 5x5 fields, enlarged by cosine waves."""
    waves = np.cos(np.pi * np.outer(np.arange(32) + 0.5, np.arange(5)) / 32)
    fields = rng.standard_normal((count, 3, 5, 5)) / (1 + np.add.outer(np.arange(5), np.arange(5)))
    images = waves @ fields @ waves.T
    low = images.min(axis=(1, 2, 3), keepdims=True)
    high = images.max(axis=(1, 2, 3), keepdims=True)
    return ((images - low) / (high - low)).reshape(count, -1)


def fig13(path):
    """Seven convolutions with ReLU, two mean-pools, fully connected 1024-10. Input [1,3,32,32]."""
    rng = np.random.default_rng(SEED)
    nodes, weights, y, channels = [], [], "image", 3
    for i, layer in enumerate(FIG13, 1):
        if layer is None:
            nodes.append(helper.make_node("AveragePool", [y], [f"pool{i}"], f"pool{i}",
                                          kernel_shape=[2, 2], strides=[2, 2]))
            y = f"pool{i}"
            continue
        kernel, outputs = layer
        fan = channels * kernel * kernel
        w = rng.standard_normal((outputs, channels, kernel, kernel)) * np.sqrt(2 / fan)
        b = rng.standard_normal(outputs) * 0.05
        weights += [numpy_helper.from_array(half(a), f"conv{i}.{part}") for a, part in [(w, "weight"), (b, "bias")]]
        nodes += [helper.make_node("Conv", [y, f"conv{i}.weight", f"conv{i}.bias"], [f"c{i}"], f"conv{i}",
                                   kernel_shape=[kernel, kernel], auto_pad="SAME_UPPER"),
                  helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"relu{i}")]
        y, channels = f"r{i}", outputs
    w = rng.standard_normal((10, 1024)) * np.sqrt(2 / 1024)
    weights += [numpy_helper.from_array(half(w), "fc.weight"),
                numpy_helper.from_array(half(rng.standard_normal(10) * 0.05), "fc.bias")]
    nodes += [helper.make_node("Flatten", [y], ["flat"], "flatten"),
              helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], "fc", transB=1)]
    save_model(path, nodes, weights, ("image", [1, 3, 32, 32]), ("logits", [1, 10]))
    save_rows(path, (1, 3, 32, 32), smooth_images(CALIBRATE_ROWS + TEST_ROWS, rng))


# Figure 14.

def fig14_weights(vocabulary, hidden, rng):
    """Gates in ONNX's order: input, output, forget, cell."""
    def normal(*shape, fan):
        return (rng.standard_normal(shape) / np.sqrt(fan)).astype(np.float32)

    return {
        "embedding": normal(vocabulary, hidden, fan=1),
        "lstm.w": normal(1, 4 * hidden, hidden, fan=hidden),
        "lstm.r": normal(1, 4 * hidden, hidden, fan=hidden),
        "lstm.b": 0.1 * normal(1, 8 * hidden, fan=1),
        "fc.weight": 2 * normal(hidden, vocabulary, fan=hidden),
        "fc.bias": 0.1 * normal(vocabulary, fan=1),
    }


def fig14_states(w, words):
    """Rows [word one-hot, h, c] seen by an LSTM that reads words one after the other."""
    vocabulary, hidden = w["embedding"].shape
    bias = w["lstm.b"][0, : 4 * hidden] + w["lstm.b"][0, 4 * hidden :]
    h, c, rows = np.zeros(hidden), np.zeros(hidden), []
    for word in words:
        rows.append(np.concatenate([np.eye(1, vocabulary, word)[0], h, c]))
        i, o, f, g = np.split(w["lstm.w"][0] @ w["embedding"][word] + w["lstm.r"][0] @ h + bias, 4)
        i, o, f = (1 / (1 + np.exp(-gate)) for gate in (i, o, f))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
    return np.stack(rows)


def fig14(path, vocabulary, hidden, int8):
    """One step of a language model: embedding, LSTM, fully connected.

    Input [1, vocabulary + 2 hidden]: the word as a one-hot vector, then the
    previous h and c. With int8, matrices are int8 numbers times one scale each
    (DequantizeLinear), a quarter of the size.
    """
    rng = np.random.default_rng(SEED)
    w = fig14_weights(vocabulary, hidden, rng)
    ends = np.cumsum([0, vocabulary, hidden, hidden])
    nodes = [helper.make_node("Slice", ["input", f"{n}.start", f"{n}.end", "axis1"], [n], f"slice_{n}")
             for n in ("word", "h", "c")]
    weights = [ints("axis1", 1), ints("state", 1, 1, hidden), ints("row", 1, hidden)]
    for n, start, end in zip(("word", "h", "c"), ends, ends[1:]):
        weights += [ints(f"{n}.start", start), ints(f"{n}.end", end)]
    for name, array in w.items():
        if not int8 or array.ndim == 1 or name == "lstm.b":
            weights.append(numpy_helper.from_array(half(array), name))
            continue
        step = np.float32(np.abs(array).max() / 127)
        weights += [numpy_helper.from_array(np.round(array / step).astype(np.int8), f"{name}.int8"),
                    numpy_helper.from_array(step, f"{name}.scale")]
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.int8", f"{name}.scale"], [name], f"scale_{name}"))
    nodes += [
        helper.make_node("MatMul", ["word", "embedding"], ["e"], "embed"),
        *[helper.make_node("Reshape", [n, "state"], [f"{n}3"], f"reshape_{n}") for n in ("e", "h", "c")],
        helper.make_node("LSTM", ["e3", "lstm.w", "lstm.r", "lstm.b", "", "h3", "c3"], ["", "next_h"], "lstm",
                         hidden_size=hidden),
        helper.make_node("Reshape", ["next_h", "row"], ["hidden"], "reshape_hidden"),
        helper.make_node("MatMul", ["hidden", "fc.weight"], ["m"], "fc"),
        helper.make_node("Add", ["m", "fc.bias"], ["logits"], "fc_bias"),
    ]
    shape = [1, int(ends[-1])]
    save_model(path, nodes, weights, ("input", shape), ("logits", [1, vocabulary]))
    rows = fig14_states(w, rng.integers(0, vocabulary, CALIBRATE_ROWS + TEST_ROWS))
    logits = save_rows(path, shape, rows)
    expected = (fig14_states(w, [*rows[:, :vocabulary].argmax(axis=1), 0])[1:, vocabulary:-hidden]
                @ w["fc.weight"] + w["fc.bias"])
    print(f"  off the unrounded weights: rms {np.sqrt(((logits - expected) ** 2).mean()):.4f}, "
          f"max {np.abs(logits - expected).max():.4f}, "
          f"same largest logit in {(logits.argmax(1) == expected.argmax(1)).sum()} of {len(rows)} rows")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent,
                        help="folder for the files (default: the folder of this script)")
    parser.add_argument("--fig14", type=Path, metavar="FILE", help="write only Figure 14, as FILE (.onnx)")
    parser.add_argument("--vocabulary", type=int, default=10000, help="words of --fig14 (default: 10000)")
    parser.add_argument("--hidden", type=int, default=200, help="hidden size of --fig14 (default: 200)")
    parser.add_argument("--int8", action="store_true", help="matrices of --fig14 as int8 with one scale each")
    options = parser.parse_args()
    if options.fig14:
        fig14(options.fig14, options.vocabulary, options.hidden, options.int8)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    fig13(options.out / "fig13_cifar.onnx")
    fig14(options.out / "fig14_lstm_small.onnx", 200, 32, False)


if __name__ == "__main__":
    main()
