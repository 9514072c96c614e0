"""From films to predictions: inference, calibration, novelty, what is told."""
