"""What speaks against a section of a policy at one port: values, and no place yet.

Where a section is to be in force in, with what a module like `health_check` says of it;
its fit out. Paths are relative to the section; who wrote it is known elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from xds_server.api.problem import FieldPath
from xds_server.mesh.backend import Backend
from xds_server.mesh.model import Discovery, Port, Protocol, Role
from xds_server.mesh.weight import FindPod, labels_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Where a section is to be in force.

    The port *is_meant* by a policy that names it by `sectionName`, or whose Service has
    no other: what cannot work there is an error, and a warning elsewhere. It may be
    *for_everybody*, or for clients with some labels. It *is_encrypted* where
    connections to the endpoints are.
    """

    port: Port
    backends: Sequence[Backend]
    find_pod: FindPod
    is_meant: bool
    for_everybody: bool = True
    discovery: Discovery = Discovery.EDS
    is_encrypted: bool = False

    def labels_of(self, backend: Backend) -> Mapping[str, str]:
        """Return the labels of the Pod of *backend*, as far as it is known."""
        pod = self.find_pod(backend.pod) if backend.pod else None
        return {} if pod is None else labels_of(pod)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """One thing that does not fit.

    `role` is that of the nodes that it concerns, unset where it concerns all. It
    *is_general* where it is so whatever the Service.
    """

    path: FieldPath
    message: str
    hint: str | None = None
    role: Role | None = None
    is_general: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Errors make the section unusable at the port, warnings do not by themselves.

    `is_passed_over` where the port does without the section, and that is no error: the
    policy is for other ports too.
    """

    errors: tuple[Misfit, ...] = ()
    warnings: tuple[Misfit, ...] = ()
    is_passed_over: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether the section may be in force at the port."""
        return not self.errors and not self.is_passed_over


def fit_anywhere(section: object, situation: Situation) -> Fit:
    """Return that nothing speaks against a *section* that works at every port."""
    del section, situation
    return Fit()


def fit_whole(misfit: Misfit | None, situation: Situation) -> Fit:
    """Return the fit of a section that works as a whole, or not at all."""
    if misfit is None:
        return Fit()
    if situation.is_meant:
        return Fit(errors=(misfit,))
    return Fit(warnings=(misfit,), is_passed_over=True)


def fit_in_part(misfits: Iterable[Misfit], situation: Situation) -> Fit:
    """Return the fit of a section of which the rest works where *misfits* do not."""
    found = tuple(misfits)
    return Fit(errors=found) if situation.is_meant else Fit(warnings=found)


def fit_http(without: str) -> Callable[[object, Situation], Fit]:
    """Return what fits a section of requests: not a port of TCP, which has none.

    *without* says what that means for its connections.
    """

    def fit(section: object, situation: Situation) -> Fit:
        del section
        port = situation.port
        if port.protocol is not Protocol.TCP:
            return Fit()
        name = port.name or port.number
        misfit = Misfit(
            path=(),
            message=f"port {name} is TCP and has no requests: {without}",
            hint="give the port an HTTP appProtocol if it is HTTP",
        )
        return fit_whole(misfit, situation)

    return fit
