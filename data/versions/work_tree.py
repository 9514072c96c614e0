"""The work tree that versions are committed in: its tables, and whether people left it alone."""

from __future__ import annotations

import re

from data.versions.draft import LABELS, SPLITS, Tables
from data.versions.git_calls import Git
from data.versions.table import LabelTable
from data.versions.tags import version_names


def find_hindrance(git: Git, branch: str) -> str:
    """Says why no version can be committed on top of the work tree; empty if one can.

    Args:
        git: The repository.
        branch: That versions are committed on; it need not exist yet.
    """
    state = git.run("status", "--porcelain=v2", "--branch", "--untracked-files=no")
    changed = [line for line in state.splitlines() if not line.startswith("#")]
    if changed:
        files = ", ".join(line.split("\t")[0].split(" ")[-1] for line in changed[:5])
        return (
            f"Somebody changed {files} in {git.root}: undo it with "
            f"`git -C {git.root} restore --staged --worktree .`, or commit it."
        )
    found = dict(re.findall(r"^# branch\.(oid|head) (.*)$", state, re.MULTILINE))
    back = f"`git -C {git.root} switch {branch}`"
    if found["head"] == "(detached)":
        return f"{git.root} is on no branch: go back with {back}."
    if found["head"] != branch and _tip(git, branch) not in ("", found["oid"]):
        return f"{git.root} is on {found['head']}, versions go to {branch}: go with {back}."
    latest = next(reversed(version_names(git)), None)
    if latest and git.run("rev-list", "--max-count=1", f"HEAD..{latest}"):
        return f"The branch of {git.root} does not contain {latest}: switch to one that does."
    return ""


def go_to_branch(git: Git, branch: str) -> None:
    """Puts the work tree on the branch, which is at the same commit or not there at all.

    `find_hindrance` has found nothing; so no file changes, and a kill in between does no harm.
    """
    if git.run("branch", "--show-current").strip() == branch:
        return
    if not _tip(git, branch):
        git.run("branch", branch)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")


def read_tables(git: Git, version: str) -> Tables:
    """Returns the tables of a version that exists; the work tree must be clean."""
    tag = f"refs/tags/{version}"
    names = (LABELS, SPLITS)
    if not git.run("diff", "--name-only", tag, "HEAD", "--", *names):
        texts = [(git.root / name).read_bytes() for name in names]
    else:
        texts = [git.read("cat-file", "blob", f"{tag}:{name}") for name in names]
    return Tables(*(LabelTable.parse(text) for text in texts))


def hand_edits(git: Git, latest: str) -> str:
    """Names the commit that changed the tables on the branch after a version; empty: none did."""
    tag = f"refs/tags/{latest}"
    if not git.run("diff", "--name-only", tag, "HEAD", "--", LABELS, SPLITS):
        return ""
    form = "--format=%h by %an"
    return git.run("log", "-1", form, f"{tag}..HEAD", "--", LABELS, SPLITS).strip()


def _tip(git: Git, branch: str) -> str:
    return git.ask("rev-parse", "--quiet", "--verify", f"refs/heads/{branch}")
