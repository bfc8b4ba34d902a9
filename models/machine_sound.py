"""The simulated sound of a small machine, sound or faulty, and its log-mel spectrum.

A motor drives a fan through a pair of gears. Nothing is recorded: a window is 192 ms
at 16 kHz, made of harmonics of the shafts, the meshing gears and the blades, of hum,
turbulence and rolling bearings, through the resonances of a casing, in a hall with
other noise. A fault adds what it adds to a real machine: blows at the rate of a
damaged part, sidebands, half orders, friction, or more unbalance.
"""

from dataclasses import dataclass

import numpy as np

RATE = 16_000
FRAME, HOP, FRAMES, MELS = 1024, 512, 5, 128
LENGTH = FRAME + (FRAMES - 1) * HOP
TIMES = np.arange(LENGTH) / RATE
HERTZ = np.fft.rfftfreq(LENGTH, 1 / RATE)

TEETH = 19  # of the motor's gear
RATIO = 0.38  # of the fan's speed to the motor's
BLADES = 7
OUTER, INNER = 3.05, 4.95  # blows per turn of a bearing with eight balls, by a damaged ring

REFERENCE_DB, LIMIT_DB = -29.0, 32.0  # features are dB above the reference, within this limit


# Features.

def slaney(hertz):
    """Slaney's mel scale: linear up to 1 kHz, logarithmic above."""
    hertz = np.asarray(hertz, float)
    return np.where(hertz < 1000, hertz * 3 / 200, 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4))


def mel_filters():
    """Triangles [MELS, FRAME/2+1], equally spaced in mel from 0 to half the rate, each of area 1."""
    grid = np.linspace(0, RATE / 2, 40_001)
    edges = np.interp(np.linspace(0, slaney(RATE / 2), MELS + 2), slaney(grid), grid)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    hertz = np.fft.rfftfreq(FRAME, 1 / RATE)
    rise, drop = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return np.maximum(0, np.minimum(rise, drop)) * 2 / (high - low)


FILTERS = mel_filters()
HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)


def log_mel(sounds):
    """Features float32 [n, FRAMES*MELS] of sounds [n,LENGTH], frame after frame."""
    frames = np.stack([sounds[:, i * HOP : i * HOP + FRAME] for i in range(FRAMES)], axis=1)
    power = np.abs(np.fft.rfft(frames * HANN)) ** 2 / FRAME
    decibels = 10 * np.log10(power @ FILTERS.T + 1e-10) - REFERENCE_DB
    return np.clip(decibels, -LIMIT_DB, LIMIT_DB).astype(np.float32).reshape(len(sounds), FRAMES * MELS)


# Machines.

@dataclass
class Machine:
    """One of a series, where it stands. Amplitudes are sound pressures in an arbitrary unit."""

    speed: float  # turns of the motor a second
    shaft: np.ndarray  # amplitudes of harmonics
    mesh: np.ndarray
    blades: np.ndarray
    hum: np.ndarray
    bearing: float
    turbulence: float
    hall: float
    casing: np.ndarray  # response at HERTZ
    floor: np.ndarray  # spectrum of the hall at HERTZ

    @classmethod
    def draw(cls, rng):
        def about(values, spread):
            return np.asarray(values) * np.exp(rng.normal(0, spread, np.shape(values)))

        return cls(
            speed=rng.normal(47, 1.5),
            shaft=about([0.5, 0.3, 0.15, 0.1, 0.06, 0.04], 0.25), mesh=about([0.25, 0.12, 0.05], 0.25),
            blades=about([0.2, 0.08, 0.03], 0.25), hum=about([0.1, 0.04, 0.02], 0.3),
            bearing=about(0.05, 0.2), turbulence=about(0.4, 0.2), hall=about(0.15, 0.5),
            casing=casing(about([310, 820, 1700, 3100, 4600], 0.03), about([5, 7, 8, 6, 5], 0.1)),
            floor=1 / np.sqrt(1 + (HERTZ / about(250, 0.4)) ** 1.6))


def casing(peaks, quality):
    """Response [LENGTH/2+1] of resonances in parallel over a flat rest that fades with frequency."""
    u = HERTZ / peaks[:, None]
    return (1 + (u ** 2 / (1 - u ** 2 + 1j * u / quality[:, None])).sum(axis=0)) / (1 + HERTZ / 6000)


@dataclass
class Condition:
    """What a fault changes."""

    unbalance: float = 1.0  # factor of the motor's first harmonic
    sidebands: float = 0.05  # depth to which a turn of the motor modulates the gears
    half_orders: float = 0.0  # amplitude
    friction: float = 1.0  # factor of the bearings' noise
    squeal: float = 0.0  # amplitude of a tone
    blows: float = 0.0  # strength
    rate: float = 1.0  # of blows, per turn
    slip: float = 0.0  # spread of their intervals
    swell: float = 0.0  # depth to which a turn modulates them
    rings: tuple = (1000.0, 0.001)  # what they excite: frequency in Hz, decay in s


