"""Check that the images of a version are where they belong, byte for byte."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import VersionError
from data.pool import pool_path
from data.versions.dvc_calls import call_dvc
from data.versions.git_calls import Git
from data.versions.shards import FOLDER, REMOTE_LAYOUT, read_remote

_TABLE = re.compile(r"id,file,bytes\n([0-9a-f]{64},[^,\n]+,[0-9]+\n)*")
_MD5 = re.compile(r"^- md5: ([0-9a-f]{32})\.dir$", re.MULTILINE)


@dataclass(slots=True)
class ImageCheck:
    """What checks images; each shard and each file is read once, however many versions share it.

    Attributes:
        git: The dataset repository.
        pool: The pool.
        quick: Files must be there; their content is not read.
        tick: Called after each image.
    """

    git: Git
    pool: Path
    quick: bool
    tick: Callable[[], None]
    _checked: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def find(self, revision: str) -> list[str]:
        """Returns one sentence for each thing that is wrong with the images of a version.

        Args:
            revision: Its tag.

        Raises:
            VersionError: git lacks an object, or a shard's table is none.
        """
        tree = self.git.run("ls-tree", "-r", revision, f"{FOLDER}/").splitlines()
        objects = {line.partition("\t")[2]: line.split()[2] for line in tree}
        remote = read_remote(self.git.root)
        found: list[str] = []
        for name in sorted(objects):
            if name.endswith(".csv"):
                shard = name.removesuffix(".csv")
                blobs = (objects[name], objects.get(f"{shard}.dvc", ""))
                if blobs not in self._checked:
                    self._checked[blobs] = list(self._shard(shard, *blobs, remote))
                found += self._checked[blobs]
        return found

    def _shard(self, shard: str, table: str, pointer: str, remote: str) -> Iterator[str]:
        text = self._blob(table).decode(errors="replace")
        if not _TABLE.fullmatch(text):
            raise VersionError(f"{shard}.csv does not list images.")
        rows = [line.split(",") for line in text.splitlines()[1:]]
        match = _MD5.search(self._blob(pointer).decode()) if pointer else None
        if match is None:
            yield f"{shard}.dvc does not name a DVC folder: restore it from the version before."
            return
        cache = self.git.root / ".dvc" / "cache"
        listed = _listing(cache, match.group(1))
        if listed is None:
            yield f"DVC's cache lacks the list of {shard}, or it was changed: run `dvc fetch`."
        elif set(listed) != {Path(file).name for _, file, _ in rows}:
            yield f"DVC's list of {shard} names other images than {shard}.csv does."
            listed = None
        for radiograph_id, file, size in rows:
            digest = (listed or {}).get(Path(file).name, "")
            yield from self._image(radiograph_id, Path(file).name, int(size), digest, cache)
            self.tick()
        yield from self._remote(shard, remote, [match.group(1) + ".dir", *(listed or {}).values()])

    def _image(
        self, radiograph_id: str, name: str, size: int, digest: str, cache: Path
    ) -> Iterator[str]:
        pooled = pool_path(self.pool, radiograph_id, name)
        wrong = self._differs(pooled, size, radiograph_id, digest)
        if wrong:
            yield f"The pool's image of radiograph {radiograph_id} {wrong}: import it again."
        if digest:
            cached = cache / object_path(digest)
            if self.quick or not _same_file(pooled, cached):
                wrong = self._differs(cached, size, radiograph_id, digest)
                if wrong:
                    yield (
                        f"The image of radiograph {radiograph_id} in DVC's cache {wrong}: remove "
                        f"{cached} and run `dvc fetch`."
                    )

    def _remote(self, shard: str, remote: str, digests: list[str]) -> Iterator[str]:
        if not remote:
            return
        if "://" in remote:
            try:
                call_dvc(self.git.root, "--status", shard)
            except VersionError as error:
                yield f"{error} Run `dvc push`."
            return
        for digest in digests:
            file = Path(remote) / object_path(digest)
            sound = file.is_file() and (
                self.quick or _md5(file.read_bytes()) == digest.partition(".")[0]
            )
            if not sound:
                yield f"The DVC remote {remote} lacks a sound copy of {digest} of {shard}: push it."

    def _differs(self, file: Path, size: int, radiograph_id: str, digest: str) -> str:
        try:
            if file.stat().st_size != size:
                return "has another length than was committed"
            if self.quick:
                return ""
            content = file.read_bytes()
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        sound = hashlib.sha256(content).hexdigest() == radiograph_id
        return "" if sound and digest in ("", _md5(content)) else "has another content"

    def _blob(self, name: str) -> bytes:
        return self.git.read("cat-file", "blob", name)


def object_path(digest: str) -> str:
    """Returns where DVC keeps an object, relative to a cache or a remote."""
    return f"{REMOTE_LAYOUT}/{digest[:2]}/{digest[2:]}"


def _listing(cache: Path, digest: str) -> Mapping[str, str] | None:
    """Returns file name -> MD5 of a folder in DVC's cache; None: it is missing or was changed."""
    try:
        content = (cache / object_path(f"{digest}.dir")).read_bytes()
    except OSError:
        return None
    if _md5(content) != digest:
        return None
    return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
