"""The contract's checker is shown red on samples that break the contract."""

import unittest

import pyarrow as pa

import contract

SCHEMA = {
    "field": [
        {"name": "domain", "type": "utf8", "nullable": False},
        {"name": "bytes", "type": "uint64", "nullable": True},
    ]
}


def table(**columns):
    return pa.table(columns)


class Breaches(unittest.TestCase):
    def check(self, data, expected, schema=SCHEMA):
        self.assertEqual(contract.breaches(schema, data), expected)

    def test_what_the_schema_says_passes(self):
        numbers = pa.array([1, None], pa.uint64())
        self.check(table(domain=["a", "b"], bytes=numbers), [])

    def test_an_absent_nullable_column_is_null(self):
        self.check(table(domain=["a"]), [])

    def test_an_absent_column_that_must_be_there(self):
        self.check(table(bytes=pa.array([1], pa.uint64())), ["column domain is not there"])

    def test_nulls_where_there_may_be_none(self):
        self.check(table(domain=pa.array([None], pa.string())), ["column domain holds nulls"])

    def test_another_type(self):
        data = table(domain=["a"], bytes=pa.array([1], pa.int64()))
        self.check(data, ["column bytes is int64, not uint64"])

    def test_a_column_of_no_schema(self):
        self.check(table(domain=["a"], x=[1]), ["column x is in no schema"])
        self.check(table(domain=["a"], x=[1]), [], {**SCHEMA, "columns": "by rule"})


class Files(unittest.TestCase):
    def test_every_type_of_every_schema_file_is_known(self):
        for stem, schema in contract.schemas().items():
            for field in schema.get("field", []):
                self.assertIn(field["type"], contract.TYPES, f"{stem}.{field['name']}")

    def test_a_sample_is_named_after_its_schema(self):
        known = ["flows", "evidence.anomaly"]
        self.assertEqual(contract.schema_of("flows-v9", known), "flows")
        self.assertEqual(contract.schema_of("evidence.anomaly", known), "evidence.anomaly")
        self.assertIsNone(contract.schema_of("flowsy", known))


if __name__ == "__main__":
    unittest.main()
