"""Where images lie, as the files of a dataset repository tell it."""

from __future__ import annotations

import pytest

from data.errors import VersionError
from data.versions.shards import remote_in


def test_a_configuration_that_dvc_cannot_have_written_is_one_sentence() -> None:
    with pytest.raises(VersionError, match="DVC's configuration cannot be read"):
        remote_in("<<<<<<< HEAD\n")
