"""Blocks of which each belongs to one type: `{type: RingHash, ringHash: {...}}`.

Which block belongs to which type in; out, what an API server and the models say where a
block stands beside another type, or one is missing that its type cannot do without.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from xds_server.api.problem import Fault
from xds_server.api.schema import FORBIDDEN, REQUIRED, Rule, quoted

Kind = TypeVar("Kind", bound=str)


def is_type(kinds: Iterable[str]) -> str:
    """Write in CEL that the type is one of these."""
    return f"self.type in [{', '.join(map(quoted, kinds))}]"


def block_rules(blocks: Mapping[Kind, str]) -> Iterator[Rule]:
    """Yield the rules that refuse each of *blocks*, by its type, beside others."""
    for owner, block in blocks.items():
        yield Rule(
            holds=f"!has(self.{block}) || {is_type([owner])}",
            message=f"only allowed when type is {owner} (got {{}})",
            found="self.type",
            at=block,
            reason=FORBIDDEN,
        )


def block_faults(
    blocks: Mapping[Kind, str], kind: Kind, given: Mapping[str, object], found: str
) -> Iterator[Fault]:
    """Yield the same of what is *given* with the type *kind*; *found* tells that."""
    for owner, block in blocks.items():
        if block in given and owner != kind:
            message = f"only allowed when type is {owner} (got {found})"
            yield Fault(path=(block,), message=message, at_key=True)


def needed_rule(kind: str, block: str, what: str) -> Rule:
    """Return the rule that *kind* comes with its *block*, in which *what* is."""
    return Rule(
        holds=f"self.type != '{kind}' || has(self.{block})",
        message=f"required with type {kind}: {what}",
        at=block,
        reason=REQUIRED,
    )


def needed_faults(
    kind: str, block: str, what: str, given: Mapping[str, object], *, hint: str
) -> Iterator[Fault]:
    """Yield the same of what is *given* with the type *kind*."""
    if block not in given:
        message = f"required with type {kind}: {what}"
        yield Fault(path=(block,), message=message, hint=hint)
