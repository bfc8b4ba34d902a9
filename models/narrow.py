"""Fully connected ReLU networks in numpy that compile to narrow rings.

First they are trained as usual, with batch normalisation, which is folded into the
weights. Then training goes on in the integers that `minionn compile` makes of them,
with gradients that pass straight through every rounding (Jacob et al., CVPR 2018).
A ring has to hold the largest sum that any input can make: so in this stage the
absolute weights of an output may add up to a few times the largest weight only.
"""

from dataclasses import dataclass

import numpy as np

EPSILON = 1e-3  # added to a variance
MOMENTUM = 0.05  # of running means and variances


@dataclass
class Layer:
    """`w x + b`, then ReLU unless it is the last one."""

    w: np.ndarray  # [out,in]
    b: np.ndarray  # [out]


@dataclass
class Rounding:
    """Options of the compiler, with --saturate."""

    weight_bits: int
    activation_bits: int
    input_range: float  # either way: --input-range=-R,R

    @property
    def weight_limit(self):
        return 2 ** (self.weight_bits - 1) - 1

    @property
    def activation_limit(self):
        return 2 ** self.activation_bits - 1

    @property
    def input_limit(self):
        return 2 ** (self.activation_bits - 1) - 1

    @property
    def input_step(self):
        return np.float32(self.input_range / self.input_limit)


