"""Networks in numpy: layers with gradients, trained by L-BFGS or by Adam.

Images are [n, height, width, channels] between layers. A layer has `parts`, its trained arrays, and
`grads`, their gradients after `backward`. `forward(x, True)` is for training, `forward(x, False)`
for everything after.
"""

import numpy as np
from scipy.optimize import minimize


class Layer:
    parts, grads = (), ()


class Dense(Layer):
    """y = x·w + b, w [in,out]; `gain` is the spread of y for inputs of spread 1."""

    def __init__(self, n_in, n_out, rng, gain=1.0):
        self.parts = [(rng.standard_normal((n_in, n_out)) * gain / np.sqrt(n_in)).astype(np.float32),
                      np.zeros(n_out, np.float32)]

    def forward(self, x, training):
        self.x = x
        return x @ self.parts[0] + self.parts[1]

    def backward(self, dy):
        self.grads = [self.x.T @ dy, dy.sum(axis=0)]
        return dy @ self.parts[0].T


class Conv(Layer):
    """Kernel side×side, w [side·side·in,out], zeros around."""

    def __init__(self, side, n_in, n_out, rng, stride=1, pad=0, gain=1.0):
        self.side, self.stride, self.pad = side, stride, pad
        self.dense = Dense(side * side * n_in, n_out, rng, gain)
        self.parts = self.dense.parts

    def places(self, height, width):
        """For each of the kernel's pixels, what it reads of an image with its padding."""
        ends = [(size - self.side) // self.stride * self.stride + 1 for size in (height, width)]
        for u in range(self.side):
            for v in range(self.side):
                yield (slice(None), slice(u, u + ends[0], self.stride), slice(v, v + ends[1], self.stride))

    def forward(self, x, training):
        p = self.pad
        x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
        columns = np.stack([x[place] for place in self.places(*x.shape[1:3])], axis=3)
        self.padded, self.out = x.shape, columns.shape[:3]
        self.dense.parts = self.parts
        return self.dense.forward(columns.reshape(np.prod(self.out), -1), training).reshape(*self.out, -1)

    def backward(self, dy):
        d = self.dense.backward(dy.reshape(-1, dy.shape[3]))
        self.grads = self.dense.grads
        d = d.reshape(*self.out, self.side * self.side, -1)
        dx = np.zeros(self.padded, dy.dtype)
        for i, place in enumerate(self.places(*self.padded[1:3])):
            dx[place] += d[:, :, :, i]
        p = self.pad
        return dx[:, p : dx.shape[1] - p, p : dx.shape[2] - p]


class Norm(Layer):
    """Batch normalisation of the last axis. Outside training it uses averages of what training saw."""

    def __init__(self, size, momentum=0.1, gain=1.0):
        self.parts = [np.full(size, gain, np.float32), np.zeros(size, np.float32)]
        self.momentum, self.mean, self.var = momentum, np.zeros(size, np.float32), np.ones(size, np.float32)

    def forward(self, x, training):
        axes = tuple(range(x.ndim - 1))
        if training:
            mean, var = x.mean(axis=axes), x.var(axis=axes)
            self.mean += self.momentum * (mean - self.mean)
            self.var += self.momentum * (var - self.var)
        else:
            mean, var = self.mean, self.var
        self.inverse = 1 / np.sqrt(var + np.float32(1e-5))
        self.unit = (x - mean) * self.inverse
        return self.unit * self.parts[0] + self.parts[1]

    def backward(self, dy):
        axes = tuple(range(dy.ndim - 1))
        n = np.float32(dy.size / dy.shape[-1])
        self.grads = [(dy * self.unit).sum(axis=axes), dy.sum(axis=axes)]
        return self.parts[0] * self.inverse * (dy - (self.unit * self.grads[0] + self.grads[1]) / n)

    def fold(self, before):
        """Into the layer before: what both make outside training."""
        scale = self.parts[0] / np.sqrt(self.var + np.float32(1e-5))
        w, b = before.parts
        before.parts = [w * scale, (b - self.mean) * scale + self.parts[1]]


class Square(Layer):
    def forward(self, x, training):
        self.x = x
        return x * x

    def backward(self, dy):
        return 2 * self.x * dy


class Relu(Layer):
    def forward(self, x, training):
        self.positive = x > 0
        return x * self.positive

    def backward(self, dy):
        return dy * self.positive


class MaxPool(Layer):
    """Windows 2×2, stride 2. Each of equal maxima gets its part of the gradient."""

    def forward(self, x, training):
        n, h, w, c = x.shape
        windows = x.reshape(n, h // 2, 2, w // 2, 2, c)
        y = windows.max(axis=(2, 4), keepdims=True)
        if training:
            largest = (windows == y).astype(x.dtype)
            self.share = largest / largest.sum(axis=(2, 4), keepdims=True)
        return y[:, :, 0, :, 0]

    def backward(self, dy):
        n, h, w, c = dy.shape
        return (self.share * dy[:, :, None, :, None]).reshape(n, 2 * h, 2 * w, c)


class Image(Layer):
    """Rows of pixels as images of one channel."""

    def forward(self, x, training):
        side = int(np.sqrt(x.shape[1]))
        return x.reshape(-1, side, side, 1)

    def backward(self, dy):
        return dy.reshape(len(dy), -1)


class Flatten(Layer):
    """Channel by channel, as ONNX does."""

    def forward(self, x, training):
        self.shape = x.shape
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)

    def backward(self, dy):
        n, h, w, c = self.shape
        return dy.reshape(n, c, h, w).transpose(0, 2, 3, 1)


def forward(net, x, training=False):
    for layer in net:
        x = layer.forward(x, training)
    return x


def predict(net, x, batch=500):
    """Logits of x [n,784]; batches bound the memory."""
    return np.concatenate([forward(net, x[i : i + batch]) for i in range(0, len(x), batch)])


def loss(net, x, labels):
    """Mean cross entropy; leaves its gradients in the layers."""
    z = forward(net, x, True)
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    rows = np.arange(len(x))
    d = np.exp(log_p)
    d[rows, labels] -= 1
    d /= len(x)
    for layer in reversed(net):
        d = layer.backward(d)
    return -log_p[rows, labels].mean()


def folded(net):
    """The network without its normalisations: each goes into the layer before."""
    kept = []
    for layer in net:
        if isinstance(layer, Norm):
            layer.fold(kept[-1])
        else:
            kept.append(layer)
    return kept


def trained(net):
    return [layer for layer in net if layer.parts]


def lbfgs(net, x, labels, decay, iterations):
    """Trains on all rows at once. `decay` / 2 · |w|² is added to the loss."""
    layers = trained(net)
    shapes = [part.shape for layer in layers for part in layer.parts]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])

    def spread(theta):
        parts = [part.reshape(shape) for part, shape in zip(np.split(theta.astype(np.float32), ends[:-1]), shapes)]
        for layer in layers:
            layer.parts, parts = parts[: len(layer.parts)], parts[len(layer.parts) :]

    def join(arrays):
        return np.concatenate([array.ravel() for array in arrays]).astype(np.float64)

    def value(theta):
        spread(theta)
        made = float(loss(net, x, labels))
        decayed = [part * np.float32(decay if part.ndim == 2 else 0) for layer in layers for part in layer.parts]
        flat = join(decayed)
        return made + 0.5 * float(flat @ theta), join(g for layer in layers for g in layer.grads) + flat

    start = join(part for layer in layers for part in layer.parts)
    result = minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 20})
    spread(result.x)
    for layer in layers:
        if isinstance(layer, Norm):
            layer.momentum = 1  # averages of exactly these rows
    return float(loss(net, x, labels))


