"""What the settings make of the environment."""

from pathlib import Path

import pytest

from xds_server.settings import ServeSettings

HOME = Path("~/.kube/config").expanduser()


@pytest.mark.parametrize(
    ("variables", "flag", "kubeconfigs"),
    [
        ({}, None, [HOME]),
        ({"KUBECONFIG": ""}, None, [HOME]),
        ({"KUBECONFIG": "/a"}, None, [Path("/a")]),
        ({"KUBECONFIG": "/a::~/.kube/config:"}, None, [Path("/a"), HOME]),
        ({"KUBECONFIG": "/a:/b"}, Path("/c"), [Path("/c")]),
        ({"KUBECONFIG": "/a", "KUBERNETES_SERVICE_HOST": "::1"}, None, []),
        ({"KUBERNETES_SERVICE_HOST": "::1"}, Path("/c"), [Path("/c")]),
    ],
)
def test_kubeconfigs_are_the_flags_or_the_pods_or_those_in_the_variable(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    flag: Path | None,
    kubeconfigs: list[Path],
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert [*ServeSettings(kubeconfig=flag).kubeconfigs] == kubeconfigs
