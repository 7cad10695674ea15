"""Who asks an API server, and which: what kubeconfigs say, or a Pod's account."""

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import certifi
import pytest
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import incluster_config

from xds_server.sources.kube_api import KubeApi, KubeConfigError, KubeError


def kubeconfig(file: Path, context: str, **servers: str) -> Path:
    """Write a kubeconfig with a cluster, a user and a context for each server."""
    lines = [f"current-context: {context}"]
    for kind, body in (
        ("clusters", "cluster: {{server: 'http://{1}'}}"),
        ("users", "user: {{token: '{1}'}}"),
        ("contexts", "context: {{cluster: {0}, user: {0}}}"),
    ):
        lines.append(f"{kind}:")
        lines += [
            f"- {{name: {name}, {body.format(name, server)}}}"
            for name, server in servers.items()
        ]
    file.write_text("\n".join(lines))
    return file


async def server(*kubeconfigs: Path) -> str:
    api = KubeApi(*kubeconfigs)
    async with api.connected():
        return api.server


async def test_of_several_kubeconfigs_the_first_that_says_it_counts(
    tmp_path: Path,
) -> None:
    """As with kubectl: of the context as of what it names, in whichever file it is."""
    none = kubeconfig(tmp_path / "none", '""')
    first = kubeconfig(tmp_path / "first", "b", a="a.first")
    second = kubeconfig(tmp_path / "second", "a", a="a.second", b="b.second")

    assert await server(none, first, second) == "http://b.second"
    assert await server(second, first) == "http://a.second"
    assert await server(kubeconfig(tmp_path / "c", "a"), first) == "http://a.first"


async def test_of_several_kubeconfigs_some_may_not_be_there(tmp_path: Path) -> None:
    there = kubeconfig(tmp_path / "there", "a", a="here")
    gone = tmp_path / "gone"

    assert await server(gone, there, gone) == "http://here"
    with pytest.raises(KubeConfigError, match=f"^no kubeconfig at {gone}:{gone}$"):
        await server(gone, gone)


async def test_a_pods_token_is_read_anew_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a minute, and not only when it has been refused."""
    token, clock = tmp_path / "token", [datetime(2026, 1, 1)]  # noqa: DTZ001 - as there
    ticking = SimpleNamespace(
        timedelta=timedelta, datetime=SimpleNamespace(now=lambda: clock[0])
    )
    sent: list[str] = []

    async def send(
        client: ApiClient,
        method: str,
        url: str,
        headers: dict[str, str],
        *rest: object,
        **limits: object,
    ) -> None:
        del client, method, url, rest, limits
        sent.append(headers["authorization"])
        raise ConnectionRefusedError

    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", certifi.where())
    monkeypatch.setattr(incluster_config, "datetime", ticking)
    monkeypatch.setattr(ApiClient, "call_api", send)

    token.write_text("first")
    api = KubeApi()
    async with api.connected():
        for text, error in (("second", KubeError), ("", KubeConfigError)):
            with pytest.raises(KubeError):
                await api.get("/api", {})
            token.write_text(text)
            clock[0] += timedelta(minutes=1)
            with pytest.raises(error):
                await api.get("/api", {})

    assert sent == ["bearer first", "bearer second", "bearer second"]
