"""A workspace keeps the salt that it began with."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import InvalidInputError
from data.ledger.ledger import Ledger
from workers.salt import SALT_MARK, require_same_salt


def test_another_salt_than_that_of_the_first_import_is_refused(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        require_same_salt(ledger, "one")
        require_same_salt(ledger, "one")

        with pytest.raises(InvalidInputError, match="begun with another salt"):
            require_same_salt(ledger, "other")


def test_the_salt_itself_is_not_kept(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        require_same_salt(ledger, "correct horse battery staple")

        assert "horse" not in str(ledger.get_state(SALT_MARK))
