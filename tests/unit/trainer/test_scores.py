from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.evaluation.bootstrap import mean_interval, statistic_interval
from trainer.evaluation.coverage import exact_interval
from trainer.evaluation.scores import FEW, score_band, score_number

WIDE = (0.0, 240.0)


def numbers(*values: float) -> np.ndarray:
    return np.asarray(values, np.float64)


def test_the_interval_of_the_root_mean_square_is_the_root_of_that_of_the_mean_square() -> None:
    truth = np.zeros(30)
    told = np.random.default_rng(1).normal(0, 10, 30)

    score = score_number(truth, told, [WIDE] * 30, truth)

    low, high = mean_interval(told**2)
    assert score.rmse_ci95 == (math.sqrt(low), math.sqrt(high))
    assert score.rmse_ci95[0] < score.rmse < score.rmse_ci95[1]


def test_the_interval_of_the_correlation_is_fishers_for_many_normal_cases() -> None:
    # Fisher 1921: atanh(r) is normal with standard error 1 / sqrt(n - 3).
    rng = np.random.default_rng(2)
    truth = rng.normal(size=2000)
    told = 0.8 * truth + 0.6 * rng.normal(size=2000)

    score = score_number(truth, told, [WIDE] * 2000, truth)

    margin = 1.96 / math.sqrt(1997)
    expected = (math.tanh(math.atanh(score.r) - margin), math.tanh(math.atanh(score.r) + margin))
    assert score.r_ci95 == pytest.approx(expected, abs=0.004)


def test_numbers_that_do_not_vary_have_no_correlation() -> None:
    score = score_number(numbers(5, 5, 5), numbers(4, 5, 6), [WIDE] * 3, numbers(5, 5, 5))

    assert math.isnan(score.r)
    assert all(math.isnan(end) for end in score.r_ci95)


def test_the_coverage_has_exact_limits() -> None:
    intervals = [(0.0, 10.0)] * 9 + [(6.0, 10.0)]

    score = score_number(np.full(10, 5.0), np.full(10, 5.0), intervals, np.full(10, 5.0))

    assert score.coverage == 0.9
    assert score.coverage_ci95 == exact_interval(9, 10)


def test_a_band_has_the_figures_of_its_cases() -> None:
    # Errors 3 and -5; the second truth lies outside its interval.
    band = score_band("girls", numbers(10, 20), numbers(13, 15), [(8, 14), (14, 18)])

    assert (band.cases, band.mae, band.bias) == (2, 4.0, -1.0)
    assert band.rmse == math.sqrt((9 + 25) / 2)
    assert band.within == {"6": 1.0, "12": 1.0, "24": 1.0}
    assert (band.coverage, band.interval_width) == (0.5, 5.0)
    assert band.coverage_ci95 == exact_interval(1, 2)


@pytest.mark.parametrize(("cases", "told"), [(FEW - 1, False), (FEW, True)], ids=["few", "enough"])
def test_a_band_tells_a_correlation_only_of_enough_cases(cases: int, told: bool) -> None:
    truth = np.arange(cases, dtype=np.float64)

    band = score_band("girls", truth, truth + truth % 2, [WIDE] * cases)

    assert math.isfinite(band.r) is told


def test_a_band_without_cases_has_no_figures() -> None:
    band = score_band("girls", numbers(), numbers(), [])

    figures = (band.mae, band.rmse, band.r, band.coverage, *band.rmse_ci95, *band.coverage_ci95)
    assert band.cases == 0
    assert all(math.isnan(figure) for figure in figures)


def test_resamples_in_which_a_statistic_is_not_defined_are_left_out() -> None:
    # The share of the first case among its resample, where it is in it at all: never 0.
    def share(rows: np.ndarray) -> np.ndarray:
        shares = (rows == 0).mean(axis=1)
        return np.where(shares > 0, shares, np.nan)

    low, high = statistic_interval(4, share)

    assert low == 0.25
    assert 0.25 < high <= 1.0


def test_a_statistic_that_is_never_defined_has_no_interval() -> None:
    assert all(
        math.isnan(end) for end in statistic_interval(3, lambda rows: np.full(len(rows), np.nan))
    )
