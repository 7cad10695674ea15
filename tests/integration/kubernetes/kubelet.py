"""A kubelet in small: the containers of Pods as processes of this machine.

In: Pods that controllers made. Out: each is bound to a Node, its containers run with
their commands, variables and files, and its status says that it is ready when its
probes do. There are no images, no networks and no DNS: the programs are those of this
machine, and a text that means the Pod's own network says what there is instead.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from tests.deploy.workload import Container, PodSpec, Probe, Variable
from tests.integration.kubernetes.namespace import Namespace
from tests.integration.kubernetes.objects import node
from xds_server.lab.envoy import find_envoy
from xds_server.lab.process import Child, run_child
from xds_server.lab.scenario import free_port

_PODS: Final = "/api/v1/pods"
_STARTING: Final = timedelta(minutes=1)
"""As long as the startup probes allow."""
_LOOPBACK_PORTS: Final = ("15001", "19000")
_ENTRYPOINTS: Final = {"xds-server": ("python3", "-m", "xds_server")}


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """Which Pod it is, and whether it shall go."""

    name: str
    namespace: str
    uid: str
    labels: dict[str, str] = {}
    deletion_timestamp: str | None = None


class Pod(msgspec.Struct, frozen=True):
    """A Pod as controllers make it."""

    metadata: Metadata
    spec: PodSpec


class ConfigMap(msgspec.Struct, frozen=True):
    """Some texts by their names."""

    data: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What a Pod has of this machine."""

    pod: Pod
    namespace: Namespace
    address: str
    folder: Path
    instead: Mapping[str, str]

    def local(self, text: str) -> str:
        """Return *text* with what there is instead of the Pod's own network."""
        for meant, found in self.instead.items():
            text = text.replace(meant, found)
        return text

    async def read(self, name: str) -> Mapping[str, str]:
        """Return the texts of a ConfigMap."""
        path = self.namespace.path("configmaps", name)
        answer = await self.namespace.client.get(path)
        return msgspec.json.decode(answer, type=ConfigMap).data

    async def mount(self) -> None:
        """Write the files of the Pod's volumes."""
        for volume in self.pod.spec.volumes:
            if volume.config_map is not None:
                folder = self.folder / volume.name
                folder.mkdir(parents=True)
                for name, text in (await self.read(volume.config_map.name)).items():
                    (folder / name).write_text(self.local(text))

    async def variables(self, container: Container) -> Mapping[str, str]:
        """Return the variables of a container."""
        found: dict[str, str] = {}
        for each in container.env_from:
            found |= await self.read(each.config_map_ref.name)
        if self.pod.spec.automount_service_account_token:
            account = self.pod.spec.service_account_name
            kubeconfig = await self.namespace.kubeconfig_of(account)
            found["XDS_SERVER_KUBECONFIG"] = str(kubeconfig)
        for variable in container.env:
            found[variable.name] = _expanded(self._value(variable), found)
        return {name: self.local(value) for name, value in found.items()}

    def _value(self, variable: Variable) -> str:
        if variable.value_from is None:
            return variable.value
        path = variable.value_from.field_ref.field_path
        metadata = self.pod.metadata
        known = {"metadata.name": metadata.name}
        known["metadata.namespace"] = metadata.namespace
        label = path.removeprefix("metadata.labels['").removesuffix("']")
        return known[path] if path in known else metadata.labels.get(label, "")

    def command(
        self, container: Container, variables: Mapping[str, str]
    ) -> Iterator[str]:
        """Yield the words of a container's command, the first one a path."""
        image = container.image.partition(":")[0]
        words = [*(container.command or _ENTRYPOINTS[image]), *container.args]
        yield _program(words[0])
        for word in words[1:]:
            expanded = _expanded(word, variables)
            for mount in container.volume_mounts:
                inside = str(self.folder / mount.name)
                expanded = expanded.replace(mount.mount_path, inside)
            yield self.local(expanded)

    @asynccontextmanager
    async def running(self, container: Container) -> AsyncIterator[Child]:
        """Run a container inside the block, with the Pod's variables and no others."""
        variables = await self.variables(container)
        settings = [f"{name}={value}" for name, value in variables.items()]
        command = [_program("env"), "-i", *settings]
        command += self.command(container, variables)
        log = self.folder / f"{container.name}.log"
        async with run_child(self.pod.metadata.name, command, log) as child:
            yield child

    async def holds(self, container: Container, probe: Probe) -> bool:
        """Whether a probe succeeds."""
        if probe.exec is not None:
            words = [self.local(word) for word in probe.exec.command]
            process = await asyncio.create_subprocess_exec(
                *words, stderr=asyncio.subprocess.DEVNULL
            )
            return await process.wait() == 0
        assert probe.http_get is not None
        ports = {port.name: port.container_port for port in container.ports}
        place = f"{self.address}:{ports[probe.http_get.port]}{probe.http_get.path}"
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{place}") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return *text* with the values of the variables that it names."""
    for name, value in variables.items():
        text = text.replace(f"$({name})", value)
    return text


