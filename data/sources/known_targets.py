"""What public sources say of a radiograph, as targets."""

from __future__ import annotations

from data.domain import Target

AGE = Target("age_months", "number", unit="months", minimum=0, maximum=240)
SEX = Target("sex", "choice", choices=("female", "male"))
"""What the RSNA challenge, the Digital Hand Atlas and the phantoms say of a radiograph."""

DIAGNOSIS = Target("diagnosis", "choice", choices=("normal", "pneumonia"))
CAUSE = Target(
    "cause",
    "choice",
    choices=("bacterial", "viral"),
    applies_when=(DIAGNOSIS.name, "pneumonia"),
)
"""What the chest radiographs of Kermany et al. are sorted by."""
