"""Which models there are and which one serves: MLflow's model registry.

A registered model is named like its task; each of its versions carries our model version and
content hash as tags; the aliases `champion` and `challenger` say which one serves and which one
waits.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ModelError, NotFoundError
from trainer.registry.numbers import Dataset, curves_of
from trainer.registry.runs import ARTEFACTS, LOGS, REPORT, RunLog

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
CHALLENGER = "challenger"
VERSION_TAG = "model_version"
HASH_TAG = "content_hash"
HISTORY_TAG = "champions_before"
"""Tag of the registered model: JSON list of the numbers of earlier champions, oldest first."""

HISTORY_LENGTH = 50
PAGE = 200


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A registered model.

    Attributes:
        model_version: `<dataset_version>-<8 hexadecimal digits>`.
        number: Version number in MLflow's registry.
        source: URI of the model folder.
        run_id: MLflow run that made it.
        content_hash: SHA-256 over weights and card.
    """

    model_version: str
    number: int
    source: str
    run_id: str
    content_hash: str


class Registry:
    """The models of one task.

    Args:
        uri: `sqlite:///FILE` (folder and file are made) or the address of an MLflow server.
        name: The task.

    Raises:
        InvalidInputError: The URI is neither.
    """

    def __init__(self, uri: str, name: str) -> None:
        self.name = name
        self._log = RunLog(uri, name)
        # What a version number stands for never changes, so a poll costs one query.
        self._known: dict[int, ModelRef] = {}

    def record(
        self,
        folder: Path,
        metrics: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        report: Path | None = None,
        logs: Path | None = None,
        challenger: bool = True,
    ) -> ModelRef:
        """Logs a run with everything that the model folder knows, and registers the model.

        A model that is registered already is left as it is, so this may be repeated. MLflow's own
        servers can run it (see `trainer.pyfunc.export`).

        Args:
            folder: The model folder.
            metrics: Final metrics; nested ones are named by path, such as `bands/female 0-60/mae`.
            tags: Further tags of the run.
            report: Folder of the evaluation's report, kept as the artefact `report`.
            logs: Folder of the training's log, kept as the artefact `log`.
            challenger: The model waits for the champion's place; an experiment does not.

        Raises:
            ModelError: The folder holds no whole model, or one of another task.
            ServiceUnavailableError: MLflow does not answer.
        """
        from trainer.model.files import check_model
        from trainer.pyfunc.export import write_flavour

        card, _ = check_model(folder)
        if card.task != self.name:
            raise ModelError(f"{card.model_version} is a model of {card.task}, not of {self.name}.")
        known = self._find(card.model_version)
        if known is not None:
            return known
        with tempfile.TemporaryDirectory() as scratch:
            flavour = Path(scratch) / "flavour"
            write_flavour(card, flavour, with_code=False)
            run_id = self._log.write(
                params={**card.options.to_json(), "dataset_version": card.dataset_version},
                epochs=curves_of(card),
                metrics=metrics,
                tags={**card.provenance, **(tags or {}), VERSION_TAG: card.model_version},
                artefacts=[
                    (folder, ARTEFACTS),
                    (flavour, ARTEFACTS),
                    (report, REPORT),
                    (logs, LOGS),
                ],
                dataset=Dataset(
                    self.name, card.dataset_version, card.provenance.get("dataset_commit", "")
                ),
            )
        return self.register(run_id, card.model_version, card.content_hash, challenger)

    def register(
        self, run_id: str, model_version: str, content_hash: str, challenger: bool = True
    ) -> ModelRef:
        """Registers the model of a run and, unless it is an experiment, makes it challenger.

        Raises:
            NotFoundError: There is no such run.
            ServiceUnavailableError: MLflow does not answer.
        """
        with self._log.client() as client:
            self._ensure_registered(client)
            source = f"{client.get_run(run_id).info.artifact_uri}/{ARTEFACTS}"
            tags = {VERSION_TAG: model_version, HASH_TAG: content_hash}
            made = client.create_model_version(
                self.name, source, run_id=run_id, tags=tags, await_creation_for=0
            )
            if challenger:
                client.set_registered_model_alias(self.name, CHALLENGER, made.version)
            return _ref(made)

    def champion(self) -> ModelRef | None:
        """Returns the model that serves, or None as long as there is none.

        Raises:
            ServiceUnavailableError: MLflow does not answer.
        """
        return self._by_alias(CHAMPION)

    def challenger(self) -> ModelRef | None:
        """Returns the newest model, if it is not the champion.

        Raises:
            ServiceUnavailableError: MLflow does not answer.
        """
        return self._by_alias(CHALLENGER)

    def models(self) -> list[ModelRef]:
        """Returns every registered model, the newest first.

        Raises:
            ServiceUnavailableError: MLflow does not answer.
        """
        return self._search(f"name = '{self.name}'")

    def promote(self, model_version: str) -> ModelRef:
        """Makes a registered model the champion and remembers the one before.

        Raises:
            NotFoundError: No model of that version is registered.
            ServiceUnavailableError: MLflow does not answer.
        """
        ref, before = self._get(model_version), self.champion()
        if before is not None and before.number == ref.number:
            return ref
        with self._log.client() as client:
            if before is not None:
                # First the memory, then the deed: a kill in between repeats an entry at most,
                # and entries that are the champion itself are skipped on the way back.
                self._write_history(client, [*self._history(client), before.number])
            client.set_registered_model_alias(self.name, CHAMPION, str(ref.number))
        challenger = self.challenger()
        if challenger is not None and challenger.number == ref.number:
            with self._log.client() as client:
                client.delete_registered_model_alias(self.name, CHALLENGER)
        return ref

    def champion_before(self) -> ModelRef:
        """Returns the model that served before the one that serves now.

        Raises:
            NotFoundError: There was no champion before.
            ServiceUnavailableError: MLflow does not answer.
        """
        now = self.champion()
        if now is None:
            raise NotFoundError("No model serves yet: there is nothing to go back to.")
        with self._log.client() as client:
            earlier = _without_last(now.number, self._history(client))
            if not earlier:
                raise NotFoundError("There was no champion before this one: nothing to go back to.")
            return _ref(client.get_model_version(self.name, str(earlier[-1])))

    def rollback(self, model_version: str) -> None:
        """Makes the champion before this one champion again.

        Args:
            model_version: That of `champion_before`. One that is champion already is left so: a
                call that was killed is finished by repeating it.

        Raises:
            NotFoundError: No model of that version is registered.
            ServiceUnavailableError: MLflow does not answer.
        """
        ref, now = self._get(model_version), self.champion()
        with self._log.client() as client:
            earlier = self._history(client)
            if now is not None and now.number != ref.number:
                earlier = _without_last(now.number, earlier)
                # It ends with the next champion now, wherever a kill comes.
                self._write_history(client, earlier)
                client.set_registered_model_alias(self.name, CHAMPION, str(ref.number))
            self._write_history(client, _without_last(ref.number, earlier))

    def fetch(self, model_version: str, cache: Path) -> Path:
        """Returns a local, verified folder of a model; downloads it once.

        Args:
            model_version: Version of a registered model.
            cache: Folder that keeps fetched models, one folder per version.

        Raises:
            NotFoundError: No model of that version is registered.
            ModelError: What MLflow holds is not what was registered.
            ServiceUnavailableError: MLflow does not answer.
        """
        ref, target = self._get(model_version), cache / model_version
        if _holds(target, ref.content_hash):
            return target
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as draft:
            with self._log.client() as client:
                client.download_artifacts(ref.run_id, ARTEFACTS, draft)
            if not _holds(Path(draft) / ARTEFACTS, ref.content_hash):
                raise ModelError(
                    f"The stored files of {model_version} were altered since it was registered: "
                    "roll back, or train again."
                )
            shutil.rmtree(target, ignore_errors=True)
            try:
                (Path(draft) / ARTEFACTS).rename(target)
            except OSError:  # another process has put the same model there meanwhile
                if not _holds(target, ref.content_hash):
                    raise
        return target

    def _ensure_registered(self, client: MlflowClient) -> None:
        if not client.search_registered_models(f"name = '{self.name}'"):
            client.create_registered_model(self.name)

    def _by_alias(self, alias: str) -> ModelRef | None:
        try:
            with self._log.client() as client:
                # Asking for an alias that is not set is an error like any other; this is not.
                number = client.get_registered_model(self.name).aliases.get(alias)
                if number is None:
                    return None
                if int(number) not in self._known:
                    self._known[int(number)] = _ref(client.get_model_version(self.name, number))
                return self._known[int(number)]
        except NotFoundError:
            return None

    def _get(self, model_version: str) -> ModelRef:
        found = self._find(model_version)
        if found is None:
            raise NotFoundError(f"No model {model_version!r} of {self.name} is registered.")
        return found

    def _find(self, model_version: str) -> ModelRef | None:
        if "'" in model_version:
            return None
        found = self._search(f"name = '{self.name}' and tags.`{VERSION_TAG}` = '{model_version}'")
        return found[0] if found else None

    def _search(self, query: str) -> list[ModelRef]:
        refs: list[ModelRef] = []
        token = None
        with self._log.client() as client:
            while token is not None or not refs:
                page = client.search_model_versions(query, max_results=PAGE, page_token=token)
                refs += [_ref(item) for item in page]
                token = page.token
                if not token:
                    break
        return sorted(refs, key=lambda ref: ref.number, reverse=True)

    def _history(self, client: MlflowClient) -> list[int]:
        tags = client.get_registered_model(self.name).tags
        return [int(number) for number in json.loads(tags.get(HISTORY_TAG, "[]"))]

    def _write_history(self, client: MlflowClient, numbers: list[int]) -> None:
        text = json.dumps(numbers[-HISTORY_LENGTH:])
        client.set_registered_model_tag(self.name, HISTORY_TAG, text)


def _without_last(number: int, numbers: list[int]) -> list[int]:
    """Returns the numbers without those at the end that are this one."""
    end = len(numbers)
    while end and numbers[end - 1] == number:
        end -= 1
    return numbers[:end]


def _ref(version: ModelVersion) -> ModelRef:
    return ModelRef(
        model_version=version.tags.get(VERSION_TAG, ""),
        number=int(version.version),
        source=version.source or "",
        run_id=version.run_id or "",
        content_hash=version.tags.get(HASH_TAG, ""),
    )


def _holds(folder: Path, content_hash: str) -> bool:
    """Whether a folder holds the model of that hash, unaltered."""
    from trainer.model.files import check_model

    try:
        card, _ = check_model(folder)
    except ModelError:
        return False
    return card.content_hash == content_hash
