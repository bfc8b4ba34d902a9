"""Figures 10, 11 and 12 of the MiniONN paper, trained on MNIST and written as ONNX files.

The graphs read pixels as they are stored, 0..255. Their first node divides by 255. What training
needs beside the layers, batch normalisation, is folded into the weights, as exporters do it.
"""

import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import layers
import mnist
from initializers import raw, typed
from layers import Conv, Dense, Flatten, Image, MaxPool, Norm, Relu, Square

CALIBRATE_ROWS = 100


def graph(name, nodes, weights, batch="batch"):
    model = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 10])],
        weights,
    )
    return helper.make_model(model, producer_name="minionn-models", ir_version=8,
                             opset_imports=[helper.make_opsetid("", 17)])


def constant(name, value):
    return helper.make_node("Constant", [], [name], f"{name}_const", value=numpy_helper.from_array(value))


def cast(name):
    """Makes the constant `name` of one that is stored in half precision."""
    return helper.make_node("Cast", [f"{name}/half"], [name], f"{name}/Cast", to=TensorProto.FLOAT)


def conv_weight(layer):
    """[out,in,side,side] of a layer's [side·side·in,out]."""
    w = layer.parts[0].reshape(layer.side, layer.side, -1, layer.parts[0].shape[1])
    return w.transpose(3, 2, 0, 1)


def fig10(rng):
    """784-128-128-10 with squares (SecureML)."""
    return [Dense(784, 128, rng), Norm(128, gain=0.5), Square(),
            Dense(128, 128, rng), Norm(128, gain=0.5), Square(), Dense(128, 10, rng)]


def fig10_model(dense1, dense2, dense3):
    """As TensorFlow's exporter writes it, and more forms on purpose.

    Rescaling by Mul, Reshape by a Constant node, MatMul plus Add (bias on either side), Mul(y, y)
    and Pow(y, 2), Gemm with default attributes, one bias in float_data. The kernels of the hidden
    layers are stored in half precision, with Cast nodes, as converters do to save space.
    """
    half = [("dense1/kernel", dense1), ("dense2/kernel", dense2)]
    nodes = [
        *(cast(name) for name, _ in half),
        helper.make_node("Mul", ["image", "rescaling/scale"], ["rescaled"], "rescaling/mul"),
        constant("shape", np.array([1, -1], np.int64)),
        helper.make_node("Reshape", ["rescaled", "shape"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "dense1/kernel"], ["dense1/matmul"], "dense1/MatMul"),
        helper.make_node("Add", ["dense1/matmul", "dense1/bias"], ["y1"], "dense1/Add"),
        helper.make_node("Mul", ["y1", "y1"], ["x1"], "square1"),
        helper.make_node("MatMul", ["x1", "dense2/kernel"], ["dense2/matmul"], "dense2/MatMul"),
        helper.make_node("Add", ["dense2/bias", "dense2/matmul"], ["y2"], "dense2/Add"),
        constant("two", np.array(2.0, np.float32)),
        helper.make_node("Pow", ["y2", "two"], ["x2"], "square2"),
        helper.make_node("Gemm", ["x2", "dense3/kernel", "dense3/bias"], ["logits"], "dense3"),
    ]
    return graph("fig10_square", nodes, [
        raw("rescaling/scale", np.array(1 / 255, np.float32)),
        *(raw(f"{name}/half", layer.parts[0].astype(np.float16)) for name, layer in half),
        raw("dense1/bias", dense1.parts[1]), typed("dense2/bias", dense2.parts[1]),
        raw("dense3/kernel", dense3.parts[0]), raw("dense3/bias", dense3.parts[1])], batch=1)


def fig11(rng):
    """Conv 5x5 stride 2 (1 to 5), square, 845-100, square, 100-10 (CryptoNets, its pools and second convolution as one
    layer, as they are in both papers)."""
    return [Image(), Conv(5, 1, 5, rng, stride=2, pad=1), Norm(5, gain=0.5), Square(), Flatten(),
            Dense(845, 100, rng), Norm(100, gain=0.5), Square(), Dense(100, 10, rng)]


def fig11_model(conv, fc1, fc2):
    """As PyTorch's exporter writes it: Div by a Constant node, Conv with pads, Mul(y, y), Flatten, Gemm (transB=1). The
    largest layer's weights are in half precision."""
    nodes = [
        cast("fc1.weight"),
        constant("divisor", np.array(255.0, np.float32)),
        helper.make_node("Div", ["image", "divisor"], ["scaled"], "/Div"),
        helper.make_node("Conv", ["scaled", "conv.weight", "conv.bias"], ["c"], "/conv/Conv",
                         kernel_shape=[5, 5], strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1], group=1),
        helper.make_node("Mul", ["c", "c"], ["s"], "/Mul"),
        helper.make_node("Flatten", ["s"], ["f"], "/Flatten", axis=1),
        helper.make_node("Gemm", ["f", "fc1.weight", "fc1.bias"], ["h"], "/fc1/Gemm", alpha=1.0, beta=1.0, transB=1),
        helper.make_node("Mul", ["h", "h"], ["q"], "/Mul_1"),
        helper.make_node("Gemm", ["q", "fc2.weight", "fc2.bias"], ["logits"], "/fc2/Gemm", alpha=1.0, beta=1.0, transB=1),
    ]
    return graph("fig11_conv_square", nodes, [
        raw("conv.weight", conv_weight(conv)), raw("conv.bias", conv.parts[1]),
        raw("fc1.weight/half", fc1.parts[0].T.astype(np.float16)), raw("fc1.bias", fc1.parts[1]),
        raw("fc2.weight", fc2.parts[0].T), raw("fc2.bias", fc2.parts[1])])


