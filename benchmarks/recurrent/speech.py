"""Speech by espeak-ng, as the mel spectrograms that Resemblyzer's encoder reads."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.recurrent.encoder import BANDS, FRAMES

Floats = NDArray[np.float64]

RATE, WINDOW, STEP = 16000, 400, 160
LOUDNESS = -30.0
"""Of quiet speech, in dB below full scale: it is made so loud."""

SENTENCES = (
    "The birch canoe slid on the smooth planks, and nobody saw where it went.",
    "Glue the sheet to the dark blue background before you leave the house.",
    "It is easy to tell the depth of a well, but not to climb out of it.",
    "Four hours of steady work faced us when the rain began to fall.",
    "A large size in stockings is hard to sell in the middle of summer.",
    "The boy was there when the sun rose over the harbour and the ships left.",
    "A rod is used to catch pink salmon in the rivers of the north.",
    "The source of the huge river is a clear spring between two old trees.",
)
VOICES = tuple(
    f"{accent}+{kind}" for accent in ("en-us", "en-gb", "en-gb-scotland") for kind in ("m1", "f2", "m4", "f4")
)


def write_speech(folder: Path) -> tuple[Path, Path]:
    """Write spectrograms to calibrate on and others to judge by: other sentences by other voices."""
    calib, judged = folder / "calib", folder / "eval"
    for place, (texts, voices) in {
        calib: (SENTENCES[::2], VOICES[::2]),
        judged: (SENTENCES[1::2], VOICES[1::2]),
    }.items():
        place.mkdir()
        for voice in voices:
            for number, text in enumerate(texts):
                frames = spectrogram(spoken(text, voice, 150 + 15 * number, folder / "spoken.wav"))
                for part, start in enumerate(range(0, len(frames) - FRAMES, FRAMES)[:2]):
                    np.save(place / f"{voice}-{number}-{part}.npy", frames[start : start + FRAMES].astype(np.float32))
    return calib, judged


def spoken(text: str, voice: str, speed: int, path: Path) -> Floats:
    """Return samples between -1 and 1."""
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", path, text], check=True)
    with wave.open(str(path)) as file:
        given, rate = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768, file.getframerate()
    places = np.arange(0, len(given) - 1, rate / RATE)
    samples = np.interp(places, np.arange(len(given)), given)
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    samples = samples[loud[0] : loud[-1]]
    gain = LOUDNESS - 10 * np.log10(np.mean(samples**2))
    return np.asarray(samples * 10 ** (max(gain, 0.0) / 20))


def spectrogram(samples: Floats) -> Floats:
    """Return the power in bands of the mel scale, shape (frames, bands)."""
    padded = np.pad(samples, WINDOW // 2)
    starts = np.arange(0, len(padded) - WINDOW, STEP)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(padded[starts[:, None] + np.arange(WINDOW)] * window, axis=1)) ** 2
    return np.asarray(power @ mel_filters().T)


def mel_filters() -> Floats:
    """Return triangles of unit area over the frequencies of a spectrum, shape (bands, WINDOW // 2 + 1).

    Slaney's scale, which librosa uses by default: linear up to 1000 Hz, then logarithmic.
    """
    step = np.log(6.4) / 27
    top = 15 + np.log(RATE / 2 / 1000) / step
    mels = np.linspace(0, top, BANDS + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))[:, None]
    frequencies = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2]))
