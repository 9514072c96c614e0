"""Which band a case belongs to as far as the model can tell, for intervals that hold in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.domain import Target
from trainer.answers.raw_outputs import Numbers, RawOutputs
from trainer.evaluation.bands import Band


@dataclass(frozen=True, slots=True)
class Grouping:
    """The bands of the number that the gate judges, such as girls of 4 to 8 years.

    The truth is not known when a model answers, so a case is counted by what the model tells of
    it: conformal prediction within categories that are a function of the case (Vovk, Gammerman &
    Shafer 2005, "Algorithmic learning in a random world", section 4.5).

    Attributes:
        target: The number target; empty: there are no bands.
        bands: In the order of `bands_of`.
        by: The choice target that splits the bands, or None.
        known: (N, choices of `by`) what is known of it, see `targets.encode_known`; None: nothing.
    """

    target: str
    bands: tuple[Band, ...] = ()
    by: Target | None = None
    known: NDArray[np.float32] | None = None

    def of(self, told: Numbers, raw: RawOutputs) -> list[str]:
        """Returns the name of the band of each of N cases; empty: it is in none.

        Args:
            told: (N,) the number as the model tells it, corrected.
            raw: The model's other answers.
        """
        if not self.bands:
            return [""] * len(told)
        lowest, highest = self.bands[0].low, max(band.high for band in self.bands)
        choices = self._choices(raw, len(told))
        return [
            self._name(float(np.clip(number, lowest, highest)), choice)
            for number, choice in zip(told, choices, strict=True)
        ]

    def _name(self, number: float, choice: str) -> str:
        case = {self.target: number} | ({self.by.name: choice} if self.by else {})
        return next((band.name for band in self.bands if band.holds(self.target, case)), "")

    def _choices(self, raw: RawOutputs, count: int) -> Sequence[str]:
        if self.by is None or self.by.name not in raw.logits:
            return [""] * count
        answers = raw.logits[self.by.name].argmax(1)
        if self.known is not None and self.known.size:
            answers = np.where(self.known.any(1), self.known.argmax(1), answers)
        return [self.by.choices[int(answer)] for answer in answers]
