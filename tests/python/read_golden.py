"""Decodes every golden Arrow sample of the repository and holds it against its schema file.

usage: read_golden.py DIR"""

import pathlib
import sys

import pyarrow as pa

import contract


def main(folder):
    known = contract.schemas()
    files = sorted(pathlib.Path(folder).glob("*.arrow"))
    found = [] if files else [f"{folder}: no golden samples"]
    for file in files:
        stem = contract.schema_of(file.name.removesuffix(".arrow"), known)
        if stem is None:
            found.append(f"{file.name}: named after no schema")
            continue
        table = pa.ipc.open_stream(file.read_bytes()).read_all()
        found += [f"{file.name}: {breach}" for breach in contract.breaches(known[stem], table)]
        print(f"{file.name}: {table.num_rows} rows, {table.num_columns} columns, as {stem}")
    for breach in found:
        print(breach, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
