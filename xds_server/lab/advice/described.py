"""A profile as somebody describes it, for as many endpoints as a Service has.

Numbers in; a `Profile` out, or what is wrong with them.
"""

from dataclasses import dataclass
from typing import Final

from xds_server.lab.advice.profile import Host, Keys, Profile, enough_for
from xds_server.lab.error import UsageError

_PERCENT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What somebody says of servers. Without `keys` the rest about them has no effect.

    `speeds` and `error_percents` are those of the endpoints in the order in which the
    Service has them; where one is empty all are alike.
    """

    rate: float
    service_time: float
    workers: int
    speeds: tuple[float, ...] = ()
    error_percents: tuple[float, ...] = ()
    keys: int = 0
    key_header: str = "x-user"
    cache_size: int | None = None
    hit_speedup: float = 1.0

    def profile(self, endpoints: int) -> Profile:
        """Return what so many *endpoints* are like.

        Raises:
            UsageError: It is said of another number of them.
        """
        _check("speed", self.speeds, endpoints)
        _check("error-percent", self.error_percents, endpoints)
        speeds = self.speeds or (1.0,) * endpoints
        percents = self.error_percents or (0.0,) * endpoints
        return Profile(
            hosts=tuple(
                Host(speed=speed, error_share=percent / _PERCENT)
                for speed, percent in zip(speeds, percents, strict=True)
            ),
            rate=self.rate,
            service_time=self.service_time,
            workers=self.workers,
            keys=self._keys(endpoints) if self.keys else None,
        )

    def _keys(self, endpoints: int) -> Keys:
        return Keys(
            number=self.keys,
            cache_size=self.cache_size or enough_for(self.keys, endpoints),
            hit_speedup=self.hit_speedup,
            header=self.key_header,
        )


def _check(flag: str, values: tuple[float, ...], endpoints: int) -> None:
    if values and len(values) != endpoints:
        message = f"--{flag} must be given once for each of {endpoints} endpoints"
        message += f" (got {len(values)})"
        raise UsageError(message, hint="or not at all")
