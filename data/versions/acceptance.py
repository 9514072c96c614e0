"""Make a version of a proposal that a person has merged, and forget one that was rejected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.pool import pool_path
from data.versions.git_calls import Git
from data.versions.proposals import (
    accepted_commit,
    close_proposals,
    closed_names,
    is_rejected,
    message_of,
    open_proposal,
)
from data.versions.remote import GitRemote
from data.versions.shards import link_images, read_shard, shard_name
from data.versions.tags import set_tag, version_number


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What it takes to settle proposals.

    Every step can be repeated; the tag, in the middle, is what makes the version.

    Attributes:
        git: The repository.
        remote: Its git remote.
        pool: The pool that images are linked from.
    """

    git: Git
    remote: GitRemote
    pool: Path

    def is_wanted(self) -> bool:
        """Says whether there is a proposal to settle, or one whose end was interrupted."""
        return open_proposal(self.git) is not None or bool(closed_names(self.git))

    def settle(self) -> None:
        """Settles the open proposal, if a person has decided.

        The caller holds the writer lock; the work tree is clean, and holds what was fetched.

        Raises:
            StorageError: The disk is full.
        """
        proposal = open_proposal(self.git)
        if proposal is not None:
            commit = accepted_commit(self.git, proposal)
            if commit:
                message = message_of(self.git, proposal.commit)
                set_tag(self.git, proposal.name, commit, message, proposal.committed_at)
            elif is_rejected(
                self.git,
                proposal,
                self.remote.seen_proposal(proposal.name),
                self.remote.has_taken_proposal(proposal.name),
            ):
                self._close(proposal.name)
        for name in closed_names(self.git):
            self._link_images(version_number(name))
            self._close(name)

    def discard(self) -> None:
        """Takes back the open proposal: versions are committed without one now."""
        proposal = open_proposal(self.git)
        if proposal is not None:
            self._close(proposal.name)

    def _close(self, name: str) -> None:
        self.remote.remove_proposal(name)
        close_proposals(self.git, [name])

    def _link_images(self, number: int) -> None:
        """Puts the shard's images into the work tree; what the pool lacks, `dvc pull` brings."""
        folder = self.git.root / shard_name(number)
        names = read_shard(self.git.root, number)
        in_pool = (pool_path(self.pool, key, name).exists() for key, name in names.items())
        if names and not folder.exists() and all(in_pool):
            link_images(folder, names, self.pool)