def cross_entropy(y, labels):
    """Mean loss and its gradient at logits y [n,classes]."""
    log_p = y - y.max(axis=1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    rows = np.arange(len(y))
    gradient = np.exp(log_p)
    gradient[rows, labels] -= 1
    return -log_p[rows, labels].mean(), gradient / len(y)


def squared_error(y, target):
    """Mean squared error and its gradient at y [n,outputs]."""
    return ((y - target) ** 2).mean(), (y - target) * (2 / y.size)


def fit(parameters, gradients, x, target, epochs, rate, seed, each_epoch=lambda: None, each_step=lambda: None, batch=256):
    """Adam with a cosine schedule on arrays that are changed in place; returns the mean loss of the last epoch.

    gradients(x, target) returns the loss of a batch and the gradients of the parameters.
    """
    rng = np.random.default_rng(seed)
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    step, steps, losses = 0, epochs * (len(x) // batch), []
    for _ in range(epochs):
        each_epoch()
        order, losses = rng.permutation(len(x)), []
        for start in range(0, len(x) - batch + 1, batch):
            rows = order[start : start + batch]
            loss, all_g = gradients(x[rows], target[rows])
            losses.append(loss)
            step += 1
            now = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            for p, g, m, v in zip(parameters, all_g, first, second):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                p -= now * (m / (1 - 0.9 ** step)) / (np.sqrt(v / (1 - 0.999 ** step)) + 1e-8)
            each_step()
    return float(np.mean(losses))


def forward(layers, x):
    """Outputs of all layers, ReLU of hidden ones included, in float."""
    made = []
    for i, layer in enumerate(layers):
        y = x @ layer.w.T + layer.b
        x = np.maximum(y, 0) if i + 1 < len(layers) else y
        made.append(x)
    return made


def train(sizes, loss, x, target, epochs, rate, seed):
    """Train with batch normalisation before every ReLU; returns folded layers and the loss."""
    rng = np.random.default_rng(seed)
    count = len(sizes) - 1
    w = [(rng.standard_normal((o, i)) * np.sqrt(2 / i)).astype(np.float32) for i, o in zip(sizes, sizes[1:])]
    b = [np.zeros(o, np.float32) for o in sizes[1:]]
    gain = [np.ones(o, np.float32) for o in sizes[1:-1]]
    mean = [np.zeros(o, np.float32) for o in sizes[1:-1]]
    variance = [np.ones(o, np.float32) for o in sizes[1:-1]]

    def gradients(a, wanted):
        inputs, centred, inverse = [], [], []
        for i in range(count):
            inputs.append(a)
            y = a @ w[i].T
            if i + 1 == count:
                break
            m, v = y.mean(axis=0), y.var(axis=0)
            mean[i] += MOMENTUM * (m - mean[i])
            variance[i] += MOMENTUM * (v - variance[i])
            inverse.append(1 / np.sqrt(v + EPSILON))
            centred.append((y - m) * inverse[i])
            a = np.maximum(centred[i] * gain[i] + b[i], 0)
        value, delta = loss(y + b[-1], wanted)
        gw, gb, gg = [None] * count, [None] * count, [None] * (count - 1)
        for i in reversed(range(count)):
            gb[i] = delta.sum(axis=0)
            if i + 1 < count:
                gg[i] = (delta * centred[i]).sum(axis=0)
                delta = gain[i] * inverse[i] * (delta - delta.mean(axis=0) - centred[i] * gg[i] / len(delta))
            gw[i] = delta.T @ inputs[i]
            if i > 0:
                delta = (delta @ w[i]) * (inputs[i] > 0)
        return value, gw + gb + gg

    value = fit(w + b + gain, gradients, x, target, epochs, rate, seed)
    factors = [g / np.sqrt(v + EPSILON) for g, v in zip(gain, variance)]
    layers = [Layer(w[i] * f[:, None], b[i] - mean[i] * f) for i, f in enumerate(factors)]
    return layers + [Layer(w[-1], b[-1])], value


class Integers:
    """A network as the compiler rounds it. Integers are kept in float32, which holds those of rings up to 24 bits exactly."""

    def __init__(self, layers, rounding, calibration):
        self.layers, self.rounding, self.shifts = layers, rounding, []
        step = float(rounding.input_step)
        for layer, made in zip(layers[:-1], forward(self.on_grid(), calibration)):
            step *= self.step(layer)
            most = np.ceil(made.max() / step)
            self.shifts.append(next(s for s in range(64) if (most + 2 ** s // 2) // 2 ** s <= rounding.activation_limit))
            step *= 2 ** self.shifts[-1]

    def step(self, layer):
        """Real value of one step of the weights."""
        return float(np.abs(layer.w).max()) / self.rounding.weight_limit

    def on_grid(self):
        """The float network with rounded weights."""
        return [Layer(np.round(l.w / self.step(l)) * np.float32(self.step(l)), l.b) for l in self.layers]

    def numbers(self):
        """For every layer: integer weights, integer biases with half a step of the shift, the shift (of the last one 0), the
        largest integer that it makes of a sum, the real value of one step of its result."""
        step = float(self.rounding.input_step)
        for layer, shift in zip(self.layers, self.shifts + [0]):
            step *= self.step(layer)
            b = np.round(layer.b / step).astype(np.float32) + np.float32(2 ** shift // 2)
            step *= 2 ** shift
            limit = np.inf if layer is self.layers[-1] else self.rounding.activation_limit
            yield np.round(layer.w / self.step(layer)), b, shift, limit, step

    def forward(self, x):
        """For the input and every layer: integers [n,out] and the real value of one step."""
        limit = self.rounding.input_limit
        made = [(np.clip(np.round(x / self.rounding.input_step), -limit, limit), float(self.rounding.input_step))]
        for w, b, shift, limit, step in self.numbers():
            y = np.floor((made[-1][0] @ w.T + b) / 2 ** shift)
            made.append((np.clip(y, 0, limit) if np.isfinite(limit) else y, step))
        return made

    def outputs(self, x):
        """Real outputs [n,out]."""
        y, step = self.forward(x)[-1]
        return y * step

    def rings(self):
        """Bits of every layer's sums, whatever the input."""
        low, high, bits = -self.rounding.input_limit, self.rounding.input_limit, []
        for w, b, _, limit, _ in self.numbers():
            up, down = np.maximum(w, 0).sum(axis=1), np.minimum(w, 0).sum(axis=1)
            most, least = (up * high + down * low + b).max(), (up * low + down * high + b).min()
            bits.append(1 + int(np.ceil(np.log2(max(most + 1, -least)))))
            low, high = 0, limit
        return bits


def narrow(layers, rounding, loss, x, target, calibration, epochs, rate, seed, largest=2.5, row=32.0):
    """Go on training in integers; returns layers whose weights lie on the compiler's grid, and the loss.

    No weight exceeds `largest` times the root mean square that the layer starts with, and the absolute weights of an output add up to at
    most `row` times that.
    """
    layers = [Layer(l.w.astype(np.float32), l.b.astype(np.float32)) for l in layers]
    tops = [largest * np.sqrt((l.w ** 2).mean()) for l in layers]
    state = {}

    def bound():
        for layer, top in zip(layers, tops):
            layer.w[:] = into_l1_ball(np.clip(layer.w, -top, top), row * top)

    def look():
        state["integers"] = Integers(layers, rounding, calibration)

    def gradients(a, wanted):
        integers = state["integers"]
        made = integers.forward(a)
        y, step = made[-1]
        value, delta = loss(y * step, wanted)
        gw, gb = [None] * len(layers), [None] * len(layers)
        for i, layer in reversed(list(enumerate(integers.on_grid()))):
            a, step = made[i]
            gw[i], gb[i] = delta.T @ (a * step), delta.sum(axis=0)
            if i > 0:
                delta = (delta @ layer.w) * ((a > 0) & (a < rounding.activation_limit))
        return value, gw + gb

    bound()
    parameters = [l.w for l in layers] + [l.b for l in layers]
    value = fit(parameters, gradients, x, target, epochs, rate, seed, each_epoch=look, each_step=bound)
    return Integers(layers, rounding, calibration).on_grid(), value


def into_l1_ball(w, radius):
    """Rows of w [out,in] with their absolute values reduced by as much as makes them add up to `radius` (Duchi et al., ICML 2008)."""
    over = np.abs(w).sum(axis=1) > radius
    if over.any():
        sizes = np.abs(w[over])
        falling = -np.sort(-sizes, axis=1)
        excess = (np.cumsum(falling, axis=1) - radius) / np.arange(1, w.shape[1] + 1)
        last = (falling > excess).sum(axis=1) - 1
        cut = excess[np.arange(len(last)), last][:, None]
        w[over] = np.sign(w[over]) * np.maximum(sizes - cut, 0)
    return w
