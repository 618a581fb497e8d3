"""MFCC windows, the speech features of arXiv 2002.10137, in the columns of the product's: the baseline.

25 ms windows every 10 ms, 13 cepstra of which the first is left out, 28 rows (280 ms) around every frame
(Davis & Mermelstein 1980 for the cepstra). The columns that the product fills with its encoder's 384 taps hold these
336 numbers and zeros; prosody is left as it is.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from motion.encoder import HOP, WIDTH, log_mel
from motion.features import extract
from motion.prosody import FRAME

Array = NDArray[np.float32]

CEPSTRA = 13
ROWS = 28


def mfcc(samples: Array) -> Array:
    """(N,) samples at 16 kHz -> (N // 160, 12) cepstra 1 to 12 of the log-mel spectrum."""
    level = max(float(samples.std()), 5e-4)
    mel = log_mel((samples / level).astype(np.float32))  # (80, N // 160)
    cepstra = scipy.fft.dct(mel, type=2, axis=0, norm="ortho")[1:CEPSTRA]
    lift = 1 + 11 * np.sin(np.pi * np.arange(1, CEPSTRA) / 22)  # the customary lifter of 22
    return np.asarray((cepstra * lift[:, None]).T, np.float32)


def mfcc_features(samples: Array) -> Array:
    """(N,) -> (ceil(N / 640), D): the product's features with MFCC windows instead of the encoder's taps."""
    features = extract(samples)
    frames, step = len(features), FRAME // HOP
    padded = np.pad(samples, (0, max(0, frames * FRAME - len(samples))))
    rows = mfcc(padded)
    around = np.pad(rows, ((ROWS, ROWS), (0, 0)), mode="edge")
    # Frame k's centre is row 4 k + 2; 28 rows around it.
    first = ROWS + step * np.arange(frames) + step // 2 - ROWS // 2
    windows = around[first[:, None] + np.arange(ROWS)]  # (T, 28, 12)
    features[:, :WIDTH] = 0
    features[:, : ROWS * (CEPSTRA - 1)] = windows.reshape(frames, -1)
    return features
