"""A picture is written in both formats, and what cannot be is said before a run."""

import sys
from pathlib import Path

import pytest

from xds_server.lab.error import LabError, UsageError
from xds_server.lab.plot import draw_report, require_plot
from xds_server.lab.trial import TrialReport


def test_an_svg_has_every_measured_service_as_text(
    report: TrialReport, tmp_path: Path
) -> None:
    file = tmp_path / "shares.svg"
    draw_report(report, file)
    text = file.read_text("utf-8")

    assert "1 of 3 policies hold" in text
    assert "shop/search:80   2000 requests   DOES NOT HOLD" in text
    assert "shop/empty" not in text
    assert "1/n each, by chance" in text
    assert "51.0%" in text
    assert "(33.3%)" in text


def test_a_png_is_a_png(report: TrialReport, tmp_path: Path) -> None:
    file = tmp_path / "shares.png"
    draw_report(report, file)

    assert file.read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [("shares.gif", "ends in .png or .svg"), ("no/where.png", "there is no directory")],
)
def test_an_unusable_file_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        require_plot(tmp_path / name)


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(LabError, match=r"hint: pip install 'xds-server\[lab,plot\]'"):
        require_plot(tmp_path / "shares.png")


def test_nothing_measured_is_no_picture(report: TrialReport, tmp_path: Path) -> None:
    empty = TrialReport(trials=report.trials[2:], concurrency=1, seed=1)
    with pytest.raises(LabError, match="nothing was measured"):
        draw_report(empty, tmp_path / "shares.png")
