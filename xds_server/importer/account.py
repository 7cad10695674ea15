"""What becomes of each field of one foreign object.

A field is settled once: it became a field of a policy, it says nothing that does not
hold anyway, or somebody is told why it has not come along.
"""

from dataclasses import dataclass, field

from xds_server.api.problem import Fault, FieldPath, Problem, Severity
from xds_server.importer.source import Foreign


@dataclass(slots=True, kw_only=True)
class Account:
    """What was said of the fields of an object.

    `outcomes` has where each of them went, by path, as users write it: empty where it
    went nowhere. A mapping or list that is there stands for all that is in it.
    """

    foreign: Foreign
    faults: list[Fault] = field(default_factory=list)
    outcomes: dict[FieldPath, str] = field(default_factory=dict)

    @property
    def problems(self) -> list[Problem]:
        """What is to be told, with its places."""
        return [self.foreign.located(fault) for fault in self.faults]

    def settle(self, path: FieldPath, outcome: str = "") -> None:
        """Take note that nothing has to be said of a field, nor of what is in it."""
        self.outcomes[path] = outcome

    def lose(self, path: FieldPath, why: str, hint: str | None = None) -> None:
        """Say that a field is not carried over, nor what is in it."""
        self.settle(path)
        self._tell(path, f"not carried over: {why}", hint, Severity.ERROR)

    def differ(self, path: FieldPath, how: str, hint: str | None = None) -> None:
        """Say in what a field means something else here."""
        self._tell(path, how, hint, Severity.WARNING)

    def note(self, path: FieldPath, what: str, hint: str | None = None) -> None:
        """Say of a field what somebody may like to know."""
        self._tell(path, what, hint, Severity.NOTICE)

    def refuse(self, fault: Fault) -> None:
        """Say of all of the object why nothing becomes of it, and that alone."""
        self.faults[:] = [fault]
        self.outcomes = {("spec",): ""}

    def _tell(
        self, path: FieldPath, message: str, hint: str | None, severity: Severity
    ) -> None:
        fault = Fault(path=path, message=message, hint=hint, severity=severity)
        if fault not in self.faults:
            self.faults.append(fault)
