"""Result files in parts: each has a title, a provenance of its own, and the tables that are shown.

Where a part also keeps its raw records, its tables are a function of these: ``ResultFile.retable``
makes them anew, without measuring.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from provenance import describe
from result_tables import cells


class ResultFile:
    """The parts of one result file, in the order of their titles; written after every change.

    Parameters
    ----------
    path : Path
        Read if it exists.
    titles : dict of str to str
        Title of every part that the file may hold, by its name.
    """

    def __init__(self, path: Path, titles: Mapping[str, str]):
        self.path, self.titles = path, titles
        self.parts: dict = {}
        if path.exists():
            self.parts = json.loads(path.read_text(encoding="utf-8"))["parts"]

    def records(self, name: str) -> list[dict]:
        """Raw records of a part, none where it has not been measured."""
        return self.parts.get(name, {}).get("records", [])

    def keep(self, name: str, provenance: dict, tables: list, records: list | None = None) -> None:
        """Put a part in its place, instead of an older one, and write the file."""
        part = {"title": self.titles[name], "provenance": provenance, "tables": tables}
        self.parts[name] = part if records is None else {**part, "records": records}
        ordered = {key: self.parts[key] for key in self.titles if key in self.parts}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"parts": ordered}, indent=1) + "\n", encoding="utf-8")

    def retable(self, tables: Callable[[str, list[dict]], list]) -> None:
        """Make the tables of every part with records from these, ``tables(name, records)``."""
        for name, part in list(self.parts.items()):
            if "records" in part:
                records = part["records"]
                self.keep(name, part["provenance"], tables(name, records), records)

    def show(self, names: Iterable[str]) -> None:
        """Print parts for a terminal, as markdown."""
        for name in names:
            if name in self.parts:
                part = self.parts[name]
                print(f"\n{part['title']}\n{markdown(part['tables'])}", flush=True)


def parts_parser(
    description: str, parts: Iterable[str], out: Path, *, quick: str = ""
) -> argparse.ArgumentParser:
    """Command line of a benchmark in parts, to which it adds options of its own.

    With `quick`, what that cuts down to, it has the options that `run_parts` reads.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all")
    parser.add_argument("--out", type=Path, default=out)
    if quick:
        parser.add_argument("--quick", action="store_true", help=f"{quick}; keeps nothing")
        told = "make the tables anew, measure nothing"
        parser.add_argument("--print", action="store_true", help=told)
    return parser


def parse_parts(parser: argparse.ArgumentParser, parts: Iterable[str]) -> argparse.Namespace:
    """Read the command line; without parts, all of them are meant."""
    args = parser.parse_args()
    unknown = set(args.parts) - set(parts)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; accepted: {', '.join(parts)}")
    args.parts = args.parts or list(parts)
    return args


def run_parts(parts: Mapping[str, tuple], args) -> None:
    """Measure the parts named, keep them after every record, show them.

    `parts` maps names to (title, ``records(args)``, ``tables(records)``). Of `args` are read
    ``parts``, ``out``, ``quick`` (keep nothing) and ``print`` (measure nothing).
    """
    titles = {name: title for name, (title, *_) in parts.items()}
    with tempfile.TemporaryDirectory() as scratch:
        results = ResultFile(Path(scratch, "quick.json") if args.quick else args.out, titles)
        if args.print:
            results.retable(lambda name, records: parts[name][2](records))
            results.show(args.parts)
            return
        for name in args.parts:
            _, measure, tables = parts[name]
            provenance, records = measured_now(parts, name), []
            for record in measure(args):
                print(record, file=sys.stderr, flush=True)
                records.append(record)
                results.keep(name, provenance, tables(records), records)
            results.show([name])
    if not args.quick:
        print(f"\nWritten to {args.out}", file=sys.stderr)


def markdown(tables: list[dict]) -> str:
    """The tables of a part."""
    lines = []
    for table in tables:
        header, *rows = cells(table)
        rows = [header, ["---"] * len(header), *rows]
        lines += ["", table["caption"], "", *("| " + " | ".join(row) + " |" for row in rows)]
        lines += ["", *(f"- {note}" for note in table["notes"])] if table["notes"] else []
    return "\n".join(lines)


def measured_now(names: Iterable[str], name: str = "") -> dict:
    """Provenance of what this process is about to measure, the load of the machine included.

    ``name`` is the part of ``names``, positional arguments of the command, that is to be measured.
    """
    left_out = {*names, "--data", "--out"}  # these two tell of places on the machine
    words = zip(sys.argv, sys.argv[1:], strict=False)
    options = [w for before, w in words if w not in left_out and before not in ("--data", "--out")]
    script = f"benchmarks/{Path(sys.argv[0]).name}"
    command = " ".join(["python", script, *([name] if name else []), *options])
    return {**describe(), "command": command, "load_average": round(os.getloadavg()[0], 1)}
