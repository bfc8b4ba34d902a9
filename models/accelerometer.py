"""A simulated accelerometer on the right hip of people who rest, walk, run and fall.

Nothing is recorded: every window is computed from the mechanics of a body and of
a sensor. The world has x forward, y left, z up, and the body's frame is the world's
while somebody stands; the sensor sits askew on the body. An accelerometer feels
`a + g z`: 1 g upwards at rest, nothing in free fall.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

CLASSES = ["rest", "walk", "run", "fall"]

G = 9.81  # m/s²
RATE = 50  # samples a second
SAMPLES = 128  # of a window: 2.56 s
AXES = 3
OVERSAMPLED = 8  # motion is computed at 400 Hz, the sensor filters it and keeps each eighth
STEP = 1 / (RATE * OVERSAMPLED)
LEAD = 256  # of these steps before the window, for filters to settle
LENGTH = LEAD + SAMPLES * OVERSAMPLED

RANGE_G = 2.0  # full scale of the sensor, either way
LSB_G = 2 * RANGE_G / 4096  # 12 bits
ANTI_ALIAS = signal.butter(4, 0.4 * RATE, fs=1 / STEP, output="sos")


@dataclass
class Person:
    """A body and how it moves. Lengths in m, speeds in m/s, frequencies in Hz, angles in rad."""

    leg: float
    pelvis: float  # height of the sensor
    speed: float  # of walking
    cadence: float  # steps a second of running
    contact: float  # share of a running step on the ground
    asymmetry: float  # between left and right steps
    irregularity: float  # spread of the length of a step
    heel: float  # share of the speed that a heel strike takes
    stoop: float  # how far the trunk leans forward
    tissue: tuple  # filter (b, a) of belt and flesh under the sensor

    @classmethod
    def draw(cls, rng):
        height = np.clip(rng.normal(1.70, 0.10), 1.45, 2.0)
        return cls(
            leg=0.53 * height, pelvis=0.56 * height,
            speed=np.clip(rng.normal(1.25, 0.22), 0.6, 1.9),
            cadence=rng.normal(2.75, 0.15), contact=rng.uniform(0.50, 0.80),
            asymmetry=abs(rng.normal(0, 0.08)), irregularity=rng.uniform(0.01, 0.05),
            heel=rng.uniform(0.02, 0.12), stoop=rng.normal(0.05, 0.06),
            tissue=resonance(rng.uniform(9, 18), rng.uniform(0.25, 0.5)))


@dataclass
class Sensor:
    """A device as it left the factory and as it was put on."""

    mount: np.ndarray  # [3,3]: body to sensor
    gains: np.ndarray  # [3,3]: sensitivity and crosstalk
    offset: np.ndarray  # [3], g
    noise: float  # g, of one sample

    @classmethod
    def draw(cls, rng):
        yaw, pitch, roll = rng.normal(0, np.deg2rad([15, 10, 10]))
        mount = turn([0, 0, 1], [yaw])[0] @ turn([0, 1, 0], [pitch])[0] @ turn([1, 0, 0], [roll])[0]
        gains = np.eye(3) * (1 + rng.normal(0, 0.01, 3)) + rng.normal(0, 0.007, (3, 3))
        return cls(mount.T, gains, rng.normal(0, 0.03, 3), rng.uniform(0.001, 0.004))

    def read(self, force, rng):
        """Samples [SAMPLES,3] in g of a force [LENGTH,3] in m/s² in the body's frame."""
        felt = force / G @ (self.gains @ self.mount).T
        settled = signal.sosfilt_zi(ANTI_ALIAS)[:, :, None] * felt[0]
        felt = signal.sosfilt(ANTI_ALIAS, felt, axis=0, zi=settled)[0][LEAD::OVERSAMPLED]
        felt = felt + self.offset + rng.normal(0, self.noise, (SAMPLES, AXES))
        return np.clip(np.round(felt / LSB_G), -2048, 2047) * LSB_G


# Tools.

def turn(axis, angles):
    """Matrices [n,3,3] of turns by angles [n] about a unit vector (Rodrigues)."""
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angles = np.asarray(angles)[:, None, None]
    return np.eye(3) + np.sin(angles) * k + (1 - np.cos(angles)) * (k @ k)


