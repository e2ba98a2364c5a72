"""segment-analytics-python against loopd itself, which is what receives it: a daemon with a ledger of its own."""

import logging

from segment.analytics.client import Client
from segment.analytics.request import APIError

KEY = "wk_sandbox"
# The refusal that is wanted is logged as an error otherwise.
logging.getLogger("segment").setLevel(logging.CRITICAL)


def suite(test, _open, serve):
    connection = '[connection.segment]\nkind = "segment"\nwebhook = true\nwrite_key = { env = "SEGMENT_WRITE_KEY" }\n'
    daemon = serve(connection, {"SEGMENT_WRITE_KEY": KEY})

    def client(key=KEY, **more):
        errors = []
        made = Client(key, host=daemon.url, on_error=lambda error, _: errors.append(error), upload_interval=0.05, **more)
        return made, errors

    def rows(feature):
        return sorted((row["account"] or "", row["events"], row["users"]) for row in daemon.ask("usage", "--feature", feature)["rows"])

    @test("what is used is counted for the account, the feature and the people")
    def _():
        analytics, errors = client()
        analytics.identify("ada", {"email": "ada@lumen.example"})
        analytics.group("bo", "acme-1")
        for _ in range(3):
            analytics.track("ada", "Export", {"rows": 12})
        analytics.track("bo", "Export")
        analytics.page("ada", None, "Home")
        analytics.alias("anonymous-7", "ada")
        analytics.shutdown()
        assert errors == []
        assert rows("Export") == [("acme-1", 1, 1), ("lumen.example", 3, 1)], rows("Export")
        analytics, errors = client()
        analytics.track("anonymous-7", "Import")
        analytics.shutdown()
        assert (errors, rows("Import")) == ([], [("lumen.example", 1, 1)]), rows("Import")

    @test("batches come in gzip, and all of them arrive")
    def _():
        analytics, errors = client(gzip=True, upload_size=100)
        for at in range(250):
            analytics.track(f"u{at % 7}", "Search", context={"groupId": "acme-1"})
        analytics.shutdown()
        assert (errors, rows("Search")) == ([], [("acme-1", 250, 7)])

    @test("the same message counts once, whenever it comes")
    def _():
        for _ in range(2):
            analytics, errors = client()
            analytics.track("ada", "Share", message_id="fixed-1")
            analytics.track("ada", "Share", message_id="fixed-1")
            analytics.shutdown()
            assert errors == []
        assert rows("Share") == [("lumen.example", 1, 1)]

    @test("another key is refused, and given up")
    def _():
        analytics, errors = client(key="wk_other", max_retries=0)
        analytics.track("ada", "Forged")
        analytics.shutdown()
        assert [(type(error), error.status, error.code) for error in errors] == [(APIError, 401, "unauthorized")], errors
        assert rows("Forged") == []
