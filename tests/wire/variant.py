"""The four variants of the xDS transport protocol, and tests that run over them.

xds_protocol, "Four Variants of the xDS Transport Protocol": one stream for all types
(ADS) or one for each, and either the state of the world (SotW) or differences (delta).
"""

from enum import StrEnum
from typing import Final

import pytest

from xds_server.serve.service import DISCOVERY_SERVICES
from xds_server.xds import SHORT_NAMES


class Variant(StrEnum):
    """How a client speaks xDS; the values are the ids of tests."""

    ADS_SOTW = "ads-sotw"
    ADS_DELTA = "ads-delta"
    SINGLE_SOTW = "single-sotw"
    SINGLE_DELTA = "single-delta"

    @property
    def is_aggregated(self) -> bool:
        """Do all types share one stream?"""
        return self.value.startswith("ads-")

    @property
    def is_delta(self) -> bool:
        """Do messages carry differences?"""
        return self.value.endswith("-delta")

    def method(self, type_url: str) -> str:
        """Return the gRPC method for *type_url*."""
        wanted = None if self.is_aggregated else type_url
        (service,) = (s for s in DISCOVERY_SERVICES if s.type_url == wanted)
        return f"/{service.name}/{service.delta if self.is_delta else service.sotw}"


ALL: Final = tuple(Variant)
ADS: Final = tuple(variant for variant in ALL if variant.is_aggregated)
SINGLE: Final = tuple(variant for variant in ALL if not variant.is_aggregated)
SOTW: Final = tuple(variant for variant in ALL if not variant.is_delta)
DELTA: Final = tuple(variant for variant in ALL if variant.is_delta)


def over(variants: tuple[Variant, ...]) -> pytest.MarkDecorator:
    """Run a test once for each of *variants*; `client` and `connect` speak it."""
    return pytest.mark.parametrize("variant", variants, ids=str)


def of_types(*type_urls: str) -> pytest.MarkDecorator:
    """Run a test once for each of *type_urls*."""
    return pytest.mark.parametrize("type_url", type_urls, ids=_short_name)


def _short_name(type_url: str) -> str:
    return SHORT_NAMES.get(type_url, type_url.rpartition(".")[2])
