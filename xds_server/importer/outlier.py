"""What both Istio and Envoy Gateway hold of outlier detection without being told.

Both leave to Envoy what is not written; we write some of it otherwise.
"""

from typing import Final

from xds_server.api.manifest import Value
from xds_server.api.problem import FieldPath
from xds_server.importer.draft import Draft

_SECTION: Final = "outlierDetection"
_5XX: Final = f"{_SECTION}.consecutive5xx"
_GATEWAY: Final = f"{_SECTION}.consecutiveGatewayErrors"
_LOCAL: Final = f"{_SECTION}.consecutiveLocalErrors"
_DEFAULT: Final = 5
"""Of Envoy, for errors in a row."""


def hold_outliers(draft: Draft, *, is_split: Value, split: FieldPath) -> None:
    """Write out what holds of *draft*'s detector, and take out what has no effect.

    *is_split* is what stands at *split*: whether errors of connections are told apart.
    """
    draft.hold(f"{_SECTION}.alwaysEjectOne", value=False, stands=True)
    if is_split is True:
        draft.hold(_LOCAL, _DEFAULT, source=split)
    elif is_split in (False, None):
        draft.drop(_LOCAL, f"has no effect there without {split[-1]}")
        draft.account.settle(split)
    else:
        draft.account.lose(split, "must be true or false")
    any_5xx, gateway = draft.value(_5XX), draft.value(_GATEWAY)
    if any_5xx is None:
        any_5xx = _DEFAULT
    if isinstance(any_5xx, int) and isinstance(gateway, int) and 0 < any_5xx <= gateway:
        draft.drop(_GATEWAY, "has no effect, there as here: 5xx counts these, too")
    others = {"failurePercentage", "successRate"}
    detectors = (_GATEWAY, _LOCAL, *(f"{_SECTION}.{one}" for one in others))
    if any_5xx == 0 and not any(map(draft.has, detectors)):
        draft.drop(_SECTION, "has no effect, there as here: nothing ejects")
