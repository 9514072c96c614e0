"""What the figures of the loop mean, in sentences: the same on every page and terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from data.domain import Target
from workers.drift_figures import NOVELTY_SHARE, Drift, Shift
from workers.live_figures import LAST, LiveFigures, ShadowFigures
from workers.loop_figures import TrainingProgress
from workers.queue_state import QueueState, WorkerState

DRIFT_DAYS = 7
"""How far back what was scored lately reaches."""


def live_sentences(live: LiveFigures | None, target: Target, champion: str) -> list[str]:
    """Returns how the champion fares on the labels that arrive."""
    if not champion:
        return ["No model serves yet, so no label can be held against a prediction."]
    if live is None:
        return [f"No radiograph has been read yet that {champion} had scored before."]
    films = _count(live.films, "radiograph")
    sentences = [
        f"On the last {films} that were read after {champion} had scored them (at most {LAST}), "
        f"{_difference(live, target)}."
    ]
    if held := live.intervals:
        low, high = held.ci95
        sentences.append(
            f"{held.inside} of {held.films} lie within their interval: {percent(held.share)} "
            f"[{percent(low)}, {percent(high)}]; {percent(held.promised)} are promised."
        )
    if live.kept:
        sentences.append(
            f"{_count(live.kept, 'reading')} kept the model's values, so true error and coverage "
            "are probably worse."
        )
    return sentences


def shadow_sentence(shadow: ShadowFigures | None, target: Target, champion: str) -> str:
    """Returns whether a challenger is nearer to the readers than the champion."""
    if shadow is None:
        return "There is no challenger."
    if not champion:
        return f"{shadow.challenger} waits as challenger, but no champion serves."
    if not shadow.films:
        return (
            f"{shadow.challenger} waits as challenger; no radiograph has been read yet that both "
            "models had scored before."
        )
    if shadow.ci95[1] < 0:
        verdict = "is nearer to the readers"
    elif shadow.ci95[0] > 0:
        verdict = "is further from the readers"
    else:
        verdict = "does not clearly differ"
    return (
        f"On {_count(shadow.films, 'radiograph')} read after both had scored them the challenger "
        f"{shadow.challenger} {verdict}: {error_text(shadow.challenger_error, target)} against "
        f"{error_text(shadow.champion_error, target)}, difference "
        f"{error_text(shadow.difference, target, shadow.ci95, signed=True)}."
    )


def drift_sentences(drift: Drift | None, target: Target) -> list[str]:
    """Returns whether the films that were scored lately are like those learnt from."""
    if drift is None:
        return [f"Nothing was scored in the last {DRIFT_DAYS} days."]
    name = target.name.removesuffix(f"_{target.unit}").replace("_", " ")
    sentences = []
    if drift.values is not None:
        sentences.append(
            f"Predicted {name} of {_count(drift.values.films, 'radiograph')} scored in the last "
            f"{DRIFT_DAYS} days against {_count(drift.values.against, 'training label')}: "
            f"{_judged(drift.values)}."
        )
    if drift.novelty is not None:
        share = drift.novelty.distance + NOVELTY_SHARE
        sentences.append(
            f"Novelty: {percent(share)} are unlike the films learnt from, 1 % is usual: "
            f"{drift.novelty.verdict}."
        )
    if drift.confidence is not None:
        sentences.append(
            f"Confidence against {_count(drift.confidence.against, 'radiograph')} scored before: "
            f"{_judged(drift.confidence)}."
        )
    return sentences


def scores_sentence(waiting: int, behind: int, champion: str) -> str:
    """Returns what waits for a reader, and what of it for a score."""
    tasks = f"{_count(waiting, 'task')} wait{'s' if waiting == 1 else ''} for a reader"
    if not champion:
        return f"{tasks}; no model scores them yet."
    if not waiting:
        return f"{tasks}."
    if not behind:
        return f"{tasks}, all scored by {champion}."
    return f"{tasks}; {behind} of them wait to be scored by {champion}."


def unreadable_sentence(unreadable: Mapping[str, int]) -> str:
    """Returns how many radiographs cannot be read, and why; empty: every one can."""
    if not unreadable:
        return ""
    why = ", ".join(f"{reason} {count}" for reason, count in unreadable.items())
    return f"{_count(sum(unreadable.values()), 'radiograph')} cannot be read: {why}."


def queue_sentence(queue: QueueState, serving: int) -> str:
    """Returns what waits in a queue and who serves it."""
    who = f"{_count(serving, 'worker')}" if serving else "no worker"
    if not queue.waiting:
        return f"{queue.name}: nothing waits, {who}."
    oldest = "" if queue.oldest_s is None else f", the oldest for {duration(queue.oldest_s)}"
    what = f" ({queue.next_job})" if queue.next_job else ""
    wait = "waits" if queue.waiting == 1 else "wait"
    return f"{queue.name}: {_count(queue.waiting, 'job')} {wait}{oldest}{what}, {who}."


def worker_sentence(worker: WorkerState) -> str:
    """Returns what a worker does."""
    queues = ", ".join(worker.queues)
    heard = f"last heard {duration(worker.heard_s)} ago"
    if not worker.job:
        return f"{queues} worker {worker.name[:8]}: idle, {heard}."
    since = "" if worker.job_s is None else f" for {duration(worker.job_s)}"
    return f"{queues} worker {worker.name[:8]}: {worker.job}{since}, {heard}."


def progress_sentence(progress: TrainingProgress) -> str:
    """Returns how far a training is."""
    since = "" if progress.running_s is None else f", for {duration(progress.running_s)}"
    heard = "" if progress.heard_s is None else f", last heard {duration(progress.heard_s)} ago"
    return f"Training {progress.run}: {progress.stage}{since}{heard}."


def duration(seconds: float) -> str:
    """Returns a length of time as a person says it, such as `3 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def percent(share: float) -> str:
    """Returns a share as text, such as `90 %`; a dash where it is not known."""
    return f"{100 * share:.0f} %" if math.isfinite(share) else "–"


def error_name(target: Target) -> str:
    """Returns what the errors of the figures are, with their unit."""
    if target.kind == "choice":
        return "wrong answers"
    return f"mean absolute error ({target.unit})" if target.unit else "mean absolute error"


def error_text(
    value: float,
    target: Target,
    interval: tuple[float, float] | None = None,
    *,
    signed: bool = False,
) -> str:
    """Returns an error and its interval, such as `9.2 [8.1, 10.4] months`; a dash if unknown."""
    if not math.isfinite(value):
        return "–"
    scale, unit = (100.0, " %") if target.kind == "choice" else (1.0, _unit(target))
    form = "+.1f" if signed else ".1f"
    ends = ""
    if interval is not None and all(map(math.isfinite, interval)):
        ends = f" [{scale * interval[0]:{form}}, {scale * interval[1]:{form}}]"
    return f"{scale * value:{form}}{ends}{unit}".replace("-", "−")


def _judged(shift: Shift) -> str:
    if shift.verdict == "too few":
        return "too few to tell"
    return f"{shift.verdict} (distance {shift.distance:.2f} of 1)"


def _difference(live: LiveFigures, target: Target) -> str:
    error = error_text(live.error, target, live.error_ci95)
    if target.kind == "choice":
        return f"it said otherwise than the reader on {error}"
    if abs(live.bias) < 0.05:
        return f"it differs from the readings by {error} on average, to neither side"
    side = "above" if live.bias > 0 else "below"
    bias = error_text(abs(live.bias), target)
    return f"it differs from the readings by {error} on average and lies {bias} {side} them"


def _unit(target: Target) -> str:
    return f" {target.unit}" if target.unit else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
