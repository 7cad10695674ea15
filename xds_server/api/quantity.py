"""Kubernetes quantities: `250m`, `1Gi`, `0.5`, `12e6`.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import re
from fractions import Fraction
from typing import Final

_QUANTITY: Final = re.compile(
    r"([+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}))"
    r"([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?"
)
FORM: Final = f"^{_QUANTITY.pattern}$".replace("(?:", "(")
LONGEST: Final = 46
"""Characters that a quantity may have."""

_SUFFIXES: Final = {
    **{suffix: Fraction(1000) ** (index - 3) for index, suffix in enumerate("num")},
    **{suffix: Fraction(1000) ** index for index, suffix in enumerate("kMGTPE", 1)},
    **{
        f"{suffix}i": Fraction(1024) ** index
        for index, suffix in enumerate("KMGTPE", 1)
    },
}


def parse_quantity(text: str) -> Fraction | None:
    """Read a quantity exactly; None where the text is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, suffix = match.groups(default="")
    if suffix in _SUFFIXES:
        return Fraction(number) * _SUFFIXES[suffix]
    return Fraction(number + suffix)
