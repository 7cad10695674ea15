"""Sections that are good, each by itself, and cannot be in force together.

What settled two sections of a port in; of these the one that gives way, and how its
policies are tried again beside the other, out. Policies are checked one by one when
they are read; only here it is known which of them meet.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from xds_server.api.combination import HINT
from xds_server.mesh.misfit import Fit, Misfit
from xds_server.mesh.model import Section
from xds_server.mesh.section import Proposal, Reference, Rival, Settlement, Trial

Written = TypeVar("Written")
Value = TypeVar("Value")
Other = TypeVar("Other")


def gives_way(
    one: Settlement[Value], other: Settlement[Other], references: Sequence[Reference]
) -> bool:
    """Whether *one* gives way: it is the broader, or else the later by rank.

    *references* are ranked.
    """
    return _rank(one, references) > _rank(other, references)


def _rank(settlement: Settlement[Value], references: Sequence[Reference]) -> float:
    """Return the rank of whoever gave it; an annotation comes after policies of its."""
    if settlement.winner is not None:
        return references.index(settlement.winner)
    return sum(not each.level.is_broad for each in references) - 0.5


def rival_of(
    section: Section,
    settlement: Settlement[Value],
    annotated: Proposal[Written] | None = None,
) -> Rival:
    """Return *section* as it was settled, by a policy or else as *annotated*."""
    winner = settlement.winner
    if winner is not None:
        return Rival(
            section=section,
            origin=str(winner.policy.key),
            scope=winner.scope,
            level=winner.level,
            place=winner.policy.locate(("spec", section.value)),
        )
    assert annotated is not None  # noqa: S101 - else it would be nobody's
    return Rival(
        section=section,
        origin=str(annotated.document.key),
        scope="it, by its annotation",
        level=annotated.level,
        place=annotated.document.locate(annotated.path),
    )


def beside(
    attempt: Callable[[Proposal[Written]], Trial[Value]],
    clash: Callable[[Written], str | None],
    rival: Rival,
) -> Callable[[Proposal[Written]], Trial[Value]]:
    """Return *attempt* for what has to go with the *rival*; *clash* says why it cannot.

    That is an error of a policy only where its level is the rival's: a broader one is
    for other Services, or other ports, too.
    """

    def attempt_beside(proposal: Proposal[Written]) -> Trial[Value]:
        trial = attempt(proposal)
        message = None if trial.value is None else clash(proposal.written)
        if message is None:
            return trial
        text = f"{message}: that is in force, by {rival.origin} at {rival.place}"
        misfit = Misfit(path=("type",), message=text, hint=HINT)
        fit = Fit(warnings=(misfit,))
        if proposal.level.is_broad or proposal.level == rival.level:
            fit = Fit(errors=(misfit,))
        return Trial(value=None, problems=proposal.problems(fit), rival=rival)

    return attempt_beside
