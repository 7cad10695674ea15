"""What `xds-server explain` shows people."""

import io

from rich.console import Console

from xds_server.api.problem import Place
from xds_server.explanation_table import explanation_tables
from xds_server.mesh.explanation import Explanation, Fact, Fate, Loser
from xds_server.mesh.model import Port, Protocol, Section


def test_values_and_titles_are_no_markup() -> None:
    place = Place("[/a].yaml", 1, 1)
    fact = Fact(field="[f-g]", value="[a-b] ['a'] [/x]", origin="[red]", place=place)
    loser = Loser(
        section=Section.RETRY,
        policy="[/p]",
        place=place,
        scope="[/s]",
        fate=Fate.CONFLICTED,
        reason="[/r]",
    )
    port = Port(number=80, name="[/n]", protocol=Protocol.HTTP1)
    file = io.StringIO()
    console = Console(file=file, width=200, color_system=None)
    for table in explanation_tables(
        "[shop]/web", [Explanation(port=port, facts=(fact,), losers=(loser,))]
    ):
        console.print(table)
    text = " ".join(file.getvalue().split())

    assert "[shop]/web:80 ([/n]): in force" in text
    assert "[f-g] [a-b] ['a'] [/x] [red] [/a].yaml:1:1" in text
    assert "retry [/p] [/a].yaml:1:1 [/s]" in text
    assert "[/r]" in text
