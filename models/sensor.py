"""Train the classifier of accelerometer windows and write its ONNX file and samples.

Usage: python3 models/sensor.py [--out DIR] [--held-out DIR]

384-32-4 with ReLU and ArgMax: 128 samples of three axes in, one of rest, walk, run
and fall out. The data are simulated (accelerometer.py); people who are held out were
never seen in training. narrow.py trains, README.md lists the files.
"""

import argparse
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ next to the committed files

import numpy as np
from sklearn.metrics import confusion_matrix
from threadpoolctl import threadpool_limits

import accelerometer
import chain
import narrow

SIZES = [accelerometer.SAMPLES * accelerometer.AXES, 32, len(accelerometer.CLASSES)]
ROUNDING = narrow.Rounding(weight_bits=3, activation_bits=5, input_range=accelerometer.RANGE_G)
CALIBRATE_ROWS = 96
STORED_ROWS = 160


def accuracy(y, labels):
    return (y.argmax(axis=1) == labels).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent,
                        help="folder for the files (default: the folder of this script)")
    parser.add_argument("--held-out", type=Path, metavar="DIR", help="write all held-out windows there, too")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    start = time.time()
    x, labels = accelerometer.windows(people=400, each=20, seed=1)
    test, truth = accelerometer.windows(people=60, each=20, seed=2)
    calibration = x[:CALIBRATE_ROWS]
    first, _ = narrow.train(SIZES, narrow.cross_entropy, x, labels, epochs=30, rate=3e-3, seed=0)
    layers, loss = narrow.narrow(first, ROUNDING, narrow.cross_entropy, x, labels, calibration,
                                 epochs=100, rate=1e-3, seed=0, row=80)
    integers = narrow.Integers(layers, ROUNDING, calibration)
    chain.report("sensor", integers, time.time() - start)
    print(f"  loss {loss:.4f}, training accuracy {accuracy(integers.outputs(x), labels):.4f}")

    path = options.out / "sensor.onnx"
    chain.save(path, layers, "window", "label", argmax=True)
    rows = slice(0, STORED_ROWS)
    chain.save_rows(path, calibration, test[rows], truth[rows], chain.logits(path, layers, test[rows]))
    if options.held_out:
        options.held_out.mkdir(parents=True, exist_ok=True)
        np.save(options.held_out / "sensor.test.npy", test)
        np.save(options.held_out / "sensor.labels.npy", truth.astype(np.uint8))
    for what, y in [("float, before rounding", narrow.forward(first, test)[-1]),
                    ("float", narrow.forward(layers, test)[-1]), ("integers", integers.outputs(test))]:
        print(f"  held-out {what:<22} {accuracy(y, truth):.4f} ({len(truth)} rows)  "
              f"{accuracy(y[rows], truth[rows]):.4f} ({STORED_ROWS} stored rows)")
    print(f"  integers, rows by class of {accelerometer.CLASSES}, columns by answer:")
    print(confusion_matrix(truth, integers.outputs(test).argmax(axis=1)))


if __name__ == "__main__":
    # One BLAS thread fixes the order of summation, hence the written bytes.
    with threadpool_limits(1):
        main()
