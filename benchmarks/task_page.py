"""How long the labelling page takes to be usable, beside Label Studio's own page.

Starts a workbench of its own with Label Studio and a browser. A page is usable once the number
field is filled in; the clock starts with the navigation. Baseline: the same project, tasks and
predictions under a bare configuration (image, number, choices), in the same browser, in turns;
which of the two opens a film first changes from film to film, as the second finds it in the
browser's cache.

With CARPAL_TEST_DATA radiographs of the RSNA challenge, otherwise phantoms.

    python benchmarks/task_page.py --json FILE [--films 20]
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, expect, sync_playwright
from report import Figure, arguments, write
from rich.console import Console

from carpal.filling import Source, fill_pool, phantoms, rsna
from carpal.services import with_absolute_paths
from carpal.side_workspace import side_workspace
from carpal.up import running_stack
from data.domain import Prediction, TaskSpec
from data.ledger.ledger import Ledger
from labeling_config.client import LabelStudio
from labeling_config.codec import prediction_to_json
from workers.assembly import label_studio, open_ledger, pool, task
from workers.bootstrap import connect
from workers.settings import Settings
from workers.standards import Standards
from workers.strips import StandardPictures, Strips, write_strips

POOL = 300
MODEL = "v0001-00000000"
GOAL_OVER_S = 1.5
LIMIT_MS = 60_000
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
BARE = """<View>
  <Image name="image" value="$image"/>
  <Number name="age_months" toName="image" min="0" max="240"/>
  <Choices name="sex" toName="image" choice="single-radio">
    <Choice value="female"/><Choice value="male"/>
  </Choices>
  <TextArea name="age_months_model" toName="image" editable="false"/>
  <TextArea name="sex_model" toName="image" editable="false"/>
  <TextArea name="model_version" toName="image" editable="false"/>
</View>"""


def main() -> None:
    """Opens films under both configurations and writes the figures."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--films", type=int, default=20, help="opened under each configuration")
    options = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        own = with_absolute_paths(Settings.load())
        settings = side_workspace(Path(folder), {}, own, retrain_first_after=10**6)
        source = _source()
        fill_pool(settings, source, console)
        with running_stack(settings, console), open_ledger(settings) as ledger:
            project = connect(settings)
            client, spec = label_studio(settings), task(settings)
            tasks = _prepare(settings, client, ledger, spec, project)[: options.films]
            ours, pictures, bare = _measure(settings, client, spec, project, tasks)
    over = median(ours) - median(bare)
    figure = Figure(
        "labelling page usable, median",
        "s",
        median(ours),
        median(bare),
        "the same project under a bare configuration, median",
        f"<= {GOAL_OVER_S:g} s above the bare one",
        over <= GOAL_OVER_S,
    )
    write(
        "task_page",
        [figure],
        options.json,
        films=source.name,
        seconds_above={"median": over, "worst pair": max(map(float.__sub__, ours, bare))},
        ours_s=ours,
        bare_s=bare,
        reference_cases_shown_s=pictures,
    )


def _source() -> Source:
    data = os.environ.get("CARPAL_TEST_DATA", "")
    if not data:
        print("CARPAL_TEST_DATA is not set: phantoms.", file=sys.stderr)
        return phantoms(POOL, seed=3)
    return rsna(Path(data) / "rsna", limit=POOL)


def _prepare(
    settings: Settings, client: LabelStudio, ledger: Ledger, spec: TaskSpec, project: int
) -> list[int]:
    """Gives every task a prediction and its reference cases, as a scoring does."""
    films = {t: ledger.radiograph(r) for t, r in ledger.task_links(project).items()}
    said = {
        number: (film, _prediction(film.id, 24.0 + number % 180))
        for number, film in films.items()
        if film is not None
    }
    rows = [(number, prediction_to_json(spec, one)) for number, (_, one) in said.items()]
    client.write_predictions(project, rows)
    client.request("PATCH", f"/api/projects/{project}/", body={"model_version": MODEL})
    standards = Standards.load(ledger, spec)
    strips = Strips(spec, standards, StandardPictures(pool(settings)), settings.pages)
    write_strips(client, project, strips, said, lambda: True)
    return sorted(said)


def _prediction(radiograph_id: str, age: float) -> Prediction:
    return Prediction(
        radiograph_id,
        MODEL,
        {"age_months": age, "sex": "female"},
        {"age_months": (age - 12, age + 12)},
        {"sex": {"female": 0.9, "male": 0.1}},
        0.5,
        used={"sex": "female"},
        predicted_inputs=("sex",),
    )


def _measure(
    settings: Settings, client: LabelStudio, spec: TaskSpec, project: int, tasks: list[int]
) -> tuple[list[float], list[float], list[float]]:
    """Returns seconds until usable under our configuration, until the pictures; under the bare."""
    ours: list[float] = []
    pictures: list[float] = []
    bare: list[float] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(LIMIT_MS)
        _sign_in(page, settings)
        for number, task_id in enumerate([tasks[0], *tasks]):
            for config in (BARE, spec.config_xml)[:: 1 if number % 2 else -1]:
                body = {"label_config": config}
                client.request("PATCH", f"/api/projects/{project}/", body=body)
                address = f"{settings.label_studio}/projects/{project}/data?task={task_id}"
                usable, shown = _open(page, address)
                if number == 0:
                    continue  # The first visits fill the browser's cache with Label Studio itself.
                if config == BARE:
                    bare.append(usable)
                else:
                    ours.append(usable)
                    pictures.append(shown)
        browser.close()
    return ours, pictures, bare


def _open(page: Page, address: str) -> tuple[float, float]:
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    field = page.locator("input[name=age_months]").first
    field.wait_for()
    expect(field).not_to_have_value("", timeout=LIMIT_MS)
    usable = time.perf_counter() - began
    page.wait_for_function("[...document.querySelectorAll('.standard img')].every(i => i.complete)")
    return usable, time.perf_counter() - began


def _sign_in(page: Page, settings: Settings) -> None:
    page.goto(f"{settings.label_studio}/user/login/")
    page.fill("input[name=email]", settings.label_studio_email)
    page.fill("input[name=password]", settings.label_studio_password)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile("/projects|/$"))


if __name__ == "__main__":
    main()