def adam(net, x, labels, augment, rng, epochs, rate, decay, batch=100):
    """Trains on warped copies of x, made again in each epoch. The rate rises for a tenth of the time, then falls to 0."""
    layers = trained(net)
    first = [[np.zeros_like(part) for part in layer.parts] for layer in layers]
    second = [[np.zeros_like(part) for part in layer.parts] for layer in layers]
    steps, step, total = epochs * (len(x) // batch), 0, 0.0
    for _ in range(epochs):
        order, total = rng.permutation(len(x)), 0.0
        images = augment(x, rng)
        for i in range(0, len(x) - batch + 1, batch):
            rows = order[i : i + batch]
            total += float(loss(net, images[rows], labels[rows]))
            step += 1
            at = step / steps
            now = np.float32(rate * min(10 * at, 0.5 + 0.5 * np.cos(np.pi * at)))
            for layer, ms, vs in zip(layers, first, second):
                for part, g, m, v in zip(layer.parts, layer.grads, ms, vs):
                    m += np.float32(0.1) * (g - m)
                    v += np.float32(0.001) * (g * g - v)
                    unbiased = np.sqrt(v / np.float32(1 - 0.999**step)) + np.float32(1e-8)
                    part -= now * (m / np.float32(1 - 0.9**step)) / unbiased
                    if part.ndim == 2:
                        part -= now * np.float32(decay) * part
    return total / (len(x) // batch)


def gradient_error(net, x, labels, rng):
    """Largest relative error of the gradients against central differences, in float64."""
    layers = trained(net)
    for layer in layers:
        layer.parts = [part.astype(np.float64) for part in layer.parts]
    loss(net, x, labels)
    worst = 0.0
    for layer, grads in [(layer, [g.copy() for g in layer.grads]) for layer in layers]:
        for part, grad in zip(layer.parts, grads):
            for i in rng.choice(part.size, min(part.size, 8), replace=False):
                place, step, sides = np.unravel_index(i, part.shape), 1e-5, []
                for sign in (1, -1):
                    part[place] += sign * step
                    sides.append(loss(net, x, labels))
                    part[place] -= sign * step
                numeric = (sides[0] - sides[1]) / (2 * step)
                worst = max(worst, abs(numeric - grad[place]) / max(1e-3, abs(numeric), abs(grad[place])))
    return worst
