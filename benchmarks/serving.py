"""How fast the backend answers, against its parts by hand and against a plain server.

A real gunicorn with one process serves a workspace that the script makes: films, models with random
weights (they do not change the speed), a registry. All figures are of requests over HTTP.

1. A task that was scored before, 50 requests a second, each sent when it is due, whatever became of
   those before. Baseline: `GET /health` in the same way.
2. A task that was not: above decode, prepare and forward of one film by hand.
3. 100 tasks that were not, in one request: films a second, against decode, prepare and forward in
   full batches by hand; and against the same network served as the examples of the maintainers' SDK
   do it: one task after the other, PIL, a tensor, a forward of one film, in a Flask server.
4. 600 tasks in one request, not scored before and scored before.
5. Another model is promoted in the middle of 1,000 requests.

With CARPAL_TEST_DATA radiographs of the RSNA challenge, otherwise phantoms.

    python benchmarks/serving.py --json FILE [--rate 50] [--seconds 30]
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from predict_speed import PHANTOM_SIDE, by_hand, model
from report import Figure, arguments, write

from carpal.free_ports import free_port
from carpal.services import settings_environment
from data.domain import Radiograph
from data.images.decoding import read_grey
from data.importing.items import import_items
from data.ledger.ledger import Ledger
from data.pool import Pool
from data.sources.item import SourceItem
from data.sources.phantoms import read_phantoms
from data.sources.rsna import read_rsna
from labeling_config.codec import task_data
from labeling_config.tasks import load_task
from trainer.predictor import Predictor
from trainer.registry.registry import Registry
from workers.settings import Settings, ensure_secrets

ROOT = Path(__file__).resolve().parents[1]
SPEC = load_task("bone_age")
FILMS = 600
FIT = 100
NETWORKS = (("test_resnet", 96), ("mobilenetv2_100", 160))
LONE = 60
"""Requests of one task that was not scored before."""
TOGETHER = 100
ROUNDS = 4
SWAP_REQUESTS = 1000
CLIENTS = 12
KEPT_S = 1.0
"""A connection that was not used for so long is opened anew; gunicorn's own limit is 2 s."""

GOAL_P99_MS = 20.0
GOAL_OVER_MS = 15.0
GOAL_BY_HAND = 0.85
GOAL_PLAIN = 3.0
GOAL_600_S = 100.0


@dataclass
class Bench:
    """What is measured: a running backend and what it serves."""

    settings: Settings
    registry: Registry
    films: list[Radiograph]
    predictors: dict[str, Predictor] = field(default_factory=dict)

    def files(self, films: Sequence[Radiograph]) -> list[Path]:
        """Returns the files of films."""
        return [self.settings.pool / film.path for film in films]

    def promote(self, version: str) -> None:
        """Makes a model champion and returns once it serves."""
        self.registry.promote(version)
        while Client(self.settings).get("/health")["model_version"] != version:
            time.sleep(0.05)


class Client:
    """One connection, which is opened anew before the server gives it up."""

    def __init__(self, settings: Settings, port: int = 0) -> None:
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", port or settings.backend_port, timeout=200
        )
        word = f"{settings.backend_user}:{settings.backend_password}"
        self._headers = {
            "Authorization": f"Basic {base64.b64encode(word.encode()).decode()}",
            "Content-Type": "application/json",
        }
        self._used = 0.0

    def get(self, path: str) -> Any:
        """Returns what is answered."""
        return self._ask("GET", path, None)

    def predict(self, films: Sequence[Radiograph]) -> dict[str, Any]:
        """Asks about films as Label Studio does; an answer without a prediction is an error."""
        tasks = [{"id": n, "data": task_data(SPEC, film)} for n, film in enumerate(films)]
        body = {"tasks": tasks, "label_config": SPEC.config_xml, "project": "1.1"}
        answer = self._ask("POST", "/predict", json.dumps(body))
        lacking = [one for one in answer["results"] if "result" not in one]
        if lacking or len(answer["results"]) != len(films):
            raise RuntimeError(f"{len(lacking)} tasks without a prediction: {lacking[:1]}")
        return dict(answer)

    def _ask(self, method: str, path: str, body: str | None) -> Any:
        if time.monotonic() - self._used > KEPT_S:
            self._connection.close()
        self._used = time.monotonic()
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path} {answer.status}: {content[:200]!r}")
        return json.loads(content)


