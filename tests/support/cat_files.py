"""CSV files for `megacity cat`, its call in this process, and what it wrote."""

import csv
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from infra.cli.main import app


def write_bank(name, items):
    lines = ["item,a,b,c,d,content"]
    columns = (items.a, items.b, items.c, items.d)
    lines += [
        ",".join([f"i{at}", *(repr(float(column[at])) for column in columns), "ab"[at % 2]])
        for at in range(len(items))
    ]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_responses(name, responses, items=None):
    items = [f"i{at}" for at in range(responses.shape[1])] if items is None else items
    lines = [",".join(["examinee", *items])]
    for at, row in enumerate(responses.tolist()):
        lines.append(",".join([f"e{at}", *("" if value < 0 else str(value) for value in row)]))
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(*arguments):
    result = CliRunner().invoke(app, ["cat", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments):
    result = CliRunner().invoke(app, ["cat", *arguments])
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


def rows_of(name):
    with Path(name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(rows, name):
    return np.array([float(row[name] or "nan") for row in rows])


def files_in(folder):
    return sorted(each.name for each in folder.iterdir())
