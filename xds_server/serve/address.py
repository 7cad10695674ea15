"""Reading `host:port`, for everything that listens."""


def split_address(address: str) -> tuple[str, int]:
    """Return the host, without brackets, and the port of `host:port`.

    Raises:
        ValueError: there is no port.
    """
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
