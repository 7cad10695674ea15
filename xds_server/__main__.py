"""What `xds-server` and `python -m xds_server` run.

Importing takes most of a second: a Ctrl-C meanwhile ends the program as one later does.
"""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from xds_server.cli import cli  # noqa: PLC0415 - inside of what is guarded

        cli(prog_name="xds-server")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
