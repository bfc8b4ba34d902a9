"""Make the two convolutional example networks and write their ONNX files and logits.

Usage: python3 models/convnets.py [--out DIR]

The convolution filters are random (fixed seed) and the fully connected layers
behind them are trained by mlp.py; see README.md. Data: train.py.
"""

import argparse
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ next to the committed files

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from threadpoolctl import threadpool_limits

import mlp
from train import SEED, accuracy, augment, load_split, raw, upscale

STORED_ROWS = 120  # the rows of fig10_square.test.npy


def filters(outputs, inputs, gain, rng):
    """Random filters [outputs,inputs,5,5] of mean 0: they answer to strokes, not to brightness."""
    w = rng.standard_normal((outputs, inputs, 5, 5))
    w -= w.mean(axis=(2, 3), keepdims=True)
    return (w * gain / np.sqrt((w * w).sum(axis=(1, 2, 3), keepdims=True))).astype(np.float32)


def convolve(x, w, b, stride=1, pad=0):
    """x [n,c,h,w] with w [o,c,5,5] and b [o]: [n,o,h',w']."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(x, (5, 5), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwuv,ocuv->nohw", windows, w, optimize=True) + b[:, None, None]


def pool(x):
    """Largest of each 2x2 block: [n,c,h,w] to [n,c,h/2,w/2]."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))


def in_batches(f, x, size=500):
    """f over x [n,784] as images [n,1,28,28], as flat rows; batches bound the memory."""
    images = x.reshape(-1, 1, 28, 28)
    parts = [f(images[i : i + size]) for i in range(0, len(images), size)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts])


def graph(name, nodes, weights):
    model = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    return helper.make_model(model, producer_name="minionn-models", ir_version=8,
                             opset_imports=[helper.make_opsetid("", 17)])


def fig11_model(conv, layers):
    """Conv 5x5 stride 2 (1 to 5), square, 845-100, square, 100-10."""
    (w1, b1), (w2, b2) = layers
    nodes = [
        helper.make_node("Conv", ["image", "conv.weight", "conv.bias"], ["c"], "conv",
                         kernel_shape=[5, 5], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["c", "c"], ["s"], "square1"),
        helper.make_node("Flatten", ["s"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "fc1.weight", "fc1.bias"], ["h"], "fc1", transB=1),
        helper.make_node("Mul", ["h", "h"], ["q"], "square2"),
        helper.make_node("Gemm", ["q", "fc2.weight", "fc2.bias"], ["logits"], "fc2", transB=1),
    ]
    return graph("fig11_conv_square", nodes, [
        raw("conv.weight", conv[0][0]), raw("conv.bias", conv[0][1]),
        raw("fc1.weight", w1.T), raw("fc1.bias", b1), raw("fc2.weight", w2.T), raw("fc2.bias", b2)])


def fig12_model(conv, layers):
    """Conv 5x5 (1 to 16), ReLU, max-pool 2, conv 5x5 (16 to 16), ReLU, max-pool 2, 256-100, ReLU, 100-10.

    Two forms of the same: ReLU before the first pool and after the second,
    padding by name and by default, Gemm and MatMul with Add.
    """
    (w1, b1), (w2, b2) = layers
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], "conv1", auto_pad="VALID"),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("MaxPool", ["r1"], ["p1"], "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "conv2.weight", "conv2.bias"], ["c2"], "conv2",
                         kernel_shape=[5, 5], dilations=[1, 1], group=1),
        helper.make_node("MaxPool", ["c2"], ["p2"], "pool2", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=0),
        helper.make_node("Relu", ["p2"], ["r2"], "relu2"),
        helper.make_node("Reshape", ["r2", "shape"], ["f"], "flatten"),
        helper.make_node("MatMul", ["f", "fc1.weight"], ["m"], "fc1"),
        helper.make_node("Add", ["m", "fc1.bias"], ["a"], "fc1_bias"),
        helper.make_node("Relu", ["a"], ["r3"], "relu3"),
        helper.make_node("Gemm", ["r3", "fc2.weight", "fc2.bias"], ["logits"], "fc2"),
    ]
    return graph("fig12_conv_relu", nodes, [
        raw("conv1.weight", conv[0][0]), raw("conv1.bias", conv[0][1]),
        raw("conv2.weight", conv[1][0]), raw("conv2.bias", conv[1][1]),
        numpy_helper.from_array(np.array([0, -1], np.int64), "shape"),
        raw("fc1.weight", w1), raw("fc1.bias", b1), raw("fc2.weight", w2), raw("fc2.bias", b2)])


def build(name, out, features, conv, make_model, activation, sizes, settings, data):
    """Train the fully connected layers on features(images), export, check, write the logits."""
    x_aug, t_aug, x_test, t_test = data
    start = time.time()
    inputs = in_batches(features, x_aug)
    layers, loss, iterations = mlp.train(sizes, activation, x=inputs, labels=t_aug, seed=SEED, **settings)
    path = out / f"{name}.onnx"
    onnx.save(make_model(conv, layers), str(path))

    scores = mlp.forward(layers, activation, in_batches(features, x_test))[-1]
    onnx.checker.check_model(str(path), full_check=True)
    evaluator = ReferenceEvaluator(onnx.load(str(path)))
    rows = x_test[:STORED_ROWS].astype(np.float32).reshape(-1, 1, 1, 28, 28)
    logits = np.concatenate([evaluator.run(None, {"image": row})[0] for row in rows])
    np.testing.assert_allclose(logits, scores[:STORED_ROWS], rtol=1e-3, atol=1e-3)
    np.save(out / f"{name}.logits.npy", logits.astype(np.float32))
    print(f"{name}: {iterations} iterations, loss {loss:.4f}, {time.time() - start:.0f} s")
    print(f"  held-out float {accuracy(scores, t_test):.4f} ({len(t_test)} rows)"
          f"  {accuracy(logits, t_test[:STORED_ROWS]):.4f} ({STORED_ROWS} stored rows)")
    print(f"  features: rms {np.sqrt((inputs ** 2).mean()):.3f}, max {np.abs(inputs).max():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent,
                        help="folder for the files (default: the folder of this script)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    x_train, t_train, x_test, t_test = load_split()
    x_aug, t_aug = augment(x_train, t_train)
    data = (upscale(x_aug).astype(np.float32), t_aug, upscale(x_test).astype(np.float32), t_test)

    rng = np.random.default_rng(SEED)
    conv = [(filters(5, 1, 1.0, rng), np.zeros(5, np.float32))]
    build("fig11_conv_square", out, lambda x: convolve(x, *conv[0], stride=2, pad=1) ** 2, conv, fig11_model,
          "square", [845, 100, 10],
          dict(gains=[0.5, 0.5], l2=1e-4, range_penalty=1e-3, max_abs_weight=[0.3, 1.0], max_iter=60), data)

    rng = np.random.default_rng(SEED)
    conv2 = [(filters(16, 1, 1.0, rng), np.zeros(16, np.float32)), (filters(16, 16, 1.0, rng), np.zeros(16, np.float32))]

    def features(x):
        first = pool(np.maximum(convolve(x, *conv2[0]), 0))
        return pool(np.maximum(convolve(first, *conv2[1]), 0))

    build("fig12_conv_relu", out, features, conv2, fig12_model,
          "relu", [256, 100, 10],
          dict(gains=[1.0, 1.0], l2=1e-4, range_penalty=1e-4, max_abs_weight=[0.5, 1.0], max_iter=120), data)


if __name__ == "__main__":
    # One BLAS thread fixes the order of summation, hence the written bytes.
    with threadpool_limits(1):
        main()
