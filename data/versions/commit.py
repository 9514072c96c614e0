"""Commit one dataset version, wholly or not at all: on the dataset branch, or as a proposal.

The images go into DVC while the tables are written: DVC's process takes longer to start than
everything that grows with the rows of 100,000 radiographs.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.atomic import sync_files, write_file
from data.domain import TaskSpec
from data.errors import VersionError
from data.versions.attempt import DRAFTS, NO_VERSION, attempt
from data.versions.draft import (
    LABELS,
    SPLITS,
    LabelState,
    RowChange,
    Tables,
    VersionDraft,
    change_rows,
    change_tables,
    draft_version,
    no_tables,
)
from data.versions.dvc_calls import dvc_at_work
from data.versions.git_calls import Git
from data.versions.proposals import Proposal, propose, store_files
from data.versions.shards import (
    ShardedImage,
    Shards,
    make_shard,
    plan_shard,
    read_remote,
    remote_in,
    remove_shard,
    shard_files,
    shard_name,
    shard_names,
)
from data.versions.tags import next_number, read_tag, set_tag
from data.versions.tally import Tally
from data.versions.tally_file import read_tally, write_tally
from data.versions.text import read_trailers
from data.versions.work_tree import hand_edits, read_tables

DVC_CONFIG = ".dvc/config"
_IMAGES_AT = "carpal.imagesAt"
"""git setting: a DVC remote that has all images, though `.dvc/config` does not name it yet."""


@dataclass(frozen=True, slots=True)
class Committer:
    """What it takes to commit versions; the caller holds the writer lock.

    Attributes:
        git: The repository, whose work tree is clean and on the dataset branch.
        pool: The pool that images are linked from.
        spec: The task.
        dvc_remote: DVC remote that every version is pushed to; empty: none.
        review: A version is committed as a proposal.
    """

    git: Git
    pool: Path
    spec: TaskSpec
    dvc_remote: str
    review: bool

    def commit(self, state: LabelState, latest: str | None) -> str:
        """Commits the version that comes after `latest`.

        Returns:
            Its name; `latest` if nothing is different from it.

        Raises:
            VersionError: A patient would be in two splits, an image is not in the pool, there is
                no label, or git or DVC failed.
            StorageError: The disk is full.
        """
        number = next_number(self.git, latest)
        shards = Shards(self.git.root)
        there = shards.find({row.radiograph.id for row in state.labelled})
        missing = [row.radiograph for row in state.labelled if row.radiograph.id not in there]
        added = plan_shard(number, missing, self.pool)
        images = {**there, **added}
        # A new image is a new row; without one it may come to nothing.
        found = None if added else self._changes(state, latest, images)
        if found and not found[1].lines:
            if latest is None:
                raise VersionError("There is no label to commit yet.")
            return latest
        with attempt(self.git, number):
            with self._images_on_their_way(number, added):
                tables, change = found or self._changes(state, latest, images)
                new = change_tables(self.spec, tables, change)
                large = {LABELS: new.labels.text, SPLITS: new.splits.text}
                with self._stored(large) as stored:
                    draft = draft_version(
                        self.spec,
                        state,
                        (tables, new),
                        change,
                        number=number,
                        image_bytes=self._image_bytes(latest, new, change, images, shards),
                        overwrites=hand_edits(self.git, latest) if latest else "",
                        carried=self._tally(latest),
                    )
                    objects = stored()
                self._keep(draft, objects)
            small = {name: text for name, text in draft.texts.items() if name not in large}
            with self._stored(small) as stored:
                objects |= stored()
            self._publish(draft, objects, number, shard_files(number) if added else ())
        return draft.name

    def images_are_there(self) -> bool:
        """Says whether the DVC remote that is set holds the images of all versions."""
        if not self.dvc_remote or read_remote(self.git.root) == self.dvc_remote:
            return True
        return self.git.ask("config", _IMAGES_AT) == self.dvc_remote

    def move_images(self) -> None:
        """Brings all images to a DVC remote that was set since the last version.

        Under review the address itself comes with the next proposal.

        Raises:
            VersionError: DVC failed.
        """
        if self.images_are_there() or not shard_names(self.git.root):
            return
        with attempt(self.git, NO_VERSION):
            with self._images_on_their_way(NO_VERSION, {}):
                pass
            if self.review:
                self.git.run("restore", "--", DVC_CONFIG)
                self.git.run("config", _IMAGES_AT, self.dvc_remote)
            else:
                self.git.run("add", "--", DVC_CONFIG)
                message = f"Keep the images in {self.dvc_remote}"
                self.git.run("commit", "--quiet", f"--message={message}")

    def is_up_to_date(self, proposal: Proposal) -> bool:
        """Says whether the images of a proposal are where they belong now."""
        return remote_in(self.git.run("show", f"{proposal.commit}:{DVC_CONFIG}")) == self.dvc_remote

    def _changes(
        self, state: LabelState, latest: str | None, images: Mapping[str, ShardedImage]
    ) -> tuple[Tables, RowChange]:
        """Returns the tables of the latest version and what is different now."""
        tables = read_tables(self.git, latest) if latest else no_tables(self.spec)
        files = {key: image.file for key, image in images.items()}
        return tables, change_rows(self.spec, state, tables, files)

    def _tally(self, latest: str | None) -> Tally | None:
        """Returns what the rows of the latest version come to, if that was kept."""
        blob = self.git.ask("rev-parse", f"refs/tags/{latest}:{LABELS}") if latest else ""
        return read_tally(self.git.root, blob) if blob else None

    def _keep(self, draft: VersionDraft, objects: Mapping[str, str]) -> None:
        blob = objects.get(LABELS) or self.git.run("rev-parse", f":{LABELS}").strip()
        write_tally(self.git.root, blob, draft.tally)

    def _image_bytes(
        self,
        latest: str | None,
        tables: Tables,
        change: RowChange,
        images: Mapping[str, ShardedImage],
        shards: Shards,
    ) -> int:
        """Returns the size of all images of the new version, from that of the version before."""
        before = read_trailers(read_tag(self.git, latest).message) if latest else {}
        if not before.get("Image-Bytes", "").isdecimal():
            every = {**shards.find(set(tables.labels.column("id"))), **images}
            return sum(every[key].size for key in tables.labels.column("id"))
        came = sum(images[key].size for key in change.after.keys() - change.before.keys())
        gone = shards.find(change.before.keys() - change.after.keys())
        return int(before["Image-Bytes"]) + came - sum(image.size for image in gone.values())

    def _images_on_their_way(
        self, number: int, added: Mapping[str, ShardedImage]
    ) -> AbstractContextManager[None]:
        wanted: list[str] = []
        shards = shard_names(self.git.root)
        if added:
            make_shard(self.git.root, number, added, self.pool)
            wanted += ["--add", shard_name(number)]
            shards.append(shard_name(number))
        moved = read_remote(self.git.root) != self.dvc_remote
        if moved:
            wanted += ["--remote", self.dvc_remote]
        if self.dvc_remote and (moved or added):  # A new remote has none of the images yet.
            wanted += ["--push", *(shards if moved else shards[-1:])]
        return dvc_at_work(self.git.root, *wanted, kept_open=self.git.kept_open)

    @contextmanager
    def _stored(self, texts: Mapping[str, bytes]) -> Iterator[Callable[[], dict[str, str]]]:
        """Puts texts into git's store while the block goes on; without review into the work tree.

        Yields:
            What waits for it and returns file -> object in git's store; empty without review.
        """
        folder = self.git.root / ".git" / DRAFTS if self.review else self.git.root
        for name, text in texts.items():
            write_file(folder / name, text, sync=False)
            # git compares whole seconds: what was written in the second in which it writes its
            # index, it reads again and again.
            earlier = time.time() - 2
            os.utime(folder / name, (earlier, earlier))
        paths = [folder / name for name in texts]
        store = ("hash-object", "-w", "--no-filters") if self.review else ("add",)

        def finish() -> dict[str, str]:
            if not self.review:
                sync_files(paths)
            return dict(zip(texts, printed().split(), strict=self.review))

        with self.git.at_work(*store, "--", *map(str, paths)) as printed:
            yield finish

    def _publish(
        self, draft: VersionDraft, objects: dict[str, str], number: int, shard: Sequence[str]
    ) -> None:
        if self.review:
            objects |= store_files(self.git, [DVC_CONFIG, *shard])
            shutil.rmtree(self.git.root / ".git" / DRAFTS)
            # The work tree stays as it was; the images are in DVC's cache.
            self.git.run("restore", "--", DVC_CONFIG)
            remove_shard(self.git.root, number)
            # From its last line on the proposal exists.
            propose(self.git, draft, objects)
            return
        self.git.run("add", "--", DVC_CONFIG, *shard)
        message = ("--cleanup=verbatim", "--file=-")
        self.git.run("commit", "--quiet", *message, stdin=draft.message, at=draft.committed_at)
        # From here on the version exists.
        set_tag(self.git, draft.name, "HEAD", draft.message, draft.committed_at)
