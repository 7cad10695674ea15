"""Who asks an API server, and which: what kubeconfigs say, or a Pod's account."""

from pathlib import Path

import pytest

from xds_server.sources.kube_api import KubeApi, KubeConfigError


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