def fig12(rng):
    """Conv 5x5 (1 to 16), ReLU, max-pool 2, conv 5x5 (16 to 16), ReLU, max-pool 2, 256-100, ReLU, 100-10 (MiniONN)."""
    return [Image(), Conv(5, 1, 16, rng), Norm(16), Relu(), MaxPool(), Conv(5, 16, 16, rng), Norm(16), MaxPool(), Relu(),
            Flatten(), Dense(256, 100, rng), Norm(100), Relu(), Dense(100, 10, rng)]


def fig12_model(conv1, conv2, fc1, fc2):
    """Two forms of the same: ReLU before the first pool and after the second, padding by name and by default, Gemm and
    MatMul with Add; Reshape [0, -1]."""
    nodes = [
        helper.make_node("Div", ["image", "divisor"], ["scaled"], "div"),
        helper.make_node("Conv", ["scaled", "conv1.weight", "conv1.bias"], ["c1"], "conv1", auto_pad="VALID"),
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
        raw("divisor", np.array(255.0, np.float32)), raw("conv1.weight", conv_weight(conv1)), raw("conv1.bias", conv1.parts[1]),
        raw("conv2.weight", conv_weight(conv2)), raw("conv2.bias", conv2.parts[1]),
        raw("shape", np.array([0, -1], np.int64)), raw("fc1.weight", fc1.parts[0]), raw("fc1.bias", fc1.parts[1]),
        raw("fc2.weight", fc2.parts[0]), raw("fc2.bias", fc2.parts[1])])


def train_fig10(net, x, labels, rng):
    """L-BFGS on the images and warped copies of them, as many as 9000 images need."""
    copies = max(1, 108_000 // len(x))
    x = np.concatenate([x] + [mnist.warp(x, rng) for _ in range(copies)])
    return layers.lbfgs(net, x, np.tile(labels, copies + 1), decay=5e-3, iterations=40)


def train_fig11(net, x, labels, rng):
    return layers.adam(net, x, labels, mnist.warp, rng, epochs=40, rate=3e-3, decay=3e-2)


def train_fig12(net, x, labels, rng):
    return layers.adam(net, x, labels, mnist.warp, rng, epochs=25, rate=3e-3, decay=1e-2)


NETWORKS = {
    "fig10_square": (fig10, train_fig10, fig10_model),
    "fig11_conv_square": (fig11, train_fig11, fig11_model),
    "fig12_conv_relu": (fig12, train_fig12, fig12_model),
}


def check_gradients(seed):
    """Every kind of layer, in a small network, against finite differences."""
    rng = np.random.default_rng(seed)
    net = [Image(), Conv(5, 1, 3, rng, stride=2, pad=1), Norm(3), Square(), Conv(3, 3, 4, rng), MaxPool(), Norm(4),
           Relu(), Flatten(), Dense(16, 6, rng), Norm(6), Square(), Dense(6, 3, rng)]
    error = layers.gradient_error(net, rng.random((5, 14 * 14)), rng.integers(0, 3, 5), rng)
    assert error < 1e-5, error


def logits(path, net, pixels):
    """What ONNX's reference evaluator makes of pixels uint8 [n,784]; it must be near what `layers` make (weights may be
    stored in half precision)."""
    onnx.checker.check_model(str(path), full_check=True)
    evaluator = ReferenceEvaluator(onnx.load(str(path)))
    made = np.concatenate([evaluator.run(None, {"image": row.reshape(1, 1, 28, 28).astype(np.float32)})[0] for row in pixels])
    expected = layers.predict(net, pixels / np.float32(255))
    np.testing.assert_allclose(made, expected, rtol=0, atol=3e-3 * np.abs(expected).max())
    return made.astype(np.float32)


def accuracy(scores, labels):
    return float((scores.argmax(axis=1) == labels).mean())


def build(folder, out, seed, names):
    """Train and write the networks of these names, and the samples that they share."""
    check_gradients(seed)
    pixels, labels, test, test_labels = mnist.load(folder, seed)
    rows = np.random.default_rng(seed).choice(len(pixels), CALIBRATE_ROWS, replace=False)
    np.save(out / "mnist.calibrate.npy", pixels[rows])
    np.save(out / "mnist.test.npy", test)
    np.save(out / "mnist.labels.npy", test_labels.astype(np.uint8))
    x = pixels / np.float32(255)
    for name in names:
        make, train, model = NETWORKS[name]
        rng, start = np.random.default_rng(seed), time.time()
        net = make(rng)
        loss = train(net, x, labels, rng)
        seconds = time.time() - start
        net = layers.folded(net)
        path = out / f"{name}.onnx"
        onnx.save(model(*layers.trained(net)), str(path))
        made = logits(path, net, test)
        np.save(out / f"{name}.logits.npy", made)
        print(f"{name}: {len(x)} digits, loss {loss:.4f}, {seconds:.0f} s; right: training "
              f"{accuracy(layers.predict(net, x), labels):.4f}, held out {accuracy(made, test_labels):.4f} of {len(test)}", flush=True)
