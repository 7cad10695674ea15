"""`python -m xds_server` is `xds-server`."""

from xds_server.cli import main

main()
