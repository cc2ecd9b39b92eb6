"""The terminal's table fits its width, and never loses a column of figures."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from stablenn.precision.record import Run
from stablenn.precision.report import print_table

RUN = Run.read(min((Path(__file__).parents[2] / "benchmarks" / "results").glob("cpu-*.jsonl")))


@pytest.mark.parametrize("width", [80, 100, 160])
def test_every_column_of_figures_is_there(width):
    out = io.StringIO()
    print_table(RUN, 1000, Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    header = next(line for line in lines if line.startswith("function"))
    assert header.split()[:2] == ["function", "type"]
    assert header.count("ours | peer") == 3
    assert all(len(line) <= width for line in lines)
    rows = lines[lines.index(header) + 1 : lines.index("")]
    assert len(rows) == len({(record.function, record.accuracy.dtype) for record in RUN.records})
    assert all(line.count("|") == 3 and "bf16 f16 f32 f64".count(line.split()[1]) for line in rows)


def test_worst_inputs_stand_where_there_is_room():
    wide, narrow = io.StringIO(), io.StringIO()
    print_table(RUN, 5, Console(file=wide, width=120))
    print_table(RUN, 5, Console(file=narrow, width=80))
    assert "worst input" in wide.getvalue().split("\n\n")[0]
    assert "worst input" not in narrow.getvalue().split("\n\n")[0]
