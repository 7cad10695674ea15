"""What came of an import: policies as YAML, and what is to be told beside them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import yaml

from xds_server.api import scalar
from xds_server.api.problem import Problem, Severity, in_order
from xds_server.importer.account import Account
from xds_server.importer.draft import Manifest
from xds_server.importer.source import Foreign, mapping


@dataclass(slots=True, kw_only=True)
class Imported:
    """The policies, each with the object that it is of, and what is to be told.

    `passed_over` counts objects of other kinds, `names` are taken. `hint` is for those
    who have got policies.
    """

    hint: str = ""
    policies: list[tuple[Manifest, Foreign]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    names: set[tuple[str, str]] = field(default_factory=set)

    def add(self, account: Account, policies: Iterable[Manifest]) -> None:
        """Take what one object has become."""
        for policy in policies:
            self.policies.append((self._named(policy, account), account.foreign))
        self.accounts.append(account)
        self.problems += account.problems

    @property
    def is_whole(self) -> bool:
        """Whether all came along."""
        return all(one.severity is not Severity.ERROR for one in self.problems)

    @property
    def text(self) -> str:
        """The policies as YAML, each with a comment that says of what it is."""
        return "---\n".join(
            f"# {foreign.key}, {foreign.passage.locate(())}\n{_yaml(policy)}"
            for policy, foreign in self.policies
        )

    @property
    def told(self) -> list[str]:
        """What is to be told, in the order of places, and last what there was."""
        lines = [_line(problem) for problem in in_order(self.problems)]
        if self.passed_over:
            lines.append(f"passed over: {_counted(self.passed_over)}")
        lines.append(self._summary())
        if self.hint and self.policies:
            lines.append(f"  hint: {self.hint}")
        return lines

    def _summary(self) -> str:
        counts = Counter(one.severity for one in self.problems)
        text = f"{_number(len(self.policies), 'policy', 'policies')} of "
        text += _number(len(self.accounts), "object", "objects")
        lost, other = counts[Severity.ERROR], counts[Severity.WARNING]
        if lost:
            text += f"; {lost} not carried over"
        if other:
            text += f"; {_number(other, 'difference', 'differences')}"
        return text

    def _named(self, policy: Manifest, account: Account) -> Manifest:
        """Give a policy a name that no other of its namespace has."""
        metadata = mapping(policy["metadata"])
        namespace, wanted = str(metadata["namespace"]), str(metadata["name"])
        name, number = wanted, 1
        while (namespace, name) in self.names:
            number += 1
            name = f"{wanted}-{number}"
        self.names.add((namespace, name))
        if name != wanted:
            what = f"the policy is called {name}: the name is taken in {namespace}"
            account.note(("metadata", "name"), what)
        return {**policy, "metadata": {**metadata, "name": name}}


def _line(problem: Problem) -> str:
    """Say a problem as all commands do, with the object before the field."""
    if problem.object_key is None:
        return str(problem)
    path = f"{problem.object_key}: {problem.path}" if problem.path else ""
    return str(replace(problem, path=path or str(problem.object_key)))


class _Dumper(yaml.SafeDumper):
    """Quotes what is read as text only in quotes: `50494e47`, which is no number."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if scalar.resolve(text) == text else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted)


def _yaml(policy: Manifest) -> str:
    text: str = yaml.dump(
        policy, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))


def _number(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
