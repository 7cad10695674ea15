"""What all parts of a policy share: how they are validated and how they complain.

A model collects every fault of itself and its parts in one go: unknown fields, wrong
types, values out of range, and rules between fields. Faults travel inside pydantic's
ValidationError and come out of it with `faults_of`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from datetime import timedelta
from typing import ClassVar, Final, Self, get_args

from annotated_types import Ge, Gt, Le
from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from xds_server.api.duration import format_duration
from xds_server.api.problem import Fault
from xds_server.api.schema import Rule
from xds_server.api.wording import closest, got

DOCUMENT: Final = "document"
"""The validation context of what users wrote, as opposed to our own Python calls."""

_LATER: Final = "leave it out: this release would not act on it"
_FEW: Final = 24
_TYPES: Final = {
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
}
_RANGES: Final = {
    "int_type",
    "float_type",
    "finite_number",
    "greater_than",
    "greater_than_equal",
    "less_than_equal",
}


class Model(BaseModel):
    """A part of a policy: frozen, hashable, strict, camelCase outside.

    `later` are fields of the API that this release does not build yet; `passed_over`
    are those that Kubernetes writes and nobody here reads. `told_apart` are fields that
    left out say something else than with their default written out. `served_rules` are
    what an API server can check of `presence_faults` and `value_faults`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
    later: ClassVar[frozenset[str]] = frozenset()
    passed_over: ClassVar[frozenset[str]] = frozenset()
    told_apart: ClassVar[frozenset[str]] = frozenset()
    served_rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Check which fields are there, before their values are known to be good."""
        del given
        return ()

    @classmethod
    def filled(cls, given: dict[str, object]) -> dict[str, object]:
        """Fill in what is left out, where it depends on what is there."""
        return given

    def value_faults(self) -> Iterable[Fault]:
        """Check rules between values that are good by themselves."""
        return ()

    @model_validator(mode="wrap")
    @classmethod
    def _validate(
        cls,
        value: object,
        handler: Callable[[dict[str, object]], Self],
        info: ValidationInfo[object],
    ) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict):
            raise refusal(Fault(path=(), message=f"must be a mapping{got(value)}"))
        faults: list[Fault] = []
        unusable: set[str] = set()
        if info.context == DOCUMENT:
            faults += cls._unusable_fields(value)
            unusable = value.keys() - (set(cls._fields()) - cls.later)
        given: dict[str, object] = {
            cls._alias(key): tuple(item) if type(item) is list else item
            for key, item in value.items()
            if item is not None and key not in unusable
        }
        faults += cls.presence_faults(given)
        try:
            model = handler(cls.filled(given))
        except ValidationError as error:
            errors = error.errors(include_url=False)
            faults += [cls._fault(one) for one in errors if not _is_echo(one)]
            raise together(faults) from None
        faults += model.value_faults()
        if faults:
            raise together(faults)
        return model

    @classmethod
    def _fields(cls) -> list[str]:
        """Give the fields' names as users write them."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @classmethod
    def _alias(cls, key: str) -> str:
        """Give a field's name as users write it; Python calls may use its own."""
        field = cls.model_fields.get(key)
        return key if field is None else field.alias or key

    @classmethod
    def _unusable_fields(cls, value: Mapping[str, object]) -> Iterator[Fault]:
        """Refuse keys that are no fields here, or not yet."""
        allowed = [field for field in cls._fields() if field not in cls.later]
        for key in value:
            if key in cls.later:
                message = f"not supported yet{got(value[key])}"
                yield Fault(path=(key,), message=message, hint=_LATER, at_key=True)
            elif key not in allowed and key not in cls.passed_over:
                hint = cls._meant(key, allowed)
                yield Fault(
                    path=(key,), message="unknown field", hint=hint, at_key=True
                )

    @classmethod
    def _meant(cls, key: str, allowed: Sequence[str]) -> str | None:
        """Guess which field was meant, of those that come later, too."""
        later = sorted(cls.later)
        guess = closest(key, [*allowed, *later])
        if guess is None:
            return _all(allowed, later)
        return f"did you mean {guess}?" + " (not supported yet)" * (guess in later)

    @classmethod
    def _fault(cls, error: ErrorDetails) -> Fault:
        """Say an error of pydantic in our words; those of parts are so already."""
        path, found, kind = error["loc"], error["input"], error["type"]
        context = error.get("ctx", {})
        if kind == "refused":
            return Fault(path=path, **context)
        hint: str | None = None
        match kind:
            case "missing":
                message = "required"
            case "too_short":
                message = f"must have at least {_count(context['min_length'], found)}"
            case "too_long":
                message = f"must have at most {_count(context['max_length'], found)}"
            case _ if kind in _RANGES:
                message = f"must be {cls._range(path[0])}{got(found)}"
            case _:
                message = _TYPES.get(kind, error["msg"]) + got(found)
                if kind == "string_type" and isinstance(found, bool | int | float):
                    hint = "quote it to make it a string"
        return Fault(path=path, message=message, hint=hint)

    @classmethod
    def _range(cls, alias: str | int) -> str:
        """Say what a number or duration may be, from the field's own constraints."""
        field = next(
            one for one in cls.model_fields.values() if one.alias == str(alias)
        )
        least = [m.ge for m in field.metadata if isinstance(m, Ge)]
        most = [m.le for m in field.metadata if isinstance(m, Le)]
        above = [m.gt for m in field.metadata if isinstance(m, Gt)]
        noun = _noun(field)
        if above:
            return f"{noun} above {_bound(above[-1])}, at most {_bound(most[-1])}"
        if not most:
            return f"{noun} of at least {_bound(least[-1])}"
        return f"{noun} between {_bound(least[-1])} and {_bound(most[-1])}"


def faults_of(error: ValidationError) -> list[Fault]:
    """Take the faults out of the error of a model's validation."""
    return [
        Fault(path=one["loc"], **one["ctx"])
        for one in error.errors(include_url=False, include_input=False)
    ]


def refusal(fault: Fault) -> PydanticCustomError:
    """Make what a validator raises; its path is where the validator stands."""
    context = {"message": fault.message, "hint": fault.hint, "at_key": fault.at_key}
    return PydanticCustomError("refused", "{message}", context)


def _is_echo(error: ErrorDetails) -> bool:
    """Say whether a list counts as short only because its items were refused."""
    is_short = error["type"] == "too_short"
    return is_short and len(error["input"]) >= error["ctx"]["min_length"]


def together(faults: Iterable[Fault]) -> ValidationError:
    """Make one error of several faults, whose paths begin where the validator is."""
    return ValidationError.from_exception_data(
        "policy",
        [
            InitErrorDetails(type=refusal(fault), loc=fault.path, input=None)
            for fault in faults
        ],
    )


def _count(bound: int, found: Sized) -> str:
    return f"{bound} {'entry' if bound == 1 else 'entries'} (got {len(found)})"


def _all(fields: Sequence[str], later: Sequence[str]) -> str | None:
    if not 0 < len(fields) <= _FEW:
        return None
    yet = f"; not supported yet: {', '.join(later)}" if later else ""
    return f"allowed: {', '.join(fields)}{yet}"


def _noun(field: FieldInfo) -> str:
    kinds = set(_leaves(field.annotation))
    if int in kinds:
        return "an integer"
    return "a duration" if timedelta in kinds else "a number"


def _leaves(annotation: object) -> Iterator[object]:
    """Yield the plain types that an annotation is made of."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for one in inner:
        yield from _leaves(one)


def _bound(value: object) -> str:
    return format_duration(value) if isinstance(value, timedelta) else str(value)
