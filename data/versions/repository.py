"""Dataset versions: a git + DVC repository that only ever grows.

A version exists when, and only when, its annotated tag does. Everything before the tag can be cut
off at any line: a note in `.git` says what was being done, and whoever comes next with the writer
lock either finds the tag, or puts everything back to where it was and starts over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from data.domain import DatasetVersion, LabelledRadiograph, TaskSpec
from data.errors import NotFoundError, VersionError
from data.readers.agreement import LabelNoise
from data.versions.acceptance import Acceptance
from data.versions.attempt import is_under_way, recover, remove_stale_locks
from data.versions.commit import Committer
from data.versions.draft import LABELS, SPLITS, LabelState
from data.versions.git_calls import Git
from data.versions.history import VersionHistory
from data.versions.proposals import Proposal, open_proposal
from data.versions.remote import GitRemote, remote_address
from data.versions.start import BRANCH, start_repository
from data.versions.tags import read_tag, version_names
from data.versions.text import instant, read_trailers
from data.versions.tidying import tidy
from data.versions.work_tree import find_hindrance, go_to_branch
from data.writer_lock import writer_lock

LOCK_WAIT_S = 120.0
"""A version with 10,000 new images takes 5 s on a quiet machine, without a remote far away."""


@dataclass(frozen=True, slots=True)
class Base:
    """A version that the next one can be written against.

    Attributes:
        version: Its name.
        ledger_head: Sequence number and hash of the last ledger event that it contains.
    """

    version: str
    ledger_head: tuple[int, str]


class DatasetRepository(VersionHistory):
    """The dataset repository of a workspace.

    Attributes:
        root: Its work tree.
        pool: The pool that images are linked from.
        spec: The task.
        remote: DVC remote that every version is pushed to; empty: none.
        git_remote: git remote that every version is pushed to; empty: none.
        branch: Branch that versions are committed on.
        review: A version is proposed on a branch of its own, and counts once it is merged.
    """

    def __init__(
        self,
        root: Path,
        pool: Path,
        spec: TaskSpec,
        author: str,
        remote: str = "",
        lock_wait_s: float = LOCK_WAIT_S,
        *,
        git_remote: str = "",
        branch: str = BRANCH,
        review: bool = False,
    ) -> None:
        """Opens the repository; it need not exist yet.

        Args:
            root: Its work tree.
            pool: The pool that images are linked from.
            spec: The task.
            author: `Name <address>` of the commits.
            remote: DVC remote, a folder or a URL such as `s3://bucket/path`. The next version
                after a change pushes all images to the new one.
            lock_wait_s: Longest wait for another writer, seconds.
            git_remote: git remote, a folder or a URL.
            branch: Branch that versions are committed on.
            review: Propose versions instead of committing them to the branch.

        Raises:
            VersionError: The author is written in another form.
        """
        super().__init__(root, pool, spec, author)
        self.remote = remote if "://" in remote or not remote else str(Path(remote).resolve())
        self.git_remote = remote_address(git_remote)
        self.branch = branch
        self.review = review
        self._author = author
        self._lock_wait_s = lock_wait_s

    def initialise(self) -> None:
        """Makes the repository, wholly or not at all; does nothing if it exists.

        Raises:
            VersionError: The folder holds something else, or git or DVC is missing.
            StorageError: The disk is full.
        """
        if not self._exists():
            with writer_lock(self._lock_file, self._lock_wait_s) as lock:
                if not self._exists():
                    start_repository(self.root, self._author, lock, self.branch)

    # What state it is in

    def dirty(self) -> str:
        """Says why no version can be committed on top of the work tree; empty if one can.

        An interrupted commit is no reason: the next one tidies up after it.
        """
        if not self._exists() or is_under_way(self.root):
            return ""
        reason = find_hindrance(self._git, self.branch)
        return "" if is_under_way(self.root) else reason  # One may have begun meanwhile.

    def unpushed(self, version: str) -> str:
        """Says why the remotes that are set lack a version; empty: they have it.

        What the remotes hold is known from the last push; nothing is asked over the network.

        Raises:
            NotFoundError: There is no such version.
        """
        if version not in self.versions():
            raise NotFoundError(f"There is no dataset version {version!r}.")
        if not self._committer(self._git).images_are_there():
            return (
                f"The images of {version} are not in {self.remote} yet: it was set "
                "later, and the next push brings them there."
            )
        return self._remote(self._git).unpushed(version)

    def base(self, rules: str) -> Base | None:
        """Returns the version that the next one can be written against.

        Args:
            rules: What makes labels out of readings now; see `rules.rules_of`.

        Returns:
            The latest version, if its labels were made by the same rules; otherwise None, and the
            next version needs all labels.
        """
        latest = self.latest()
        if latest is None:
            return None
        trailers = read_trailers(read_tag(self._git, latest).message)
        seq, _, digest = trailers.get("Ledger-Head", "").partition(" ")
        if trailers.get("Rules") != rules or not seq.isdecimal():
            return None
        return Base(latest, (int(seq), digest))

    # What changes it

    def commit_version(
        self,
        rows: Sequence[LabelledRadiograph],
        *,
        trigger: str,
        ledger_head: tuple[int, str],
        committed_at: datetime,
        since: str = "",
        unlabelled: Collection[str] = (),
        rules: str = "",
        noise: LabelNoise | None = None,
        near_duplicates: int | None = None,
        unreadable: Mapping[str, int] | None = None,
    ) -> DatasetVersion | Proposal:
        """Commits the labels as a new version, or proposes it, wholly or not at all.

        Pushes the images before the tag is set, and the text after it: if the git remote does not
        take that, the version is there all the same, and `unpushed` says why. Nothing changed
        since the latest version: nothing is committed, and the latest version is returned. In
        review mode an open proposal is returned as it is: what came since waits for the next one.

        Args:
            rows: All labelled radiographs; what is missing here is withdrawn. With `since`: only
                those whose label may have changed.
            trigger: What asked for the version, for people.
            ledger_head: Sequence number and hash of the last ledger event that `rows` contain.
            committed_at: The time that the commit carries.
            since: The version of `base` that `rows` and `unlabelled` are to be held against.
            unlabelled: With `since`: radiographs that have no label now, whether they had one or
                not.
            rules: What made the labels; see `base`.
            noise: How far readers agree, for `DATASET.md`.
            near_duplicates: Pairs of radiographs that look alike, for `DATASET.md`.
            unreadable: Reason -> radiographs that cannot be read, for `DATASET.md`.

        Raises:
            VersionError: A patient would be in two splits, an image is not in the pool, somebody
                changed the work tree, the git remote's branch went another way, another process
                writes for too long, or git or DVC failed.
            StorageError: The disk is full.
        """
        state = LabelState(
            labelled=rows,
            trigger=trigger,
            ledger_head=ledger_head,
            committed_at=instant(committed_at),
            unlabelled=unlabelled if since else None,
            rules=rules,
            noise=noise,
            near_duplicates=near_duplicates,
            unreadable=unreadable or {},
        )
        self.initialise()
        with self._writing() as git:
            away = self._catch_up(git)
            proposal = open_proposal(git)
            if not (self.review and proposal and self._committer(git).is_up_to_date(proposal)):
                self._acceptance(git).discard()
                name = self._commit(git, state, since)
                proposal = open_proposal(git)
            remote = self._remote(git)
            if away:
                remote.postpone(away)
            if proposal is not None:
                reason = away or remote.push_proposal(proposal.name)
                return replace(proposal, unpushed=reason)
            if not away:
                remote.push(version_names(git))
            return self.describe(name)

    def push(self) -> str:
        """Pushes whatever the remotes lack.

        Returns:
            Why that was not possible; empty: they have everything, or none is set.

        Raises:
            VersionError: Somebody changed the work tree, or another process writes for too long.
        """
        if not self._exists():
            return ""
        with self._writing() as git:
            try:
                self._committer(git).move_images()
            except VersionError as error:
                return str(error)
            return self._remote(git).push(version_names(git))

    def proposals(self) -> list[Proposal]:
        """Returns the versions that wait for a person: none or one."""
        proposal = open_proposal(self._git) if self._exists() else None
        if proposal is None:
            return []
        return [replace(proposal, unpushed=self._remote(self._git).lacks_proposal(proposal.name))]

    def accept_merged(self) -> list[DatasetVersion]:
        """Looks whether the open proposal was merged or rejected, here or at the git remote.

        Safe to repeat, and quick where there is no proposal.

        Returns:
            The version that the proposal has become; none otherwise.

        Raises:
            VersionError: Somebody changed the work tree, or the git remote's branch went another
                way, or another process writes for too long.
        """
        if not self._exists() or not self._acceptance(self._git).is_wanted():
            return []
        before = self.versions()
        with self._writing() as git:
            if not self._catch_up(git):
                self._remote(git).push(version_names(git))
        return [self.describe(name) for name in self.versions() if name not in before]

    def tidy(self) -> bool:
        """Packs the tables of many versions together, now and then; see `tidying.py`.

        Returns:
            Whether there was enough to do.

        Raises:
            VersionError: Another process writes for too long.
        """
        if not self._exists():
            return False
        tables = (self.root / name for name in (LABELS, SPLITS))
        sizes = [path.stat().st_size for path in tables if path.exists()]
        with writer_lock(self._lock_file, self._lock_wait_s) as lock:
            return tidy(Git(self.root, self._author, (lock,)), sum(sizes))

    def _commit(self, git: Git, state: LabelState, since: str) -> str:
        """Commits or proposes the state, and returns the name of the version that holds it."""
        latest = self.latest()
        if since and since not in self.versions():
            raise VersionError(f"The dataset version {since} is gone meanwhile: try again.")
        if since and latest and since != latest:
            # Another process was faster. What changed since an older version holds what changed
            # since a newer one; but a newer one may have seen more than we have.
            if self.describe(latest).last_event >= state.ledger_head[0]:
                return latest
            if self.base(state.rules) is None:
                raise VersionError(
                    f"{latest} was committed meanwhile under other rules: try again."
                )
        committer = self._committer(git)
        name = committer.commit(state, latest)
        if name == latest:
            committer.move_images()
        return name

    @contextmanager
    def _writing(self) -> Iterator[Git]:
        """Holds the writer lock over a clean work tree on the dataset branch."""
        with writer_lock(self._lock_file, self._lock_wait_s) as lock:
            git = Git(self.root, self._author, (lock,))
            recover(git)
            remove_stale_locks(self.root)
            if reason := self.dirty():
                raise VersionError(reason)
            go_to_branch(git, self.branch)
            yield git

    def _catch_up(self, git: Git) -> str:
        """Takes over what came to the git remote, and what people decided of a proposal.

        Returns:
            Why the remote could not be looked at; empty: it was, or there is none.
        """
        remote = self._remote(git)
        away = remote.fetch()
        remote.fast_forward()
        self._acceptance(git).settle()
        return away

    def _committer(self, git: Git) -> Committer:
        return Committer(git, self.pool, self.spec, self.remote, self.review)

    def _remote(self, git: Git) -> GitRemote:
        return GitRemote(git, self.git_remote, self.branch)

    def _acceptance(self, git: Git) -> Acceptance:
        return Acceptance(git, self._remote(git), self.pool)

    @property
    def _lock_file(self) -> Path:
        # Beside the repository, not in it: it is needed before there is one.
        return self.root.with_name(f"{self.root.name}.lock")
