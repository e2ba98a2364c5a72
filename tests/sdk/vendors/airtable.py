"""pyairtable, as its users use it: tables, records in batches, formulas, upsert, schema."""

import time

from pyairtable import Api
from pyairtable.formulas import match
from requests import HTTPError


def refusal(call):
    """The status and the type of what the server says no with."""
    try:
        call()
    except HTTPError as error:
        said = error.response.json()["error"]
        return error.response.status_code, said if isinstance(said, str) else said["type"]
    raise AssertionError("it was not refused")


def suite(test, open, _serve):
    sandbox = open()
    airtable = sandbox["vendors"]["airtable"]
    endpoint = airtable["base_url"].removesuffix("/v0")
    api = Api(airtable["token"], endpoint_url=endpoint)
    # Five calls a second for a base, or thirty seconds of nothing. Over loopback they would be more.
    api.session.hooks["response"].append(lambda *_, **__: time.sleep(0.22))
    base = api.base(sandbox["base"])

    table = base.create_table(
        "PySdk",
        [
            {"name": "Name", "type": "singleLineText"},
            {"name": "Count", "type": "number", "options": {"precision": 0}},
            {"name": "Severity", "type": "singleSelect", "options": {"choices": [{"name": "High"}, {"name": "Low"}]}},
        ],
    )

    @test("a record is created, read, updated and deleted")
    def _():
        record = table.create({"Name": "One", "Count": 1})
        assert record["id"].startswith("rec") and record["createdTime"], record
        assert table.get(record["id"])["fields"] == {"Name": "One", "Count": 1}
        assert table.update(record["id"], {"Count": 2})["fields"] == {"Name": "One", "Count": 2}
        assert table.update(record["id"], {"Name": "Only"}, replace=True)["fields"] == {"Name": "Only"}
        assert table.delete(record["id"]) == {"id": record["id"], "deleted": True}

    @test("batches of any size are cut into tens, and every page comes")
    def _():
        made = table.batch_create([{"Name": f"Row {at}", "Count": at} for at in range(23)])
        assert len(made) == 23
        pages = [len(page) for page in table.iterate(page_size=10)]
        assert pages == [10, 10, 3], pages
        assert [row["fields"]["Count"] for row in table.all(sort=["-Count"], max_records=2)] == [22, 21]
        assert table.first(formula=match({"Name": "Row 7"}))["fields"]["Count"] == 7
        assert table.all(formula="{Count} > 20", fields=["Name"])[0]["fields"].keys() == {"Name"}

    @test("an upsert says what it made and what it changed")
    def _():
        said = table.batch_upsert(
            [{"fields": {"Name": "Row 3", "Count": 300}}, {"fields": {"Name": "New", "Count": 1}}], key_fields=["Name"]
        )
        assert (len(said["createdRecords"]), len(said["updatedRecords"])) == (1, 1), said
        assert sorted(row["fields"]["Count"] for row in said["records"]) == [1, 300]
        again = table.batch_upsert([{"fields": {"Name": "New", "Count": 2}}], key_fields=["Name"])
        assert (len(again["createdRecords"]), len(again["updatedRecords"])) == (0, 1), again

    @test("several are updated and deleted at once")
    def _():
        rows = table.all(max_records=12)
        changed = table.batch_update([{"id": row["id"], "fields": {"Severity": "Low"}} for row in rows])
        assert {row["fields"]["Severity"] for row in changed} == {"Low"}
        assert all(row["deleted"] for row in table.batch_delete([row["id"] for row in rows]))

    @test("the schema is read, and a field is made")
    def _():
        table.create_field("Link", "url")
        schema = api.table(sandbox["base"], "PySdk").schema()
        assert {field.name: field.type for field in schema.fields}["Link"] == "url"
        assert "PySdk" in [known.name for known in base.schema(force=True).tables]

    @test("comments are written and read")
    def _():
        record = table.create({"Name": "Discussed"})
        comment = table.add_comment(record["id"], "Is that so?")
        assert [known.text for known in table.comments(record["id"])] == ["Is that so?"], comment

    @test("what is wrong is refused in Airtable's words")
    def _():
        assert refusal(lambda: table.create({"Nmae": "x"})) == (422, "UNKNOWN_FIELD_NAME")
        assert refusal(lambda: table.create({"Count": "many"})) == (422, "INVALID_VALUE_FOR_COLUMN")
        assert refusal(lambda: table.get("recAAAAAAAAAAAAAA"))[0] in (403, 404)
        assert refusal(lambda: table.all(formula="{")) == (422, "INVALID_FILTER_BY_FORMULA")
        stranger = Api("pat.wrong", endpoint_url=endpoint).table(sandbox["base"], "PySdk")
        assert refusal(lambda: stranger.all())[0] == 401

    # Last: from here on the base is closed for thirty seconds.
    @test("a sixth call within the second is too many")
    def _():
        time.sleep(1)
        hasty = Api(airtable["token"], endpoint_url=endpoint, retry_strategy=None).table(sandbox["base"], "PySdk")
        try:
            for _ in range(12):
                hasty.all(max_records=1)
        except HTTPError as error:
            assert error.response.status_code == 429, error
        else:
            raise AssertionError("twelve calls in a row went through")