def in_body(acceleration, attitude):
    """What is felt [n,3] in the body's frame: acceleration [n,3] in the world, attitude [n,3,3] from body to world."""
    return np.einsum("nij,ni->nj", attitude, acceleration + [0, 0, G])


def times():
    """The times of the steps, in s; the window starts at 0."""
    return (np.arange(LENGTH) - LEAD) * STEP


def wobble(rng, cutoff, rms, columns=3):
    """Noise [LENGTH,columns] that falls off beyond a frequency as a filter of second order lets it."""
    gain = 1 / np.sqrt(1 + (np.fft.rfftfreq(LENGTH, STEP) / cutoff) ** 4)
    gain[0] = 0
    white = rng.standard_normal((len(gain), columns, 2))
    slow = np.fft.irfft(gain[:, None] * (white[..., 0] + 1j * white[..., 1]), LENGTH, axis=0)
    return slow * rms * LENGTH / (2 * np.sqrt((gain ** 2).sum()))


def pulse(at, length, t):
    """Half a sine from `at` on, of integral 1."""
    phase = np.clip((t - at) / length, 0, 1)
    return np.sin(np.pi * phase) * np.pi / (2 * length)


def smooth(x):
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def level(rng):
    """A random horizontal unit vector."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle), 0])


def resonance(frequency, damping):
    """Mass on spring and damper, of gain 1 below its frequency."""
    w = 2 * np.pi * frequency
    return signal.bilinear([2 * damping * w, w * w], [1, 2 * damping * w, w * w], fs=1 / STEP)


def through(tissue, force):
    """A force [n,3] as the sensor's case feels it."""
    settled = signal.lfilter_zi(*tissue)[:, None] * force[0]
    return signal.lfilter(*tissue, force, axis=0, zi=settled)[0]


# Motions: forces [LENGTH,3] in the body's frame, in m/s².

def rest(person, rng):
    """Stillness with breath and sway; in most windows something happens that is no motion of the list."""
    t = times()
    attitude = posture(person, rng)
    acceleration = wobble(rng, 1.5, rng.uniform(0.02, 0.12))
    acceleration[:, 2] += 0.03 * np.sin(2 * np.pi * rng.uniform(0.2, 0.35) * t + rng.uniform(0, 6))
    event = rng.choice([None, turning, sitting, knocked, driven], p=[0.4, 0.2, 0.15, 0.15, 0.1])
    if event:
        moved, turned = event(person, rng, rng.uniform(0.2, 2.2), t)
        acceleration, attitude = acceleration + moved, attitude @ turned
    return in_body(acceleration, np.broadcast_to(attitude, (LENGTH, 3, 3)))


def posture(person, rng):
    """A still attitude [3,3]: standing, sitting, or lying on any side."""
    kind = rng.choice(["standing", "sitting", "lying"], p=[0.35, 0.4, 0.25])
    if kind == "lying":
        return turn(level(rng), [np.pi / 2 * rng.uniform(0.9, 1.1)])[0]
    lean = rng.normal(-0.35, 0.2) if kind == "sitting" else person.stoop + rng.normal(0, 0.05)
    return turn([0, 1, 0], [lean])[0] @ turn([1, 0, 0], [rng.normal(0, 0.08)])[0]


def turning(person, rng, at, t):
    """A change of posture."""
    share = smooth((t - at) / rng.uniform(0.6, 1.8) + 0.5)
    shaken = wobble(rng, 2.5, rng.uniform(0.5, 1.5)) * (4 * share * (1 - share))[:, None]
    return shaken, turn(level(rng), rng.uniform(0.3, 1.5) * share)


def sitting(person, rng, at, t):
    """Half a second of partial fall onto a chair, and what stops it."""
    speed, length = rng.uniform(0.5, 1.6), rng.uniform(0.3, 0.6)
    down = pulse(at, rng.uniform(0.05, 0.15), t) - pulse(at - length, length, t)
    tilt = turn([0, 1, 0], -rng.uniform(0.1, 0.5) * smooth((t - at) / length + 0.5))
    return through(person.tissue, np.outer(speed * down, level(rng) * 0.3 + [0, 0, 1])), tilt


