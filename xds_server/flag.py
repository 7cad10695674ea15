"""How a setting becomes a flag, and what is said of one that is wrong.

A field of a settings class in; an option whose help, default and variable come from it,
or complaints in the words of flags, out. What is printed, and where, is elsewhere.
"""

from collections.abc import Container, Iterator
from datetime import timedelta

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from typer.models import OptionInfo

from xds_server.api.duration import format_duration


def flag(settings: type[BaseSettings], field: str, *names: str) -> OptionInfo:
    """Return the option of one setting."""
    description = settings.model_fields[field].description
    option: OptionInfo = typer.Option(
        *names, help=f"{description} {_note(settings, field)}", show_default=False
    )
    return option


def complaints(
    error: ValidationError, settings: type[BaseSettings], given: Container[str]
) -> Iterator[str]:
    """Say what is wrong with each setting, and where it came from.

    Those in *given* came by flags, others may have come from the environment.
    """
    for item in error.errors():
        field = str(item["loc"][0])
        name = "--" + field.replace("_", "-")
        if field not in given:
            name += f" ({_variable(settings, field)})"
        hint = item.get("ctx", {}).get("hint")
        message = item["msg"].removeprefix("Value error, ")
        yield f"{name}: {message}" + (f"\n  hint: {hint}" if hint else "")


def _variable(settings: type[BaseSettings], field: str) -> str:
    """Return the environment variable of one setting."""
    return f"{settings.model_config.get('env_prefix', '')}{field}".upper()


def _note(settings: type[BaseSettings], field: str) -> str:
    """Say what holds without the flag of a setting, and which variable is for it."""
    info, variable = settings.model_fields[field], _variable(settings, field)
    default = info.get_default()
    if isinstance(default, timedelta):
        default = format_duration(default)
    if info.is_required():
        return f"[required; env: {variable}]"
    if default is False or default in (None, "", ()):
        return f"[env: {variable}]"
    return f"[default: {default}; env: {variable}]"
