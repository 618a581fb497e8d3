"""The mouth in consecutive frames, and the sound beside it: what tells whether lips and voice belong together."""

from __future__ import annotations

from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from faces.mouth import lip_shape
from fitting.landmarks import FaceLandmarker
from media.survey import Survey, SurveyFrame


class MouthWatch:
    """Follows the face through the frames of an inspection; give it to :func:`fitting.inspect.inspect_clip`.

    Args:
        most: frames to follow at most, at every second one of 25 a second; a longer clip is followed in stretches.
    """

    def __init__(self, most: int = 240) -> None:
        self.most = most
        self._landmarker = FaceLandmarker()
        self._lips: dict[int, NDArray[np.float64]] = {}
        self._frames = 0
        self._speech: NDArray[np.int16] | None = None

    def __enter__(self) -> MouthWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._landmarker.close()

    def see(self, frame: SurveyFrame) -> None:
        """Find the mouth in a frame; frames come in order."""
        faces = self._landmarker.detect(frame.image)
        if faces:
            self._lips[frame.index] = lip_shape(faces[0])

    def hear(self, survey: Survey) -> None:
        """Take the sound."""
        self._frames, self._speech = len(survey.thumbnails), survey.speech

    @property
    def samples(self) -> NDArray[np.float32] | None:
        """(N,) the sound at 16 kHz in [-1, 1]; sample 640 k is at frame k. None when the clip has none."""
        return None if self._speech is None else self._speech.astype(np.float32) / 32767

    @property
    def lips(self) -> NDArray[np.float64]:
        """(T, 2) of :func:`faces.mouth.lip_shape` at 25 fps, NaN in frames that were not looked at or show no face."""
        lips = np.full((self._frames, 2), np.nan)
        for index, shape in self._lips.items():
            if index < self._frames:
                lips[index] = shape
        return lips
