"""One salt for a workspace, for ever: with another one, patients would come into other splits."""

from __future__ import annotations

from data.errors import InvalidInputError
from data.ledger.ledger import Ledger
from data.splits import PSEUDONYM_DIGITS, keyed_hash

SALT_MARK = "salt/mark"
"""State key: a keyed hash by which the salt is known again; it does not tell the salt."""


def require_same_salt(ledger: Ledger, salt: str) -> None:
    """Makes sure that an import uses the salt of the imports before it; the first one is noted.

    Pseudonyms, splits and the memory of what was imported all hang on it.

    Raises:
        InvalidInputError: The salt is empty or another one.
    """
    mark = keyed_hash("mark", salt).hex()[:PSEUDONYM_DIGITS]
    known = ledger.get_state(SALT_MARK)
    if known is None:
        ledger.set_state(SALT_MARK, mark)
    elif known != mark:
        raise InvalidInputError(
            "This workspace was begun with another salt: with this one, the same patient could "
            "come into two splits. Set CARPAL_SALT or the workspace's secrets.toml back to it."
        )