def main() -> None:
    """Measures everything and writes the figures."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second of part 1")
    parser.add_argument("--seconds", type=float, default=30.0, help="of part 1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        bench, what = workspace(Path(place))
        first, second, *others = versions(bench, Path(place) / "trained")
        with running(bench):
            bench.promote(first)
            figures = six_hundred(bench)
            figures += stored(bench, options.rate, options.seconds)
            figures += swap(bench, first, second)
            for version in others:
                bench.promote(version)
                figures += [*lone(bench, version), *together(bench, version)]
    write("serving", figures, options.json, data=what, rate=options.rate, clients=CLIENTS)


def workspace(home: Path) -> tuple[Bench, str]:
    """Makes a workspace with films, and returns it with what they are."""
    ensure_secrets(home)
    settings = replace(
        Settings.load({"CARPAL_HOME": str(home)}), device="cpu", backend_port=free_port()
    )
    items, what = source()
    with Ledger.open(settings.ledger) as ledger:
        import_items(
            items,
            pool=Pool(settings.pool),
            ledger=ledger,
            source="benchmark",
            salt=settings.salt,
            calibration_share=0.1,
            test_share=0.1,
            reference_splits=frozenset(),
            targets=SPEC.targets,
        )
        films = ledger.radiographs()[:FILMS]
    return Bench(settings, Registry(settings.mlflow, SPEC.name), films), what


def source() -> tuple[Iterator[SourceItem], str]:
    """Returns some films more than are needed, for some may be alike, and what they are."""
    count, data = FILMS + 20, os.environ.get("CARPAL_TEST_DATA")
    if data:
        items = (i for i in read_rsna(Path(data) / "rsna", count, 0) if not i.problem)
        return items, f"{FILMS} radiographs of the RSNA challenge, long side 299 px, JPEG"
    drawn = itertools.islice(read_phantoms(count, 0, PHANTOM_SIDE), count)
    return drawn, f"{FILMS} phantoms of {PHANTOM_SIDE} px, PNG: CARPAL_TEST_DATA is not set"


def versions(bench: Bench, folder: Path) -> list[str]:
    """Registers two models for the first parts, and one of each network for the others."""
    made = []
    wanted = [(*NETWORKS[0], 0), (*NETWORKS[0], 1), *((*one, 2) for one in NETWORKS)]
    for backbone, size, seed in wanted:
        place = folder / f"{backbone}-{seed}"
        predictor = model(place, backbone, size, bench.files(bench.films[:FIT]), seed)
        bench.registry.record(place, {})
        bench.predictors[predictor.model_version] = predictor
        made.append(predictor.model_version)
    return made


@contextmanager
def running(bench: Bench) -> Iterator[None]:
    """Runs the backend as `carpal up` does."""
    settings = bench.settings
    environment = {**os.environ, **settings_environment(settings)}
    command = [sys.executable, "-m", "gunicorn", "ml_backend.app:create_app()"]
    command += ["-c", str(ROOT / "ml_backend" / "gunicorn.conf.py")]
    log = settings.home / "backend.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
        try:
            wait_for(lambda: Client(settings).get("/health")["status"] == "UP", server)
            yield
        finally:
            server.terminate()
            server.wait(60)


def wait_for(up: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    """Returns once a server answers."""
    for _ in range(600):
        try:
            if up():
                return
        except OSError:
            if server.poll() is not None:
                break
        time.sleep(0.1)
    raise RuntimeError("The server does not answer.")


def six_hundred(bench: Bench) -> list[Figure]:
    """Asks about all films at once, twice."""
    client = Client(bench.settings)
    fresh = seconds(partial(client.predict, bench.films))
    again = median(seconds(partial(client.predict, bench.films)) for _ in range(3))
    limit, goal = "Label Studio's limit", f"<= {GOAL_600_S:g} s"
    return [
        Figure(f"{FILMS} tasks in one call", "s", fresh, GOAL_600_S, limit, goal, fresh < 100),
        Figure(f"{FILMS} tasks, scored before", "s", again, GOAL_600_S, limit, goal, again < 100),
    ]


def stored(bench: Bench, rate: float, length_s: float) -> list[Figure]:
    """Asks about tasks that were scored before, at a steady rate."""
    films = itertools.cycle([film] for film in bench.films)
    health = at_rate(bench, rate, length_s / 3, lambda client: client.get("/health"))
    ours = at_rate(bench, rate, length_s, lambda client: client.predict(next(films)))
    figures = []
    for percent, goal in ((50, None), (99, GOAL_P99_MS)):
        mine, plain = (float(np.percentile(one, percent)) * 1000 for one in (ours, health))
        figures.append(
            Figure(
                f"one task, scored before, {rate:g} requests/s, p{percent}",
                "ms",
                mine,
                plain,
                f"GET /health in the same way, p{percent}",
                "" if goal is None else f"<= {goal:g} ms",
                None if goal is None else mine <= goal,
            )
        )
    return figures


def at_rate(
    bench: Bench, rate: float, length_s: float, ask: Callable[[Client], object]
) -> list[float]:
    """Returns how long each request took since it was due, seconds."""
    clients = threading.local()

    def one(due: float) -> float:
        if not hasattr(clients, "mine"):
            clients.mine = Client(bench.settings)
            clients.mine.get("/health")
        time.sleep(max(0.0, due - time.perf_counter()))
        ask(clients.mine)
        return time.perf_counter() - due

    begin = time.perf_counter() + 0.5
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, (begin + n / rate for n in range(int(rate * length_s)))))


def lone(bench: Bench, version: str) -> list[Figure]:
    """Asks about one film after the other, each after it was predicted by hand."""
    predictor, client = bench.predictors[version], Client(bench.settings)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    films, over, hand = bench.films[TOGETHER * ROUNDS :][:LONE], [], []
    one_by_hand(predictor, bench.files(films[:1])[0])
    for film, file in zip(films, bench.files(films), strict=True):
        hand.append(seconds(partial(one_by_hand, predictor, file)))
        over.append(seconds(partial(client.predict, [film])) - hand[-1])
    name = f"{name_of(predictor)}: one task, above decode + forward by hand"
    by_hand_ms = median(hand) * 1000
    figures = []
    for percent, goal in ((50, GOAL_OVER_MS), (95, None)):
        mine = float(np.percentile(over, percent)) * 1000
        figures.append(
            Figure(
                f"{name}, p{percent}",
                "ms",
                mine,
                by_hand_ms,
                "decode + prepare + forward of one film, median",
                "" if goal is None else f"<= {goal:g} ms",
                None if goal is None else mine <= goal,
            )
        )
    return figures


def one_by_hand(predictor: Predictor, file: Path) -> None:
    """Decodes, prepares and computes one film."""
    (squares,) = predictor.prepared(read_grey(file), file.stem)
    with torch.inference_mode():
        predictor.networks[0](torch.from_numpy(squares)[None, None].float() / 255)


def together(bench: Bench, version: str) -> list[Figure]:
    """Asks about many films at once, in turns with both baselines."""
    predictor, client = bench.predictors[version], Client(bench.settings)
    spent: dict[str, list[float]] = {"ours": [], "hand": [], "plain": []}
    with plain_server(bench, version) as plain:
        plain.predict(bench.films[:8])
        for number in range(ROUNDS):
            films = bench.films[number * TOGETHER : (number + 1) * TOGETHER]
            torch.set_num_threads(1)
            spent["hand"].append(seconds(partial(by_hand, predictor, bench.files(films))))
            spent["plain"].append(seconds(partial(plain.predict, films)))
            spent["ours"].append(seconds(partial(client.predict, films)))
    ours, hand, served = (TOGETHER / median(spent[key]) for key in ("ours", "hand", "plain"))
    name = f"{name_of(predictor)}: {TOGETHER} tasks"
    return [
        Figure(
            name,
            "films/s",
            ours,
            hand,
            "decode + prepare + forward in full batches by hand",
            f">= {GOAL_BY_HAND:g} of it",
            ours / hand >= GOAL_BY_HAND,
        ),
        Figure(
            name,
            "films/s",
            ours,
            served,
            "the same network in a plain server, one task after the other",
            f">= {GOAL_PLAIN:g} of it",
            ours / served >= GOAL_PLAIN,
        ),
    ]


@contextmanager
def plain_server(bench: Bench, version: str) -> Iterator[Client]:
    """Runs `plain_backend.py` on the files of a model, as the SDK's examples are run."""
    port = free_port()
    folder = bench.registry.fetch(version, bench.settings.home / "plain")
    environment = {**os.environ, "PLAIN_MODEL": str(folder), "PLAIN_POOL": str(bench.settings.pool)}
    command = [sys.executable, "-m", "gunicorn", "plain_backend:app", "--threads", "8"]
    command += ["--bind", f"127.0.0.1:{port}", "--timeout", "200", "--log-level", "error"]
    place = Path(__file__).parent
    server = subprocess.Popen(
        command, cwd=place, env={**environment, "PYTHONPATH": f"{ROOT}:{place}"}
    )
    try:
        wait_for(lambda: bool(Client(bench.settings, port).get("/health")), server)
        yield Client(bench.settings, port)
    finally:
        server.terminate()
        server.wait(60)