def _program(name: str) -> str:
    if name == "python3":
        return sys.executable
    found = find_envoy() if name == "envoy" else shutil.which(name)
    assert found is not None, f"no {name} on this machine"
    return str(found)


async def _until_it_holds(
    sandbox: Sandbox, container: Container, probe: Probe, child: Child
) -> None:
    async def holds() -> bool:
        return await sandbox.holds(container, probe)

    await child.wait_for(holds, "a probe that succeeds", _STARTING)


@dataclass(frozen=True, kw_only=True)
class Kubelet:
    """Runs the Pods of some namespaces, on a Node named as its own namespace.

    `services` are names of DNS, and the namespace and name of the Service behind each.
    """

    namespace: Namespace
    namespaces: Sequence[str]
    addresses: Iterator[str]
    services: Mapping[str, tuple[str, str]]
    folder: Path
    _gone: dict[str, asyncio.Event] = field(default_factory=dict)

    async def run(self, since: str) -> None:
        """Run the Pods that are created after the version *since*, for ever."""
        async with asyncio.TaskGroup() as tasks:
            async for event in self.namespace.client.watch(_PODS, since):
                if event.type == "BOOKMARK":
                    continue
                pod = msgspec.json.decode(event.object, type=Pod)
                if pod.metadata.namespace not in self.namespaces:
                    continue
                if event.type == "ADDED":
                    self._gone[pod.metadata.uid] = asyncio.Event()
                    tasks.create_task(self._run_pod(pod))
                elif pod.metadata.deletion_timestamp is not None:
                    self._gone[pod.metadata.uid].set()

    async def _run_pod(self, pod: Pod) -> None:
        sandbox = await self._sandbox(pod)
        namespace = sandbox.namespace
        path = namespace.path("pods", pod.metadata.name)
        binding = {
            "metadata": {"name": pod.metadata.name},
            "target": {"kind": "Node", "name": self.namespace.name},
        }
        await namespace.client.create(f"{path}/binding", binding)
        await sandbox.mount()
        async with AsyncExitStack() as stack:
            for container in (*pod.spec.init_containers, *pod.spec.containers):
                child = await stack.enter_async_context(sandbox.running(container))
                for probe in (container.startup_probe, container.readiness_probe):
                    if probe is not None:
                        await _until_it_holds(sandbox, container, probe, child)
            await namespace.set_pod(pod.metadata.name, [sandbox.address], ready=True)
            await self._gone[pod.metadata.uid].wait()
        await namespace.client.call("DELETE", path, query={"gracePeriodSeconds": "0"})

    async def _sandbox(self, pod: Pod) -> Sandbox:
        address = next(self.addresses)
        instead = {"0.0.0.0": address}  # noqa: S104 - what is replaced
        instead |= {port: str(free_port()) for port in _LOOPBACK_PORTS}
        for name, (namespace, service) in self.services.items():
            if namespace != pod.metadata.namespace:
                instead[name] = await self._endpoint(namespace, service)
        folder = self.folder / pod.metadata.name
        folder.mkdir()
        namespace_of_pod = replace(
            self.namespace, name=pod.metadata.namespace, folder=folder
        )
        return Sandbox(
            pod=pod,
            namespace=namespace_of_pod,
            address=address,
            folder=folder,
            instead=instead,
        )

    async def _endpoint(self, namespace: str, service: str) -> str:
        """Return the address of an endpoint, as kube-proxy would."""
        there = replace(self.namespace, name=namespace)
        await there.until_endpoints(
            service, lambda found: any(each.conditions.ready for each in found)
        )
        found = await there.endpoints(service)
        return next(each.addresses[0] for each in found if each.conditions.ready)


@asynccontextmanager
async def run_kubelet(kubelet: Kubelet) -> AsyncIterator[None]:
    """Run *kubelet*, with its Node, inside the block."""
    await kubelet.namespace.create_node(node(kubelet.namespace.name))
    since = await kubelet.namespace.client.list_version(_PODS)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(kubelet.run(since))
        yield
        task.cancel()
