"""Train the classifier of a watch's windows and write its ONNX file and samples.

Usage: python3 models/sensor.py [--out DIR] [--folds]

384-32-7 with ReLU and ArgMax: 64 samples of six axes in, one of seven shoulder
exercises out. Recordings of real people (watch.py); those of three of the ten are
held out, by a fixed seed. narrow.py trains, README.md lists the files.
"""

import argparse
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ next to the committed files

import numpy as np
from sklearn.metrics import confusion_matrix
from threadpoolctl import threadpool_limits

import chain
import narrow
import watch

SEED = 0
HELD_OUT = np.sort(np.random.default_rng(SEED).permutation(watch.PEOPLE)[:3])
SIZES = [watch.SAMPLES * watch.AXES, 32, len(watch.EXERCISES)]
# Training is in g and in 4 rad/s, which are UNIT of a byte's counts: a power of two, so nothing is rounded on the way.
UNIT = np.float32(watch.COUNTS[0])
ROUNDING = narrow.Rounding(weight_bits=3, activation_bits=5, input_range=watch.LIMIT / UNIT)
EACH = 600  # warped windows of each recording
STEP = 32  # samples from one held-out window to the next: half a window
CALIBRATE_ROWS = 96


def trained(recordings):
    """The network after ordinary training, the one in integers, its integers, and calibration windows int8 [n,384]."""
    rng = np.random.default_rng(SEED)
    bytes_, exercises = watch.warped(recordings, EACH, rng)
    x = bytes_ / UNIT
    recorded = watch.windows(recordings, STEP)[0]
    calibration = recorded[rng.permutation(len(recorded))[:CALIBRATE_ROWS]]
    first, _ = narrow.train(SIZES, narrow.cross_entropy, x, exercises, epochs=8, rate=3e-3, seed=SEED)
    layers, loss = narrow.narrow(first, ROUNDING, narrow.cross_entropy, x, exercises, calibration / UNIT,
                                 epochs=20, rate=1e-3, seed=SEED, row=80)
    integers = narrow.Integers(layers, ROUNDING, calibration / UNIT)
    print(f"  {len(x)} windows, loss {loss:.4f}, training accuracy {np.mean(integers.outputs(x).argmax(axis=1) == exercises):.4f}")
    return first, layers, integers, calibration


def answers(first, layers, integers, x):
    """Exercises [n] that each of the three says."""
    x = x / UNIT
    return {"float, before rounding": narrow.forward(first, x)[-1].argmax(axis=1),
            "float": narrow.forward(layers, x)[-1].argmax(axis=1), "integers": integers.outputs(x).argmax(axis=1)}


def describe(said, exercises, people):
    """Prints accuracy in all and by person, in per cent."""
    for what, y in said.items():
        right = y == exercises
        each = "  ".join(f"{p}: {100 * right[people == p].mean():.1f}" for p in np.unique(people))
        print(f"  {what:<22} {100 * right.mean():.2f} of {len(right)} windows; person {each}")


def committed(recordings, out):
    """Trains without the people who are held out, and writes the files."""
    start = time.time()
    first, layers, integers, calibration = trained([r for r in recordings if r.person not in HELD_OUT])
    chain.report("sensor", integers, time.time() - start, UNIT)
    test, exercises, people = watch.windows([r for r in recordings if r.person in HELD_OUT], STEP)
    order = np.random.default_rng(SEED).permutation(len(test))
    test, exercises, people = test[order], exercises[order], people[order]
    said = answers(first, layers, integers, test)
    describe(said, exercises, people)
    print(f"  integers, rows by exercise of {watch.EXERCISES}, columns by answer:")
    print(confusion_matrix(exercises, said["integers"]))

    path = out / "sensor.onnx"
    layers[0].w /= UNIT
    chain.save(path, layers, "window", "label", argmax=True)
    chain.save_rows(path, calibration, test, exercises, chain.logits(path, layers, test.astype(np.float32)))


def folds(recordings):
    """Everybody once as the one who is held out."""
    parts = []
    for person in watch.PEOPLE:
        network = trained([r for r in recordings if r.person != person])
        x, exercises, people = watch.windows([r for r in recordings if r.person == person], STEP)
        parts.append((answers(*network[:3], x), exercises, people))
    said = {what: np.concatenate([part[0][what] for part in parts]) for what in parts[0][0]}
    describe(said, *(np.concatenate([part[i] for part in parts]) for i in (1, 2)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent,
                        help="folder for the files (default: the folder of this script)")
    parser.add_argument("--folds", action="store_true", help="write nothing: hold every person out by turns")
    options = parser.parse_args()
    recordings = watch.load()
    if options.folds:
        folds(recordings)
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        committed(recordings, options.out)


if __name__ == "__main__":
    # One BLAS thread fixes the order of summation, hence the written bytes.
    with threadpool_limits(1):
        main()
