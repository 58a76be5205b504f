"""Tables that tell themselves what their columns are: kept in a result file, shown on the site."""

from __future__ import annotations


def column(key: str, heading: str, form: str = "", error: str | None = None) -> dict:
    """A column: which entry of a record, under which heading with its unit, formatted how.

    `form` is a format specification; `error` names the entry that is shown behind a plus-minus, in
    the same format without its sign.
    """
    return {"key": key, "heading": heading, "form": form, "error": error}


def table(caption: str, columns: list[dict], records: list[dict], notes: tuple = ()) -> dict:
    """A table: how to read it, its columns, its rows, and what stands below it, line by line."""
    return {"caption": caption, "columns": columns, "records": records, "notes": list(notes)}


def means(records: list[dict], by: tuple) -> list[dict]:
    """One record per value of the entries `by`: the means of the numbers of its records."""
    groups: dict = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in by), []).append(record)
    return [{**group[0], **_mean_numbers(group)} for group in groups.values()]


def _mean_numbers(group):
    numbers = [key for key, value in group[0].items() if isinstance(value, float)]
    return {key: sum(record[key] for record in group) / len(group) for key in numbers}


def cells(found: dict) -> list[list[str]]:
    """Headings and rows of a table as text; columns that no record fills are left out."""
    columns = [c for c in found["columns"] if any(_has(r, c) for r in found["records"])]
    rows = [[_cell(record, c) for c in columns] for record in found["records"]]
    return [[c["heading"] for c in columns], *rows]


def _has(record, column):
    return record.get(column["key"]) is not None


def _cell(record, column):
    if not _has(record, column):
        return ""
    told = format(record[column["key"]], column["form"])
    error = record.get(column["error"])
    return told if error is None else f"{told} ± {format(error, column['form'].lstrip('+'))}"
