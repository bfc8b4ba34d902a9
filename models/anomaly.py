"""Train the auto-encoder that finds faults by a machine's sound and write its ONNX file and samples.

Usage: python3 models/anomaly.py [--out DIR] [--held-out DIR]

640-128-128-128-128-8-128-128-128-128-640 with ReLU: the anomaly detection network of
MLPerf Tiny, its batch normalisation folded. It has learned to reproduce spectra of
healthy machines; a faulty one comes back changed, and the client sees that by the
mean squared error. The data are simulated (machine_sound.py); machines that are held
out were never heard in training. narrow.py trains, README.md lists the files.
"""

import argparse
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ next to the committed files

import numpy as np
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

import chain
import machine_sound
import narrow

WIDTH = machine_sound.FRAMES * machine_sound.MELS
SIZES = [WIDTH, 128, 128, 128, 128, 8, 128, 128, 128, 128, WIDTH]
ROUNDING = narrow.Rounding(weight_bits=3, activation_bits=5, input_range=machine_sound.LIMIT_DB)
CALIBRATE_ROWS = 64
STORED_ROWS = 64


def errors(y, x):
    """Mean squared error of every row, in dB²."""
    return ((y - x) ** 2).mean(axis=1)


def describe(what, e, labels):
    print(f"  held-out {what:<22} AUC {roc_auc_score(labels > 0, e):.4f}  healthy {e[labels == 0].mean():.2f} dB², "
          f"faulty {e[labels > 0].mean():.2f} dB² ({len(e)} rows)")


def pretrain(x, epochs):
    """The float network, trained on standardised spectra, with that folded into its first and last layer."""
    mean, scale = x.mean(axis=0), x.std()
    standard = (x - mean) / scale
    layers, _ = narrow.train(SIZES, narrow.squared_error, standard, standard, epochs, rate=3e-3, seed=0)
    first, last = layers[0], layers[-1]
    layers[0] = narrow.Layer(first.w / scale, first.b - first.w @ (mean / scale))
    layers[-1] = narrow.Layer(last.w * scale, last.b * scale + mean)
    return layers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent,
                        help="folder for the files (default: the folder of this script)")
    parser.add_argument("--held-out", type=Path, metavar="DIR", help="write all held-out windows there, too")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    start = time.time()
    x, _ = machine_sound.windows(machines=240, healthy=80, faulty=0, seed=1)
    test, labels = machine_sound.windows(machines=40, healthy=28, faulty=28, seed=2)
    calibration = x[:CALIBRATE_ROWS]
    first = pretrain(x, epochs=60)
    layers, loss = narrow.narrow(first, ROUNDING, narrow.squared_error, x, x, calibration,
                                 epochs=40, rate=5e-4, seed=0, largest=3.0, row=24)
    integers = narrow.Integers(layers, ROUNDING, calibration)
    chain.report("anomaly", integers, time.time() - start)
    print(f"  mean squared error in training {loss:.2f} dB²")

    path = options.out / "anomaly.onnx"
    chain.save(path, layers, "spectrum", "reconstruction")
    rows = slice(0, STORED_ROWS)
    chain.save_rows(path, calibration, test[rows], labels[rows], chain.logits(path, layers, test[rows]))
    if options.held_out:
        options.held_out.mkdir(parents=True, exist_ok=True)
        np.save(options.held_out / "anomaly.test.npy", test)
        np.save(options.held_out / "anomaly.labels.npy", labels.astype(np.uint8))
    for what, y in [("float, before rounding", narrow.forward(first, test)[-1]),
                    ("float", narrow.forward(layers, test)[-1]), ("integers", integers.outputs(test))]:
        describe(what, errors(y, test), labels)
        describe(f"{what}, stored", errors(y, test)[rows], labels[rows])
    e = errors(integers.outputs(test), test)
    for number, fault in enumerate(machine_sound.FAULTS, 1):
        some = (labels == 0) | (labels == number)
        print(f"    {fault.__name__:<12} AUC {roc_auc_score(labels[some] > 0, e[some]):.3f}")


if __name__ == "__main__":
    # One BLAS thread fixes the order of summation, hence the written bytes.
    with threadpool_limits(1):
        main()
