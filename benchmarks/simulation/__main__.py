"""Writes the comparison and the picture of docs/performance-based.md.

`python -m benchmarks.simulation --picture docs/performance-based.svg` prints the table
and draws the picture, in some minutes.
"""

import argparse
from pathlib import Path

from benchmarks.simulation import picture
from benchmarks.simulation.comparison import COMPARED, compare, write_table


def main() -> None:
    """Print the table, and draw the picture where one is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulation",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw it as SVG")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--scenario", nargs="+", default=COMPARED, choices=COMPARED)
    arguments = parser.parse_args()
    if arguments.picture is not None:
        picture.draw(picture.trace(), arguments.picture)
    print(write_table(compare(arguments.scenario, seeds=arguments.seeds)))


if __name__ == "__main__":
    main()
