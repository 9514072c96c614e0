"""Which training options somebody may have meant by names that there are not."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

MEANT = 3
"""Options that are suggested for one name, at most."""


def unknown_options(unknown: Iterable[str], known: Collection[str]) -> str:
    """Returns one sentence that names the unknown options and those that may be meant.

    Args:
        unknown: Names that are no options.
        known: The names of all options.
    """
    told = []
    for name in unknown:
        meant = nearest(name, known)
        told.append(f"{name} (perhaps {' or '.join(meant)})" if meant else name)
    return f"There is no training option {', '.join(told)}."


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Returns the options of which `name` is the initials, a part or a misspelling.

    The initials come alone: `lr` is `learning_rate`, and not as well what is spelt like it.
    """
    wanted = name.lower().replace("-", "_")
    initials = [option for option in known if "".join(w[0] for w in option.split("_")) == wanted]
    if initials:
        return initials[:MEANT]
    parts = [option for option in known if wanted in option]
    alike = get_close_matches(wanted, known, MEANT)
    return list(dict.fromkeys([*alike, *parts]))[:MEANT]
