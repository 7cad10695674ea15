"""Where the example policies are: in the package, or beside it in a checkout."""

from pathlib import Path
from typing import Final

from xds_server.lab.error import LabError

_PACKAGED: Final = Path(__file__).with_name("policies")
_CHECKED_OUT: Final = Path(__file__).parents[2] / "policies"


def packaged_examples() -> Path:
    """Return the directory of the examples that `xds-server demo` measures."""
    for directory in (_PACKAGED, _CHECKED_OUT):
        if directory.is_dir():
            return directory
    message = "the example policies are not installed"
    raise LabError(message, hint="name some policies: xds-server try PATH...")
