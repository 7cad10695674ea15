"""Which of the objects that were read a project's importer is for."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from xds_server.api.problem import Fault, Problem
from xds_server.importer.imported import Imported
from xds_server.importer.source import Foreign, items, mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What becomes policies: objects of one kind, in the versions that are read."""

    group: str
    name: str
    versions: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Sorted:
    """The objects that become policies, and all others."""

    wanted: list[Foreign] = field(default_factory=list)
    others: list[Foreign] = field(default_factory=list)

    @property
    def ports(self) -> dict[tuple[str, str], dict[int, str]]:
        """The names of Services' ports, by number; of one without, the number."""
        return {
            (one.key.namespace, one.key.name): _ports(one)
            for one in self.others
            if (one.group, one.key.kind) == ("", "Service")
        }


def sort_out(
    read: Iterable[Foreign | Problem], kind: Kind, imported: Imported
) -> Sorted:
    """Part what was *read*; what cannot be of use is told in *imported*."""
    found = Sorted()
    for one in read:
        if isinstance(one, Problem):
            imported.problems.append(one)
        elif (one.group, one.key.kind) != (kind.group, kind.name):
            found.others.append(one)
            imported.passed_over[one.key.kind] += 1
        elif one.problems:
            imported.problems += (
                replace(problem, object_key=one.key) for problem in one.problems
            )
        elif one.version not in kind.versions:
            hint = f"apiVersion: {kind.group}/{kind.versions[0]}"
            message = f'unknown version of {kind.name} (got "{one.version}")'
            fault = Fault(path=("apiVersion",), message=message, hint=hint)
            imported.problems.append(one.located(fault))
        else:
            found.wanted.append(one)
    return found


def _ports(service: Foreign) -> dict[int, str]:
    names: dict[int, str] = {}
    for port in map(mapping, items(service.spec.get("ports"))):
        number, name = port.get("port"), port.get("name")
        if isinstance(number, int):
            names[number] = name if isinstance(name, str) and name else str(number)
    return names