def swap(bench: Bench, first: str, second: str) -> list[Figure]:
    """Promotes another model while many clients ask about two films at a time."""
    failures: list[str] = []
    seen: dict[str, int] = {}
    numbers, lock = itertools.count(), threading.Lock()

    def ask() -> None:
        client = Client(bench.settings)
        while (number := next(numbers)) < SWAP_REQUESTS:
            if number == SWAP_REQUESTS // 2:
                bench.registry.promote(second)
            films = [bench.films[(number * step) % len(bench.films)] for step in (1, 7)]
            try:
                said = {one["model_version"] for one in client.predict(films)["results"]}
                with lock:
                    seen.update({one: seen.get(one, 0) + 1 for one in said})
                    failures.extend([f"mixed: {said}"] if len(said) > 1 else [])
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures[:3]:
        print(failure, file=sys.stderr)
    name = f"failed or mixed of {SWAP_REQUESTS} requests, {CLIENTS} at a time, model swapped"
    both = seen.keys() == {first, second}
    after = f"answered by the new one: {seen.get(second, 0)}"
    done = not failures and both
    return [Figure(name, "requests", len(failures), SWAP_REQUESTS, after, "0", done)]


def seconds(work: Callable[[], object]) -> float:
    """Returns what a piece of work took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def name_of(predictor: Predictor) -> str:
    """Returns the network of a model in words."""
    options = predictor.card.options
    return f"{options.backbone} at {options.image_size} px"


if __name__ == "__main__":
    main()
