"""Versions that a person looks at before they count: one open proposal at a time.

A proposal is a commit on top of the dataset branch, on a branch of its own, `proposals/v0007`. The
work tree does not see it. It counts as accepted once the dataset branch holds it, merged, rebased
or squashed, and as rejected once its branch is gone and the dataset branch does not hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from data.versions.attempt import INDEX, PROPOSED
from data.versions.draft import LABELS, SPLITS, VersionDraft
from data.versions.git_calls import Git
from data.versions.tags import version_names
from data.versions.text import instant, read_trailers

BRANCHES = "proposals"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A version that waits for a person.

    Attributes:
        name: The version that it becomes, `v0007`; used again if it is rejected.
        branch: `proposals/v0007`.
        commit: git commit, 40 hexadecimal digits.
        summary: `v0007: +50 labels, 3 corrected, 0 withdrawn`.
        trigger: What asked for it.
        labels: Rows of its `labels.csv`.
        last_event: Sequence number of the last ledger event that it contains.
        committed_at: UTC.
        unpushed: Why the git remote lacks its branch; empty: it has it, or there is no remote.
    """

    name: str
    branch: str
    commit: str
    summary: str
    trigger: str
    labels: int
    last_event: int
    committed_at: datetime
    unpushed: str = ""


def store_files(git: Git, names: Sequence[str]) -> dict[str, str]:
    """Puts files of the work tree into git's store; returns file -> object."""
    printed = git.run("hash-object", "-w", "--no-filters", "--", *names)
    return dict(zip(names, printed.split(), strict=True))


def propose(git: Git, draft: VersionDraft, objects: Mapping[str, str]) -> None:
    """Commits a proposal on top of the work tree's commit, without touching the work tree.

    The last step makes its branch and our record of it in one: before it there is no proposal.

    Args:
        git: The repository; the caller holds the writer lock.
        draft: The version.
        objects: File -> object in git's store, for all files that differ.
    """
    index = git.root / ".git" / INDEX
    index.unlink(missing_ok=True)
    git.run("read-tree", "HEAD", index=index)
    entries = "".join(f"100644 {key}\t{name}\n" for name, key in objects.items())
    git.run("update-index", "--add", "--index-info", stdin=entries, index=index)
    tree = git.run("write-tree", index=index).strip()
    index.unlink()
    arguments = ("commit-tree", tree, "-p", "HEAD", "-F", "-")
    commit = git.run(*arguments, stdin=draft.message, at=draft.committed_at).strip()
    refs = (f"refs/heads/{BRANCHES}/{draft.name}", f"{PROPOSED}/{draft.name}")
    git.run("update-ref", "--stdin", stdin="".join(f"update {ref} {commit}\n" for ref in refs))


def open_proposal(git: Git) -> Proposal | None:
    """Returns the proposal that is not a version yet, whether or not its branch is still there."""
    known = set(version_names(git))
    names = git.run("for-each-ref", "--format=%(refname:lstrip=3)", PROPOSED).split()
    name = next((name for name in reversed(names) if name not in known), None)
    return None if name is None else _read(git, name)


def accepted_commit(git: Git, proposal: Proposal) -> str:
    """Returns the commit of the work tree's branch that holds a proposal; empty: none does.

    That is the proposal's own commit where it was merged. Where it was squashed or rebased, it is
    the first commit whose tables and shard are the proposal's.
    """
    if not git.run("rev-list", "--max-count=1", f"HEAD..{proposal.commit}"):
        return proposal.commit
    base = git.ask("merge-base", "HEAD", proposal.commit)
    if not base:
        return ""
    changed = git.run("diff", "--name-only", f"{proposal.commit}^", proposal.commit).splitlines()
    files = [name for name in changed if name in (LABELS, SPLITS) or "/shard-" in name]
    wanted = _objects(git, proposal.commit, files)
    later = git.run("rev-list", "--first-parent", "--reverse", f"{base}..HEAD", "--", LABELS)
    return next((c for c in later.split() if _objects(git, c, files) == wanted), "")


def is_rejected(git: Git, proposal: Proposal, seen: str, pushed: bool) -> bool:
    """Says whether the branch of a proposal that was not accepted is gone.

    Args:
        git: The repository.
        proposal: The proposal.
        seen: The reference under which the last fetch put its branch.
        pushed: The remote got it once.
    """

    def is_there(ref: str) -> bool:
        return git.ask("rev-parse", "--quiet", "--verify", ref) != ""

    return not is_there(f"refs/heads/{proposal.branch}") or (pushed and not is_there(seen))


def close_proposals(git: Git, names: Iterable[str]) -> None:
    """Removes the branches and records of proposals that were accepted or rejected."""
    refs = [f"{folder}/{n}" for n in names for folder in (f"refs/heads/{BRANCHES}", PROPOSED)]
    found = git.run("for-each-ref", "--format=delete %(refname)", *refs) if refs else ""
    git.run("update-ref", "--stdin", stdin=found)


def closed_names(git: Git) -> list[str]:
    """Returns the versions that exist and whose proposals are still recorded."""
    names = git.run("for-each-ref", "--format=%(refname:lstrip=3)", PROPOSED).split()
    known = set(version_names(git)) if names else set()
    return [name for name in names if name in known]


def message_of(git: Git, commit: str) -> str:
    """Returns the message of a commit as it was written."""
    return git.run("log", "-1", "--format=%B", commit).rstrip("\n") + "\n"


def _read(git: Git, name: str) -> Proposal:
    form = "--format=%H%n%cI%n%B"
    commit, date, message = git.run("log", "-1", form, f"{PROPOSED}/{name}").split("\n", 2)
    trailers = read_trailers(message)
    return Proposal(
        name=name,
        branch=f"{BRANCHES}/{name}",
        commit=commit,
        summary=message.partition("\n")[0],
        trigger=trailers["Trigger"],
        labels=int(trailers["Labels"]),
        last_event=int(trailers["Ledger-Head"].split()[0]),
        committed_at=instant(datetime.fromisoformat(date)),
    )


def _objects(git: Git, commit: str, files: Iterable[str]) -> list[str]:
    found = git.ask("rev-parse", *(f"{commit}:{file}" for file in files))
    return found.split()
