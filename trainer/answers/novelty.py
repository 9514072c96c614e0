"""How unlike the films that were learnt from a film is: not a hand, two hands, a chest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

Features = NDArray[np.float32]

VIEWS = ("features", "picture", "texture")
COMPONENTS = 32
"""Principal components of the features; with 64 the kinds of film below are told no better."""
LOOK_COMPONENTS, LOOK_SIDE = 16, 12
"""Of the coarse picture; cells a side: enough to tell a hand from one that is upside down."""
TEXTURE_COMPONENTS, TEXTURE_SIDE = 8, 6
"""Of the texture; cells a side: enough to tell one hand from two, or from a forearm."""
LEAST_TEXTURE = 0.005
"""Spread of the grey values (0..1) within a cell below which it counts as plain."""
CHUNK = 64
"""Films whose pixels are held as floating-point numbers at a time."""
FIT_CASES = 1000
"""Training films that the distances are fitted to, at most; more do not change them much."""

MIN_FIT_CASES = 20
MIN_SCALE_CASES = 20
SCALE_SHARE = 0.99
"""Share of the calibration films whose distance counts as usual."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where films lie: a Gaussian that is round beyond its first principal components.

    Tipping & Bishop 1999, "Probabilistic principal component analysis".

    Attributes:
        mean: (F,).
        axes: (K, F) orthonormal principal axes.
        spreads: (K,) standard deviations along them.
        rest: (1,) standard deviation along any other direction.
    """

    mean: Features
    axes: Features
    spreads: Features
    rest: Features

    def distances(self, features: Features) -> NDArray[np.float64]:
        """Returns the (N,) Mahalanobis distances of (N, F) features, per root of a dimension."""
        away = features.astype(np.float64) - self.mean
        along = away @ self.axes.T
        beside = np.maximum((away**2).sum(1) - (along**2).sum(1), 0)
        squares = ((along / self.spreads) ** 2).sum(1) + beside / float(self.rest[0]) ** 2
        distances: NDArray[np.float64] = np.sqrt(squares / features.shape[1])
        return distances


@dataclass(frozen=True, slots=True)
class Familiar:
    """The films that were learnt from: as the network sees them, and as they look from afar.

    A network that has seen nothing but hands finds two of them nearly as familiar as one, and an
    even plate not strange enough: where something is shown, and where nothing is, tells them.

    Attributes:
        clouds: Of their features, their coarse pictures and their textures; see `VIEWS`.
        usual: (3,) the distances from the clouds that `SCALE_SHARE` of them keep.
    """

    clouds: tuple[Cloud, ...]
    usual: Features

    def distances(self, features: Features, squares: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Returns the (N,) distances: the largest of the three, each in units of its usual one.

        Args:
            features: (N, F) as the network makes them.
            squares: (N, S, S) grey as they were shown to the network.
        """
        views = (features, *looks(squares))
        each = [cloud.distances(v) for cloud, v in zip(self.clouds, views, strict=True)]
        distances: NDArray[np.float64] = (np.stack(each, 1) / self.usual).max(1)
        return distances

    def to_arrays(self) -> dict[str, Features]:
        """Returns it by the names of its parts, to be kept beside the weights."""
        arrays = {
            f"{view}.{part.name}": getattr(cloud, part.name)
            for view, cloud in zip(VIEWS, self.clouds, strict=True)
            for part in fields(cloud)
        }
        return {**arrays, "usual": self.usual}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Features]) -> Familiar:
        """Reads what `to_arrays` returned.

        Raises:
            KeyError: A part is missing.
        """
        clouds = tuple(
            Cloud(**{part.name: arrays[f"{view}.{part.name}"] for part in fields(Cloud)})
            for view in VIEWS
        )
        return cls(clouds, arrays["usual"])


def fit_familiar(
    features: Features, squares: NDArray[np.uint8], either_hand: bool = False
) -> Familiar | None:
    """Fits what is familiar to training films; None: there are too few, or all are alike.

    Args:
        features: (N, F) as the network makes them.
        squares: (N, S, S) grey as they were shown to the network.
        either_hand: A mirrored film is as familiar as the film.
    """
    if len(features) < MIN_FIT_CASES:
        return None
    seen: tuple[Features, ...] = (features, *looks(squares))
    fitted = seen
    if either_hand:
        mirrored = (features, *looks(squares[:, :, ::-1]))
        fitted = tuple(np.concatenate(pair) for pair in zip(seen, mirrored, strict=True))
    components = (COMPONENTS, LOOK_COMPONENTS, TEXTURE_COMPONENTS)
    clouds = tuple(_fitted(view, n) for view, n in zip(fitted, components, strict=True))
    each = [cloud.distances(view) for cloud, view in zip(clouds, seen, strict=True)]
    usual = np.asarray([np.quantile(distances, SCALE_SHARE) for distances in each], np.float32)
    return Familiar(clouds, usual) if (usual > 0).all() else None


def looks(squares: NDArray[np.uint8]) -> tuple[Features, Features]:
    """Returns how (N, S, S) squares look from afar.

    Returns:
        (N, 144) coarse pictures: the mean grey (0..1) of each cell; (N, 36) textures: the
        logarithm of the spread of the grey values within each larger cell.
    """
    pictures = [np.zeros((0, LOOK_SIDE**2), np.float32)]
    textures = [np.zeros((0, TEXTURE_SIDE**2), np.float32)]
    for start in range(0, len(squares), CHUNK):
        chunk = np.ascontiguousarray(squares[start : start + CHUNK])
        grey = torch.from_numpy(chunk).unsqueeze(1).float() / 255
        mean = adaptive_avg_pool2d(grey, TEXTURE_SIDE)
        variance = adaptive_avg_pool2d(grey**2, TEXTURE_SIDE) - mean**2
        spread = variance.clamp(min=0).sqrt()
        pictures.append(adaptive_avg_pool2d(grey, LOOK_SIDE).flatten(1).numpy())
        textures.append((spread + LEAST_TEXTURE).log().flatten(1).numpy())
    return np.concatenate(pictures), np.concatenate(textures)


def usual_distance(distances: NDArray[np.float64]) -> float | None:
    """Returns the distance that `SCALE_SHARE` of the calibration films keep.

    Args:
        distances: (N,) of the calibration films.

    Returns:
        The distance; None with fewer than `MIN_SCALE_CASES` films, or if all are alike.
    """
    if len(distances) < MIN_SCALE_CASES:
        return None
    usual = float(np.quantile(distances, SCALE_SHARE))
    return usual if usual > 0 else None


def _fitted(features: Features, components: int) -> Cloud:
    count, dimensions = features.shape
    mean = features.mean(0, dtype=np.float64)
    _, values, axes = np.linalg.svd(features - mean, full_matrices=False)
    variances = values**2 / (count - 1)
    kept = min(components, count // 4, dimensions - 1)
    total = float(variances.sum())
    floor = max(total / dimensions * 1e-3, 1e-12)
    rest = max((total - float(variances[:kept].sum())) / (dimensions - kept), floor)
    return Cloud(
        mean.astype(np.float32),
        axes[:kept].astype(np.float32),
        np.sqrt(np.maximum(variances[:kept], rest)).astype(np.float32),
        np.asarray([np.sqrt(rest)], np.float32),
    )