def knocked(person, rng, at, t):
    """One to three knocks at the device."""
    force = np.zeros((LENGTH, AXES))
    for _ in range(rng.integers(1, 4)):
        at, direction = rng.uniform(0.1, 2.4), rng.standard_normal(3)
        kick = pulse(at, 0.012, t) - 0.8 * pulse(at + 0.012, 0.03, t)
        force += np.outer(rng.uniform(0.1, 0.5) * kick, direction / np.linalg.norm(direction))
    return through(person.tissue, force), np.eye(3)


def driven(person, rng, at, t):
    """A seat in a vehicle."""
    hum = np.sin(2 * np.pi * rng.uniform(8, 18) * t + rng.uniform(0, 6))
    return wobble(rng, 4, rng.uniform(0.2, 0.8)) + np.outer(rng.uniform(0.1, 0.5) * hum, rng.standard_normal(3)), np.eye(3)


def steps(cadence, person, rng):
    """Phase [LENGTH] of a gait in steps, from a random one on, with steps of unequal length."""
    slow = wobble(rng, 0.7, person.irregularity, 1)[:, 0]
    phase = np.cumsum(cadence * STEP * (1 + slow)) + rng.uniform(0, 2)
    return phase + person.asymmetry / (2 * np.pi) * np.sin(np.pi * phase)


def strikes(phase, length):
    """Pulses of this length at whole phases, of mean 1."""
    part = np.clip(phase % 1 / length, 0, 1)
    return np.sin(np.pi * part) * np.pi / (2 * length)


def walk(person, rng):
    """An inverted pendulum on each leg: the pelvis rises and brakes over it, sways, and shakes at each heel strike."""
    speed = person.speed * rng.uniform(0.8, 1.2)
    cadence = 1.85 * np.sqrt(speed / 1.3) * np.sqrt(0.9 / person.leg)
    half_step = min(speed / cadence, 1.2 * person.leg) / 2
    rise = 0.3 * (person.leg - np.sqrt(person.leg ** 2 - half_step ** 2))
    phase = steps(cadence, person, rng)
    turns, w = 2 * np.pi * phase, 2 * np.pi * cadence
    a = rng.uniform(0.7, 1.3, 5)
    up = a[0] * np.cos(turns) + 0.25 * a[1] * np.cos(2 * turns + rng.normal(0.6, 0.4)) + 0.1 * np.cos(3 * turns)
    forward = 0.55 * a[2] * np.sin(turns + rng.normal(0, 0.2)) + 0.2 * np.sin(2 * turns)
    side = np.sin(turns / 2) + 0.5 * a[4] * np.sin(1.5 * turns + rng.normal(0, 0.3))
    struck = person.heel * speed * cadence * (strikes(phase, 0.018 * cadence) - 1)
    struck *= 1 + person.asymmetry * np.cos(np.pi * phase)
    acceleration = np.stack([rise * w * w * forward - 0.4 * struck, 0.018 * a[3] * (w / 2) ** 2 * side,
                             rise * w * w * up + struck], axis=1)
    pitch = person.stoop + 0.03 * np.sin(turns + 1) + wobble(rng, 0.5, 0.02, 1)[:, 0]
    attitude = turn([0, 1, 0], pitch) @ turn([1, 0, 0], 0.05 * np.sin(turns / 2))
    return in_body(through(person.tissue, acceleration) + wobble(rng, 6, 0.25), attitude)


def run(person, rng):
    """A spring: the ground carries the body during contact only, and its mean force is the weight."""
    cadence, speed = person.cadence * rng.uniform(0.92, 1.08), rng.uniform(2.0, 3.6)
    phase = steps(cadence, person, rng)
    part = np.clip(phase % 1 / person.contact, 0, 1)
    struck = person.heel * speed * cadence * (strikes(phase, 0.02 * cadence) - 1)
    forward = -rng.uniform(0.3, 0.6) * G * np.sin(2 * np.pi * part)
    side = 0.025 * rng.uniform(0.6, 1.4) * (np.pi * cadence) ** 2 * np.sin(np.pi * phase)
    up = (strikes(phase, person.contact) - 1) * G + struck
    acceleration = through(person.tissue, np.stack([forward - 0.3 * struck, side, up], axis=1)) + wobble(rng, 8, 0.6)
    pitch = person.stoop + rng.normal(0.12, 0.04) + 0.06 * np.sin(2 * np.pi * phase)
    return in_body(acceleration, turn([0, 1, 0], pitch) @ turn([1, 0, 0], 0.08 * np.sin(np.pi * phase)))


