"""Recordings of a smartwatch at the wrist of people who do shoulder exercises, as windows of bytes.

The data come with the package `seglearn` (BSD, David Burns): ten people, seven
exercises with either arm, acceleration and rotation at 50 Hz. The study: Burns et
al., Shoulder physiotherapy exercise recognition, Physiological Measurement 39, 2018.
"""

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

EXERCISES = ["pendulum", "abduction", "forward elevation", "internal rotation", "external rotation",
             "trapezius extension", "upright row"]
PEOPLE = np.arange(1, 11)

SAMPLES = 64  # of a window: 2.56 s
AXES = 6  # acceleration x, y, z, then rotation x, y, z
KEEP = 2  # raw samples whose mean is one sample of a window: 25 Hz
FOREARM = 4  # the axis of which the window's largest sample comes first

# What a byte counts: 1/64 g, so up to 2 g, and 1/16 rad/s, so up to 8 rad/s. Larger values are cut off.
COUNTS = np.array([64, 64, 64, 16, 16, 16])
LIMIT = 127
# A left arm moves like the mirror image of a right one; rotation is an axial vector.
MIRROR = np.array([-1, 1, 1, 1, -1, -1])

DIGEST = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"


@dataclass
class Recording:
    person: int
    exercise: int
    samples: np.ndarray  # [n,AXES] at 50 Hz, in counts, as of a right arm


def load():
    """All recordings. The file is pickled, which may run code: so its digest comes first."""
    package = importlib.util.find_spec("seglearn")
    if package is None:
        raise FileNotFoundError("the package seglearn is not installed: see requirements.txt")
    # Its code is not imported, its data only are wanted.
    data = (Path(package.submodule_search_locations[0]) / "data" / "watch_dataset.npy").read_bytes()
    if hashlib.sha256(data).hexdigest() != DIGEST:
        raise ValueError("seglearn has other recordings than those of version 1.2.5")
    data = np.load(io.BytesIO(data), allow_pickle=True).item()
    columns = zip(data["subject"], data["y"], data["side"], data["X"])
    return [Recording(int(person), int(exercise), x * COUNTS * (MIRROR if side == 0 else 1))
            for person, exercise, side, x in columns]


def to_bytes(x):
    """Windows [n,SAMPLES,AXES] as a watch makes them, int8 [n,384]: turned until the fastest rotation about the forearm comes first.

    So a window is the same wherever in the exercise's period it begins.
    """
    x = np.clip(np.round(x), -LIMIT, LIMIT).astype(np.int8)
    turned = (x[:, :, FOREARM].argmax(axis=1)[:, None] + np.arange(SAMPLES)) % SAMPLES
    return np.take_along_axis(x, turned[:, :, None], axis=1).reshape(len(x), -1)


def windows(recordings, step):
    """Windows as recorded, one every `step` samples: int8 [n,384], exercises [n] and people [n]."""
    x, of = [], []
    for recording in recordings:
        whole = len(recording.samples) // KEEP * KEEP
        samples = recording.samples[:whole].reshape(-1, KEEP, AXES).mean(axis=1)
        for start in range(0, len(samples) - SAMPLES + 1, step):
            x.append(samples[start : start + SAMPLES])
            of.append((recording.exercise, recording.person))
    exercises, people = np.array(of).T
    return to_bytes(np.array(x)), exercises, people


def warped(recordings, each, rng, speed=0.35, degrees=15, noise=0.2):
    """For training, `each` windows of every recording, shuffled: int8 [n,384] and exercises [n].

    Each is done faster or slower by up to e^speed, by a watch that is worn askew, with noise of a part of a g and of 4 rad/s.
    """
    x, exercises = [], []
    for recording in recordings:
        raw = recording.samples
        sums = np.concatenate([np.zeros((1, AXES)), np.cumsum(raw, axis=0)])
        for _ in range(each):
            stride = min(KEEP * np.exp(rng.uniform(-speed, speed)), (len(raw) - 1) / SAMPLES)
            at = rng.uniform(0, len(raw) - SAMPLES * stride) + stride * np.arange(SAMPLES + 1)
            whole = np.minimum(at.astype(int), len(raw) - 1)
            means = np.diff(sums[whole] + (at - whole)[:, None] * raw[whole], axis=0) / stride
            means[:, 3:] *= stride / KEEP
            x.append((means.reshape(SAMPLES, 2, 3) @ askew(rng, degrees)).reshape(SAMPLES, AXES))
            exercises.append(recording.exercise)
    x = to_bytes(np.array(x) + rng.normal(0, noise * COUNTS[0], (len(x), SAMPLES, AXES)))
    order = rng.permutation(len(x))
    return x[order], np.array(exercises)[order]


def askew(rng, degrees):
    """A turn [3,3] about a random axis, by a normal angle (Rodrigues)."""
    x, y, z = axis = rng.standard_normal(3)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / np.linalg.norm(axis)
    angle = rng.normal(0, np.deg2rad(degrees))
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)
