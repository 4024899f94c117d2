"""The contract of a topic, read from schemas/*.toml and held against Arrow data, without any of
the project's own code: whether another language sees what the schema files promise."""

import pathlib
import tomllib

import pyarrow as pa

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schemas"

UTC_MS = pa.timestamp("ms", tz="UTC")
CONTRIBUTOR = pa.struct(
    [
        pa.field("name", pa.string(), False),
        pa.field("weight", pa.float64(), False),
        pa.field("share", pa.float64(), False),
    ]
)
MEMBER = pa.struct(
    [pa.field(name, pa.string(), False) for name in ("id", "rule", "key", "model")]
    + [pa.field("opened", UTC_MS, False), pa.field("cleared", UTC_MS)]
    + [pa.field(name, pa.float64()) for name in ("value", "expected", "score")]
    + [pa.field("why", pa.string(), False)]
)

GATE = pa.struct([pa.field(name, pa.string(), False) for name in ("name", "verdict", "reason")])

# The type names of the schema files.
TYPES = {
    "utf8": pa.string(),
    "boolean": pa.bool_(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "binary": pa.binary(),
    "address": pa.binary(16),
    "mac": pa.binary(6),
    "timestamp_ms": UTC_MS,
    "list<uint32>": pa.list_(pa.uint32()),
    "list<float64>": pa.list_(pa.float64()),
    "list<utf8>": pa.list_(pa.string()),
    "list<gate>": pa.list_(GATE),
    "list<contributor>": pa.list_(CONTRIBUTOR),
    "list<member>": pa.list_(MEMBER),
}


def schemas():
    """Every schema file by its stem (`flows`, `evidence.anomaly`, ...)."""
    files = sorted(SCHEMAS.glob("*.toml"))
    return {path.name.removesuffix(".toml"): tomllib.loads(path.read_text()) for path in files}


def schema_of(name, known):
    """The schema that a golden file or a topic is named after: the longest that begins its name."""
    fitting = [stem for stem in known if name == stem or name.startswith((stem + ".", stem + "-"))]
    return max(fitting, key=len, default=None)


def breaches(schema, table):
    """What in the table is not as the schema says; empty when all is."""
    fields = {field["name"]: field for field in schema.get("field", [])}
    found = []
    for column in table.schema:
        field = fields.get(column.name)
        if field is None:
            if schema.get("columns") != "by rule":
                found.append(f"column {column.name} is in no schema")
        elif column.type != TYPES[field["type"]]:
            found.append(f"column {column.name} is {column.type}, not {field['type']}")
        elif not field["nullable"] and table[column.name].null_count:
            found.append(f"column {column.name} holds nulls")
    for field in fields.values():
        if not field["nullable"] and field["name"] not in table.column_names:
            found.append(f"column {field['name']} is not there")
    return found
