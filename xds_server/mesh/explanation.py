"""Why clients get what they get of a Service: field by field, and whose word it is.

What policies make of a Service in; for each port every field that has a value, who said
it and where, and what became of the policies that did not have their way, out. The
same values that are published are explained: nothing is decided here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from xds_server.api.document import Document
from xds_server.api.duration import format_duration
from xds_server.api.kubernetes_rule import LOAD_BALANCER
from xds_server.api.model import Model
from xds_server.api.policy import PolicySpec
from xds_server.api.problem import FieldPath, Place, field_path
from xds_server.mesh.attachment import Attachment
from xds_server.mesh.model import Port, Section
from xds_server.mesh.section import Outcome, Reference
from xds_server.mesh.selector import group_of, told
from xds_server.mesh.service import Assessment
from xds_server.xds import Labels

DEFAULT: Final = "default"
NOTHING: Final = "left out"


class Fate(StrEnum):
    """What became of a policy's section at a port, for some clients."""

    OVERRIDDEN = "Overridden"
    CONFLICTED = "Conflicted"
    INCOMPATIBLE = "Incompatible"
    UNFIT = "Unfit"
    FOR_OTHERS = "ForOtherClients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A field and its value; `origin` says it at `place`, or it is the default."""

    field: str
    value: str
    origin: str = DEFAULT
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loser:
    """A section that a policy has, and that is not in force; `reason` says why."""

    section: Section
    policy: str
    place: Place
    scope: str
    fate: Fate
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What one port gets."""

    port: Port
    facts: tuple[Fact, ...]
    losers: tuple[Loser, ...]


def explain_service(
    assessment: Assessment, service: Document, labels: Labels
) -> tuple[Explanation, ...]:
    """Return what clients with *labels* get of each port, and why.

    *service* is the Service's document.
    """
    return tuple(
        _explain(port, by_labels, assessment.references, service, labels)
        for port, by_labels in zip(
            assessment.ports, assessment.attachments, strict=True
        )
    )


def _explain(
    port: Port,
    by_labels: Mapping[Labels, Attachment],
    references: tuple[Reference, ...],
    service: Document,
    labels: Labels,
) -> Explanation:
    group = group_of(labels, by_labels)
    attachment = by_labels[group]
    told = {(each.section, each.reference): each for each in attachment.outcomes}
    facts: list[Fact] = []
    losers: list[Loser] = []
    for section in Section:
        origins = [each for each in attachment.origins if each.section is section]
        own = [each for each in attachment.outcomes if each.section is section]
        winner = next((each.winner for each in own if each.winner), None)
        if winner is not None:
            facts += _facts_of(section, winner)
        else:
            # An origin that is no policy is the Service, by its annotation.
            facts += _facts_without(section, attachment, service if origins else None)
        for reference in references:
            if _written(section, reference.spec) is None or not reference.matches(port):
                continue
            outcome = told.get((section, reference))
            if reference is not winner:
                losers.append(_loser(section, reference, outcome, service, labels))
    return Explanation(port=port, facts=tuple(facts), losers=tuple(losers))


def _written(section: Section, spec: PolicySpec) -> object:
    """Return what *spec* has of *section*."""
    found: object = getattr(spec, section.field)
    return found


def _facts_of(section: Section, winner: Reference) -> Iterator[Fact]:
    """Yield the fields of the section of *winner*: its own words, and the defaults."""
    document, path = winner.policy, ("spec", section.value)
    found = _written(section, winner.spec)
    plain: _Found = ((), _text(found), True)  # of a section that is one value
    for below, value, is_written in [*_values(found, document, path)] or [plain]:
        yield Fact(
            field=field_path((section.value, *below)),
            value=value,
            origin=str(document.key) if is_written else DEFAULT,
            place=document.locate((*path, *below)) if is_written else None,
        )


def _facts_without(
    section: Section, attachment: Attachment, service: Document | None
) -> Iterator[Fact]:
    """Yield the fields of *section* where no policy has it, or *service* says it."""
    given: object = attachment.balance.load_balancer
    if section is not Section.LOAD_BALANCER:
        given = getattr(attachment.sections, section.field)
    if given is None:
        yield Fact(field=section.value, value=NOTHING)
        return
    for below, value, _ in _values(given, None, ()):
        is_said = service is not None and below == ("type",)
        path = ("metadata", "annotations", LOAD_BALANCER)
        yield Fact(
            field=field_path((section.value, *below)),
            value=value,
            origin=str(service.key) if service and is_said else DEFAULT,
            place=service.locate(path) if service and is_said else None,
        )


_NOWHERE: Final = "\0"
_Found = tuple[FieldPath, str, bool]


def _values(
    value: object, document: Document | None, path: FieldPath
) -> Iterator[_Found]:
    """Yield the path below *path* of each plain value, it, and whether it is written.

    What is filled in looks as if it were written, but stands nowhere: its place is that
    of a field that cannot be there.
    """
    for step, item, is_set in _parts(value):
        here = (*path, step)
        is_written = (
            document is not None
            and is_set
            and document.locate(here) != document.locate((*path, _NOWHERE))
        )
        nested = [*_values(item, document if is_written else None, here)]
        if nested:
            for below, text, is_below_written in nested:
                yield (step, *below), text, is_below_written
        else:
            yield (step,), _text(item), is_written


def _parts(value: object) -> Iterator[tuple[str | int, object, bool]]:
    """Yield what *value* consists of, if it does: a model's fields, a list of models.

    With it, whether it was set; fields that are left out without a default are none,
    and so are empty lists.
    """
    if isinstance(value, Model):
        for name, field in type(value).model_fields.items():
            item: object = getattr(value, name)
            if item is not None and item != ():
                yield field.alias or name, item, name in value.model_fields_set
    elif isinstance(value, tuple) and any(isinstance(each, Model) for each in value):
        for position, each in enumerate(value):
            yield position, each, True


def _text(value: object) -> str:
    """Return a plain value as users write it."""
    match value:
        case bool():
            return "true" if value else "false"
        case timedelta():
            return format_duration(value)
        case tuple():
            pairs = (": ".join(e) if isinstance(e, tuple) else str(e) for e in value)
            return f"[{', '.join(pairs)}]"
        case Model():
            return "{}"
        case _:
            return str(value)


def _loser(
    section: Section,
    reference: Reference,
    outcome: Outcome | None,
    service: Document,
    labels: Labels,
) -> Loser:
    fate, reason = _fate(section, reference, outcome, service, labels)
    return Loser(
        section=section,
        policy=str(reference.policy.key),
        place=reference.policy.locate(("spec", section.value)),
        scope=reference.scope,
        fate=fate,
        reason=reason,
    )


def _fate(
    section: Section,
    reference: Reference,
    outcome: Outcome | None,
    service: Document,
    labels: Labels,
) -> tuple[Fate, str]:
    if not reference.is_for(labels):
        wanted = " or ".join(map(told, reference.clients))
        return Fate.FOR_OTHERS, f"for clients {wanted}"
    if outcome is None:
        if reference.level.is_broad and section is Section.LOAD_BALANCER:
            return Fate.OVERRIDDEN, f"by the annotation of {service.key}"
        return Fate.UNFIT, "too many groups of clients are told apart"
    if outcome.winner is None:
        return _unfit(outcome)
    by = f"by {outcome.winner.policy.key}"
    if outcome.winner.policy is reference.policy:
        return Fate.OVERRIDDEN, f"{by} itself, for {outcome.winner.scope}"
    fate = Fate.OVERRIDDEN if outcome.is_overridden else Fate.CONFLICTED
    return fate, f"{by}, for {outcome.winner.scope}"


def _unfit(outcome: Outcome) -> tuple[Fate, str]:
    """Say what a section does not fit: another one, or the port."""
    rival = outcome.rival
    if rival is not None:
        whose = f"{rival.section} of {rival.origin}, for {rival.scope}"
        return Fate.INCOMPATIBLE, f"with {whose}"
    messages = [each.message for each in outcome.problems]
    return Fate.UNFIT, "; ".join(messages) or "does not fit the port"
