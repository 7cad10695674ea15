"""Which files there are, and what is in the way."""

import os
import socket
from pathlib import Path

import pytest

from xds_server.api.decode import MAX_DOCUMENT_BYTES
from xds_server.sources.listing import Listing
from xds_server.sources.scan import scan


def write(path: Path, text: str = "kind: Pod\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(listing: Listing, root: Path) -> list[str]:
    return [str(Path(path).relative_to(root)) for path in listing.files]


def obstacles(listing: Listing, root: Path) -> dict[str, str]:
    return {
        str(Path(path).relative_to(root)): obstacle.problem.message
        for path, obstacle in listing.obstacles.items()
    }


def test_a_directory_is_walked_in_order_for_yaml_and_json(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "sub/deep/d.yaml", "c.json", "README.md"):
        write(tmp_path / name)

    assert names(scan([str(tmp_path)]), tmp_path) == [
        "a.yaml",
        "b.yml",
        "c.json",
        "sub/deep/d.yaml",
    ]


def test_hidden_and_editors_files_are_passed_over(tmp_path: Path) -> None:
    for name in (
        "a.yaml",
        ".a.yaml",
        ".a.yaml.swp",
        "a.yaml~",
        "#a.yaml#",
        ".#a.yaml",
        ".git/config.yaml",
        "4913",
    ):
        write(tmp_path / name)

    assert names(scan([str(tmp_path)]), tmp_path) == ["a.yaml"]


def test_a_named_file_needs_no_suffix(tmp_path: Path) -> None:
    path = write(tmp_path / "policy.txt")

    assert list(scan([str(path)]).files) == [str(path)]


def test_paths_are_named_as_the_user_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "policies" / "a.yaml")
    monkeypatch.chdir(tmp_path)

    assert list(scan(["./policies"]).files) == ["./policies/a.yaml"]


def test_a_file_reached_twice_is_listed_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").symlink_to(path)

    listing = scan([str(tmp_path), str(path)])

    assert list(listing.files) == [str(path)]
    assert listing.obstacles == {}


def test_the_files_of_a_config_map_are_found_through_its_links(tmp_path: Path) -> None:
    """A volume holds `x.yaml -> ..data/x.yaml` and `..data -> ..2024_01_01`."""
    real = write(tmp_path / "..2024_01_01" / "x.yaml")
    (tmp_path / "..data").symlink_to("..2024_01_01")
    (tmp_path / "x.yaml").symlink_to("..data/x.yaml")

    listing = scan([str(tmp_path)])

    assert names(listing, tmp_path) == ["x.yaml"]
    assert listing.files[str(tmp_path / "x.yaml")].location == str(real)
    assert listing.concerns(str(tmp_path / "..data"))
    assert listing.concerns(str(real))


def test_a_loop_of_directories_is_told_once(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "a.yaml")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)

    listing = scan([str(tmp_path)])

    assert names(listing, tmp_path) == ["sub/a.yaml"]
    assert obstacles(listing, tmp_path) == {
        "sub/up": "a symbolic link leads back to a directory above it"
    }


def test_a_link_to_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("a.yaml")

    assert obstacles(scan([str(tmp_path)]), tmp_path) == {
        "a.yaml": "too many levels of symbolic links"
    }


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("gone.yaml")

    assert obstacles(scan([str(tmp_path)]), tmp_path) == {
        "a.yaml": "the symbolic link leads nowhere"
    }


def test_pipes_and_sockets_are_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a pipe would wait for a writer, for ever."""
    os.mkfifo(tmp_path / "pipe.yaml")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.yaml")

        listing = scan([str(tmp_path), "/dev/null"])

    assert listing.files == {}
    assert [each.problem.message for each in listing.obstacles.values()] == [
        "must be a regular file"
    ] * 3


def test_a_file_that_is_too_large_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(MAX_DOCUMENT_BYTES + 1)  # sparse: takes no space
    with (tmp_path / "fits.yaml").open("wb") as file:
        file.truncate(MAX_DOCUMENT_BYTES)

    listing = scan([str(tmp_path)])

    assert names(listing, tmp_path) == ["fits.yaml"]
    assert obstacles(listing, tmp_path) == {
        "large.yaml": "must be at most 33554432 bytes (got 33554433)"
    }


def test_a_directory_called_like_a_file_is_walked(tmp_path: Path) -> None:
    write(tmp_path / "x.yaml" / "a.yaml")

    assert names(scan([str(tmp_path)]), tmp_path) == ["x.yaml/a.yaml"]


def test_a_missing_path_is_told_and_waited_for(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "such" / "a.yaml"

    listing = scan([str(missing)])

    assert str(listing.obstacles[str(missing)].problem) == (
        f"{missing}: no such file or directory\n  hint: serve waits for it to appear"
    )
    assert listing.concerns(str(tmp_path / "no"))
    assert listing.watched == {str(tmp_path)}


def test_an_empty_directory_is_a_warning(tmp_path: Path) -> None:
    listing = scan([str(tmp_path)])

    assert str(listing.obstacles[str(tmp_path)].problem) == (
        f"{tmp_path}: warning: no file here ends in .yaml, .yml, .json"
    )


def test_a_directory_that_cannot_be_listed_hides_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "sub" / "a.yaml")
    real = os.scandir

    def deny(path: str) -> object:
        if path.endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", deny)

    listing = scan([str(tmp_path)])

    assert obstacles(listing, tmp_path) == {"sub": "permission denied"}
    assert listing.hides(str(tmp_path / "sub" / "a.yaml"))
    assert not listing.hides(str(tmp_path / "subway.yaml"))