def outer_ring(severity, rng):
    return Condition(blows=2 * severity, rate=OUTER, slip=0.02, rings=(rng.uniform(3000, 5500), 0.0012))


def inner_ring(severity, rng):
    return Condition(blows=2 * severity, rate=INNER, slip=0.02, swell=0.9, rings=(rng.uniform(3000, 5500), 0.0012))


def tooth(severity, rng):
    return Condition(blows=4 * severity, slip=0.005, rings=(rng.uniform(1500, 3000), 0.0025), sidebands=0.05 + 0.6 * severity)


def unbalance(severity, rng):
    return Condition(unbalance=1 + 8 * severity)


def looseness(severity, rng):
    return Condition(half_orders=severity)


def rubbing(severity, rng):
    return Condition(squeal=0.15 * severity)


def dry_bearing(severity, rng):
    return Condition(friction=1 + 8 * severity)


FAULTS = [outer_ring, inner_ring, tooth, unbalance, looseness, rubbing, dry_bearing]


# Sound.

def harmonics(phase, amplitudes, rng):
    """Harmonics of a phase [LENGTH] in turns, in random relation."""
    return sum(a * np.sin(2 * np.pi * k * phase + rng.uniform(0, 2 * np.pi)) for k, a in enumerate(amplitudes, 1))


def noise(spectrum, rng):
    """Gaussian noise [LENGTH] whose power is 1 where the spectrum [LENGTH/2+1] is."""
    white = rng.standard_normal((2, len(spectrum)))
    return np.fft.irfft(spectrum * (white[0] + 1j * white[1]), LENGTH) * np.sqrt(LENGTH / 2)


def hammered(condition, phase, rng):
    """The resonance that blows excite, [LENGTH]."""
    at = np.flatnonzero(np.diff(np.floor(condition.rate * phase + rng.uniform(0, 1))) > 0)
    interval = LENGTH / (condition.rate * (phase[-1] - phase[0]))
    at = np.clip(at + rng.normal(0, condition.slip * interval, len(at)).astype(int), 0, LENGTH - 1)
    impulses = np.zeros(LENGTH)
    impulses[at] = rng.normal(1, 0.15, len(at))
    impulses *= 1 + condition.swell * np.sin(2 * np.pi * phase)
    frequency, decay = condition.rings
    t = np.arange(400) / RATE
    return np.convolve(impulses, np.sin(2 * np.pi * frequency * t) * np.exp(-t / decay))[:LENGTH]


def sound(machine, condition, rng):
    """[LENGTH] of a machine at a random load."""
    load = rng.uniform(0.3, 1.0)
    speed = machine.speed * (1.03 - 0.06 * load) * rng.normal(1, 0.003)
    phase = speed * TIMES + rng.uniform(0, 1)
    fan, loudness = RATIO * phase, load ** 0.7
    made = harmonics(phase, machine.shaft * np.r_[condition.unbalance, np.ones(len(machine.shaft) - 1)], rng)
    made += harmonics(phase / 2, condition.half_orders / np.arange(1, 16), rng)
    made += loudness * harmonics(TEETH * phase, machine.mesh, rng) * (1 + condition.sidebands * np.sin(2 * np.pi * phase))
    made += harmonics(BLADES * fan, machine.blades, rng)
    made += machine.bearing * condition.friction * noise(np.clip(HERTZ / 3000, 0, 1), rng)
    made += loudness * machine.turbulence * noise(1 / (1 + HERTZ / 400), rng)
    if condition.squeal:
        tone = np.sin(2 * np.pi * rng.uniform(2000, 6000) * TIMES)
        made += condition.squeal * tone * (1 + 0.8 * np.sin(2 * np.pi * fan + rng.uniform(0, 2 * np.pi)))
    if condition.blows:
        made += condition.blows * hammered(condition, phase, rng)
    made = np.fft.irfft(np.fft.rfft(made) * machine.casing, LENGTH)
    made += machine.hall * np.exp(rng.normal(0, 0.3)) * noise(machine.floor, rng)
    return made + harmonics(100 * TIMES, machine.hum, rng) + 1e-3 * rng.standard_normal(LENGTH)


def windows(machines, healthy, faulty, seed):
    """Windows of new machines: features x float32 [n,640], and labels [n] (0: healthy, else 1 + the number of the fault), shuffled.

    Every machine gives this many windows of either kind, faults in turn, from hardly audible ones to bad ones.
    """
    rng = np.random.default_rng(seed)
    sounds, labels = [], []
    for _ in range(machines):
        machine = Machine.draw(rng)
        for _ in range(healthy):
            sounds.append(sound(machine, Condition(), rng))
            labels.append(0)
        for number in range(faulty):
            fault = number % len(FAULTS)
            severity = np.exp(rng.uniform(np.log(0.15), 0))
            sounds.append(sound(machine, FAULTS[fault](severity, rng), rng))
            labels.append(1 + fault)
    order = rng.permutation(len(sounds))
    return log_mel(np.array(sounds))[order], np.array(labels)[order]
