"""A small multilayer perceptron with ReLU in numpy, in float64, trained with L-BFGS."""

import numpy as np
from scipy.optimize import minimize


def relu(y):
    return np.maximum(y, 0)


def relu_grad(y):
    return (y > 0).astype(y.dtype)


def init_layers(sizes, gains, x, seed):
    """Return [(W [in,out], b [out]), ...] in float64.

    Layer i is scaled so that its pre-activations start with a root mean
    square near gains[i] on x [n, sizes[0]].
    """
    rng = np.random.default_rng(seed)
    layers = []
    rms_norm = np.sqrt((x * x).sum(axis=1).mean())
    for n_in, n_out, gain in zip(sizes[:-1], sizes[1:], gains):
        w = rng.standard_normal((n_in, n_out)) * (gain / rms_norm)
        layers.append((w, np.zeros(n_out)))
        # The next layer sees n_out values of about gain.
        rms_norm = gain * np.sqrt(n_out)
    return layers


def pack(layers):
    """Flatten [(W, b), ...] into one vector [n_params]."""
    return np.concatenate([part.ravel() for layer in layers for part in layer])


def unpack(theta, sizes):
    """Inverse of pack: views into theta [n_params] as [(W [in,out], b [out]), ...]."""
    layers, at = [], 0
    for n_in, n_out in zip(sizes[:-1], sizes[1:]):
        w = theta[at : at + n_in * n_out].reshape(n_in, n_out)
        at += n_in * n_out
        layers.append((w, theta[at : at + n_out]))
        at += n_out
    return layers


def forward(layers, x):
    """Return the pre-activations of every layer, [n, out] each; the last are the logits."""
    pre, a = [], x
    for i, (w, b) in enumerate(layers):
        y = a @ w + b
        pre.append(y)
        if i + 1 < len(layers):
            a = relu(y)
    return pre


def softmax(z):
    """Row-wise softmax of z [n, classes]."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss_and_grad(theta, sizes, x, onehot, l2, range_penalty):
    """Mean cross entropy + l2/2 * |W|^2 + range_penalty/2 * mean |y|^2.

    theta [n_params], x [n, in], onehot [n, classes]. The last term covers
    every layer and keeps pre-activations narrow, because the plaintext ring
    of the protocol has to hold the widest of them.
    Returns (loss, gradient [n_params]).
    """
    layers = unpack(theta, sizes)
    pre = forward(layers, x)
    inputs = [x] + [relu(y) for y in pre[:-1]]
    n = len(x)

    z = pre[-1] - pre[-1].max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    loss = -(onehot * log_p).sum() / n
    loss += 0.5 * l2 * sum((w * w).sum() for w, _ in layers)
    loss += 0.5 * range_penalty * sum((y * y).sum() for y in pre) / n

    grads = [None] * len(layers)
    delta = (np.exp(log_p) - onehot) / n
    for i in reversed(range(len(layers))):
        delta = delta + (range_penalty / n) * pre[i]
        w, _ = layers[i]
        grads[i] = (inputs[i].T @ delta + l2 * w, delta.sum(axis=0))
        if i > 0:
            delta = (delta @ w.T) * relu_grad(pre[i - 1])
    return loss, pack(grads)


def train(sizes, gains, x, labels, seed, l2, range_penalty, max_abs_weight, max_iter):
    """Train on x [n, sizes[0]] with labels [n].

    Returns (float32 [(W [in,out], b [out]), ...], final loss, iterations).

    max_abs_weight (one number per layer) clips outliers of W inside the
    optimiser (L-BFGS-B bounds): the largest weight of a tensor sets its 8-bit
    step, so one outlier would cost every other weight precision.
    """
    x = x.astype(np.float64)
    onehot = np.eye(sizes[-1])[labels]
    start = init_layers(sizes, gains, x, seed)
    limit = pack([(np.full_like(w, m), np.full_like(b, np.inf))
                  for (w, b), m in zip(start, max_abs_weight)])
    theta0 = np.clip(pack(start), -limit, limit)
    result = minimize(
        loss_and_grad, theta0,
        args=(sizes, x, onehot, l2, range_penalty),
        jac=True, method="L-BFGS-B", bounds=np.column_stack([-limit, limit]),
        options={"maxiter": max_iter, "maxfun": 2 * max_iter, "maxcor": 10},
    )
    if not np.isfinite(result.fun):
        raise RuntimeError("training diverged")
    layers = [(w.astype(np.float32), b.astype(np.float32)) for w, b in unpack(result.x, sizes)]
    return layers, result.fun, result.nit


def gradient_error(sizes, seed):
    """Largest relative error of the analytic gradient against central differences."""
    rng = np.random.default_rng(seed)
    x = rng.random((5, sizes[0]))
    onehot = np.eye(sizes[-1])[rng.integers(0, sizes[-1], 5)]
    args = (sizes, x, onehot, 1e-2, 1e-2)
    theta = pack(init_layers(sizes, [1.0] * (len(sizes) - 1), x, seed))
    theta += 0.1 * rng.standard_normal(theta.shape)
    _, grad = loss_and_grad(theta, *args)
    step, worst = 1e-6, 0.0
    for i in rng.choice(len(theta), min(len(theta), 60), replace=False):
        e = np.zeros_like(theta)
        e[i] = step
        up, down = (loss_and_grad(theta + s * e, *args)[0] for s in (1, -1))
        numeric = (up - down) / (2 * step)
        worst = max(worst, abs(numeric - grad[i]) / max(1e-3, abs(numeric), abs(grad[i])))
    return worst
