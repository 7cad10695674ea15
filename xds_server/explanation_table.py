"""`explain` for people and programs: what each port of a Service gets, and why.

In: explanations. Out: rich tables, or JSON whose keys are camelCase. Nothing is cut
where a terminal is narrow: long values go on in the next line. Values are text as it
is, not markup.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from xds_server.mesh.explanation import Explanation
from xds_server.mesh.model import Port


def explanation_tables(
    service: str, explanations: Iterable[Explanation]
) -> Iterator[Table]:
    """Yield two tables a port: what is in force, and what is not."""
    for each in explanations:
        name = _name(service, each.port)
        yield _table(
            f"{name}: in force",
            ("field", "value", "said by", "at"),
            (
                (one.field, one.value, one.origin, str(one.place or ""))
                for one in each.facts
            ),
        )
        if each.losers:
            yield _table(
                f"{name}: not in force",
                ("section", "said by", "at", "for", "why"),
                (
                    (
                        one.section.value,
                        one.policy,
                        str(one.place),
                        one.scope,
                        f"{one.fate}: {one.reason}",
                    )
                    for one in each.losers
                ),
            )


def explanations_json(
    service: str, labels: Mapping[str, str], explanations: Iterable[Explanation]
) -> str:
    """Return the same as JSON, with the labels of the client that it is about."""
    ports = [
        {
            "number": each.port.number,
            "name": each.port.name,
            "fields": [
                {
                    "field": one.field,
                    "value": one.value,
                    "origin": one.origin,
                    "place": str(one.place) if one.place else None,
                }
                for one in each.facts
            ],
            "notInForce": [
                {
                    "section": one.section.value,
                    "policy": one.policy,
                    "place": str(one.place),
                    "scope": one.scope,
                    "fate": one.fate.value,
                    "reason": one.reason,
                }
                for one in each.losers
            ],
        }
        for each in explanations
    ]
    found = {"service": service, "labels": dict(labels), "ports": ports}
    return json.dumps(found, indent=2, ensure_ascii=False)


def _name(service: str, port: Port) -> str:
    return f"{service}:{port.number}" + (f" ({port.name})" if port.name else "")


def _table(
    title: str, headings: Iterable[str], rows: Iterable[tuple[str, ...]]
) -> Table:
    table = Table(title_justify="left", box=box.SIMPLE_HEAD)
    table.title = Text(title, style="table.title")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
