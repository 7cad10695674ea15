"""What commands print, and how they end: the only place that prints.

stdout is data, stderr everything else. Exit codes: 0 fine, 1 a finding (an invalid
policy, a distribution that does not hold, a rejected configuration), 2 wrong usage,
3 something needed is missing (an address in use, no Envoy, no answer), 130 interrupted.
"""

from collections.abc import Mapping
from typing import Final, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from xds_server.flag import complaints

EXIT_FINDING: Final = 1
EXIT_USAGE: Final = 2
EXIT_MISSING: Final = 3
EXIT_INTERRUPTED: Final = 130

Settings = TypeVar("Settings", bound=BaseSettings)


def settings_of(settings: type[Settings], flags: Mapping[str, object]) -> Settings:
    """Return the settings made of *flags* over environment over defaults, or exit."""
    fields = settings.model_fields
    given = {
        name: value
        for name, value in flags.items()
        if name in fields and value not in (None, [])
    }
    try:
        return settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        for complaint in complaints(error, settings, given):
            say(f"error: {complaint}")
        raise typer.Exit(EXIT_USAGE) from None


def say(text: str) -> None:
    """Write *text* for people, to stderr."""
    typer.echo(text, err=True)


def emit(text: str) -> None:
    """Write *text* as data, to stdout."""
    typer.echo(text)


def fail(reason: object, code: int = EXIT_MISSING) -> NoReturn:
    """Say why a command has to end, and end it."""
    say(f"error: {reason}")
    raise typer.Exit(code)