def fall(person, rng):
    """Balance is lost while standing or walking, the body topples about its feet, the ground stops it."""
    t = times()
    standing = turn([0, 1, 0], np.full(LENGTH, person.stoop))
    before = walk(person, rng) if rng.random() < 0.6 else in_body(wobble(rng, 1.5, 0.15), standing)
    angle, rate, drop = topple(person, rng)
    impact, axis = rng.uniform(0.7, 2.0), level(rng)
    start, on_ground = impact - len(angle) * STEP, t >= impact
    index = np.clip(((t - start) / STEP).astype(int), 0, len(angle) - 1)
    # On the ground the trunk comes to lie flat, and may roll over.
    flat = (np.pi / 2 + rng.normal(0, 0.1) - angle[-1]) * smooth((t - impact) / 0.3)
    rolling = turn([0, 0, 1], rng.normal(0, 0.5) * smooth((t - impact) / rng.uniform(0.3, 1.0)))
    attitude = turn(axis, -(angle[index] + flat))
    trunk, across = attitude[:, :, 2], -attitude @ np.cross(axis, [0, 0, 1])
    swing = person.pelvis * (np.gradient(rate, STEP)[index, None] * across - rate[index, None] ** 2 * trunk)
    swing[:, 2] -= np.gradient(drop, STEP)[index]
    fading = np.exp(-np.clip(t - impact, 0, None) / rng.uniform(0.3, 1.5))[:, None]
    settling = wobble(rng, 4, 1.0) * fading + wobble(rng, 1.5, 0.1)
    # The speed that the pelvis has gathered goes in one blow and a rebound, in which hips, hands and knees have their share.
    gathered = person.pelvis * rate[-1] * across[np.argmax(on_ground)] - [0, 0, drop[-1]]
    blow = pulse(impact, rng.uniform(0.05, 0.13), t)
    blow += rng.uniform(0.05, 0.3) * pulse(impact + rng.uniform(0.15, 0.35), 0.08, t)
    blows = through(person.tissue, np.outer(blow, rng.normal(0, 0.3, 3) - gathered * rng.uniform(0.6, 1.0)))
    force = in_body(np.where(on_ground[:, None], settling, swing) + blows, attitude @ rolling)
    return np.where((t >= start)[:, None], force, before)


def topple(person, rng):
    """An inverted pendulum until it lies: its angle and rate [n], and the speed of a drop [n] once the knees give way."""
    angle, rate, drop = [rng.uniform(0.08, 0.2)], [rng.uniform(0.2, 1.0)], [0.0]
    goal, weakness, knees = rng.uniform(1.25, 1.55), rng.uniform(0, 0.6), rng.uniform(0.3, 0.9)
    while angle[-1] < goal:
        lost = weakness if angle[-1] > knees else 0.0
        # A rod turns by 3/2 g over its length; the pelvis is at 0.56 of it.
        rate.append(rate[-1] + STEP * 0.84 * (1 - lost) * G / person.pelvis * np.sin(angle[-1]))
        angle.append(angle[-1] + STEP * rate[-1])
        drop.append(drop[-1] + STEP * lost * G)
    return np.array(angle), np.array(rate), np.array(drop)


MOTIONS = [rest, walk, run, fall]  # in the order of CLASSES


def windows(people, each, seed):
    """Windows of new people: x float32 [n,384] in g, sample by sample (x, y, z), and labels [n], shuffled.

    Every person has one body, wears one sensor in one way, and gives `each` windows of every class.
    """
    rng = np.random.default_rng(seed)
    x, labels = [], []
    for _ in range(people):
        person, sensor = Person.draw(rng), Sensor.draw(rng)
        for label, motion in enumerate(MOTIONS):
            for _ in range(each):
                x.append(sensor.read(motion(person, rng), rng).ravel())
                labels.append(label)
    order = rng.permutation(len(x))
    return np.array(x, np.float32)[order], np.array(labels)[order]
