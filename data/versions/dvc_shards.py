"""The part of a commit that needs DVC, as a program of its own.

`shards.py` starts it for each version. In a process of its own DVC sees only the configuration of
the dataset repository, its threads and prompts stay out of the workers, and its memory is given
back. It goes through DVC's stages instead of `Repo.add`, because that reads the `.dvc` file of
every shard there is to look for overlaps, so each version would cost more than the one before.

Errors are not caught here: the last line of the traceback is the reason that the caller reports.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dvc.config import NoRemoteError
from dvc.exceptions import CheckoutError, DvcException
from dvc.repo import Repo

REMOTE = "storage"


def initialise(root: str) -> None:
    """Makes the git repository `root` a DVC repository."""
    Repo.init(root).close()
    with Repo(root) as repo, repo.config.edit("repo") as config:
        config["core"].update(analytics=False, check_update=False)
        # Pool, cache and work tree share each image where the file system allows it.
        config["cache"]["type"] = ["hardlink", "copy"]


def set_remote(root: str, url: str) -> None:
    """Writes the default remote into the repository's configuration; empty: removes it."""
    with Repo(root) as repo, repo.config.edit("repo") as config:
        if url:
            config["remote"][REMOTE] = {"url": url}
            config["core"]["remote"] = REMOTE
        else:
            config["remote"].pop(REMOTE, None)
            config["core"].pop("remote", None)


def add(repo: Repo, shard: str) -> None:
    """Puts a folder under DVC: its content into the cache, its `.dvc` file beside it."""
    folder = Path(repo.root_dir, shard)
    with repo.lock:
        stage = repo.stage.create(
            single_stage=True,
            validate=False,
            fname=f"{folder}.dvc",
            wdir=str(folder.parent),
            outs=[folder.name],
        )
        stage.add_outs()
        stage.dump()


def push(repo: Repo, shards: Sequence[str]) -> None:
    """Pushes the images of these shards, as far as the default remote lacks them.

    Raises:
        DvcException: Not everything could be pushed.
    """
    stages = [repo.stage.load_one(f"{repo.root_dir}/{shard}.dvc") for shard in shards]
    outputs = [out for stage in stages for out in stage.outs]
    used = [out.get_used_objs(push=True).get(None, set()) for out in outputs]
    cached = repo.cache.local.exists
    if not all(images and all(cached(image.value) for image in images) for images in used):
        raise DvcException("the cache lacks images of earlier versions: pull them first")
    if repo.cloud.push(set().union(*used)).failed:
        raise DvcException("not every image could be pushed to the remote")


def status(repo: Repo, shards: Sequence[str]) -> None:
    """Asks the default remote whether it has the images of these shards.

    Raises:
        DvcException: It lacks some.
    """
    stages = [repo.stage.load_one(f"{repo.root_dir}/{shard}.dvc") for shard in shards]
    used = [out.get_used_objs(push=True).get(None, set()) for s in stages for out in s.outs]
    found = repo.cloud.status(set().union(*used))
    lacking = len(found.missing | found.new)
    if lacking:
        raise DvcException(f"the remote lacks {lacking} objects of {', '.join(shards[:3])}")


def pull(repo: Repo, shards: Sequence[str]) -> None:
    """Brings the images of these shards into the work tree, from the cache or the default remote.

    Raises:
        DvcException: An image is in neither.
    """
    try:
        repo.pull(targets=[f"{repo.root_dir}/{shard}.dvc" for shard in shards])
    except (CheckoutError, NoRemoteError) as error:
        names = ", ".join(shards[:3])
        raise DvcException(f"neither the cache nor a remote holds the images of {names}") from error


def main() -> None:
    """Does what the command line asks for, in this order; see the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    parser.add_argument("--initialise", action="store_true", help="make it a DVC repository")
    parser.add_argument("--remote", help="URL of the default remote; empty: none")
    parser.add_argument("--add", metavar="SHARD", help="folder to put under DVC")
    parser.add_argument("--push", metavar="SHARD", nargs="*", default=[], help="folders to push")
    parser.add_argument("--pull", metavar="SHARD", nargs="*", default=[], help="folders to pull")
    parser.add_argument("--status", metavar="SHARD", nargs="*", default=[], help="ask the remote")
    options = parser.parse_args()
    if options.initialise:
        initialise(options.root)
    if options.remote is not None:
        set_remote(options.root, options.remote)
    if options.add or options.push or options.pull or options.status:
        with Repo(options.root) as repo:
            if options.add:
                add(repo, options.add)
            if options.push:
                push(repo, options.push)
            if options.pull:
                pull(repo, options.pull)
            if options.status:
                status(repo, options.status)


if __name__ == "__main__":
    main()
