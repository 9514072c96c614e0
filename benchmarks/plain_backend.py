"""A plain ML backend, as the examples of the maintainers' SDK are written: the rival of serving.py.

One task after the other: the image is opened with PIL, brought to a tensor, and passed through the
network alone. It is served by gunicorn with one process and eight threads, as the SDK's images are.
It reads the pool's files from disk, answers every task the same regions, and keeps nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import torch
from flask import Flask, request
from PIL import Image

from trainer.model.files import load_model

POOL = Path(os.environ["PLAIN_POOL"])
(PART, *_), CARD = load_model(Path(os.environ["PLAIN_MODEL"]))
NETWORK = PART.network.eval()
SIZE = CARD.options.image_size

app = Flask(__name__)


@app.get("/health")
def health() -> dict[str, str]:
    """Says that the server is there."""
    return {"status": "UP"}


@app.post("/predict")
def predict() -> dict[str, Any]:
    """Answers the tasks, one after the other."""
    body = request.get_json()
    return {"results": [predict_task(task) for task in body["tasks"]]}


def predict_task(task: dict[str, Any]) -> dict[str, Any]:
    """Returns what the network says of the image of a task."""
    (name,) = parse_qs(urlsplit(task["data"]["image"]).query)["d"]
    image = Image.open(POOL / name).convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).float().div(255)[None, None]
    with torch.no_grad():
        numbers, classes = (group[0] for group in NETWORK(pixels).heads)
    chances = torch.softmax(classes.flatten(), 0)
    number = {"number": float(numbers.flatten()[0])}
    choice = {"choices": ["female" if chances[0] > chances[1] else "male"]}
    return {
        "model_version": CARD.model_version,
        "score": float(chances.max()),
        "result": [
            {"from_name": "age_months", "to_name": "image", "type": "number", "value": number},
            {"from_name": "sex", "to_name": "image", "type": "choices", "value": choice},
        ],
    }
