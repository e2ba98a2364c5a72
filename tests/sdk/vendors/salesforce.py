"""simple-salesforce, as its users use it: records, SOQL and its pages, upsert, describe, sign-in and its renewal."""

import datetime

import requests
from simple_salesforce import (
    Salesforce,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
    format_soql,
)
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

VERSION = "67.0"
# The app that every org of the sandbox has.
APP = {"consumer_key": "3MVG9sandboxClient", "consumer_secret": "SANDBOX0SECRET"}


class Plain(requests.adapters.HTTPAdapter):
    """The client knows https only, and makes up the host it signs in at: everything goes to the sandbox."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def send(self, request, **rest):
        request.url = f"{self.base}/{request.url.split('/', 3)[3]}"
        request.headers["Host"] = self.base.split("//")[1]
        return super().send(request, **rest)


def refused(call, error, code):
    try:
        call()
    except error as refusal:
        assert refusal.content[0]["errorCode"] == code, refusal
    else:
        raise AssertionError(f"{code} was expected")


def suite(test, open, _serve):
    def org(sandbox, **how):
        base = sandbox["vendors"]["salesforce"]["base_url"]
        session = requests.Session()
        session.mount("https://", Plain(base))
        how = how or {"instance": base.split("//")[1], "session_id": sandbox["vendors"]["salesforce"]["token"]}
        return Salesforce(session=session, version=VERSION, **how)

    sandbox = open()
    sf = org(sandbox)

    @test("a record is created, read, updated and deleted")
    def _():
        made = sf.Account.create({"Name": "Lumen"})
        assert made["success"] and len(made["id"]) == 18, made
        assert sf.Account.get(made["id"])["Name"] == "Lumen"
        assert sf.Account.update(made["id"], {"Industry": "Energy"}) == 204
        assert sf.Account.get(made["id"])["Industry"] == "Energy"
        assert sf.Account.delete(made["id"]) == 204
        refused(lambda: sf.Account.get(made["id"]), SalesforceResourceNotFound, "NOT_FOUND")

    @test("every page of a query comes")
    def _():
        for at in range(210):
            sf.Account.create({"Name": f"Corp {at:03}"})
        pages = {"headers": {"Sforce-Query-Options": "batchSize=200"}}
        first = sf.query("SELECT Id FROM Account WHERE Name LIKE 'Corp %'", **pages)
        assert (first["done"], len(first["records"]), first["totalSize"]) == (False, 200, 210), first
        rows = list(sf.query_all_iter("SELECT Id, Name FROM Account WHERE Name LIKE 'Corp %'", **pages))
        assert len({row["Id"] for row in rows}) == 210
        now = datetime.datetime.now(datetime.timezone.utc)
        span = (now - datetime.timedelta(minutes=10), now + datetime.timedelta(minutes=1))
        assert len(sf.Account.updated(*span)["ids"]) >= 210
        assert len(sf.Account.deleted(*span)["deletedRecords"]) == 1

    @test("what is quoted is found")
    def _():
        name = "O'Brien \\ 100% \"Example\""
        sf.Account.create({"Name": name})
        found = sf.query(format_soql("SELECT Name FROM Account WHERE Name = {}", name))
        assert [row["Name"] for row in found["records"]] == [name]

    @test("an upsert says whether it made or changed")
    def _():
        metadata = {"type": "Text", "length": 40, "label": "Ext", "externalId": True, "unique": True}
        sf.toolingexecute("sobjects/CustomField", "POST", {"FullName": "Account.Ext__c", "Metadata": metadata})
        shows = sf.PermissionSet.create({"Name": "Shows", "Label": "Shows"})["id"]
        may = {"PermissionsRead": True, "PermissionsEdit": True}
        sf.FieldPermissions.create({"ParentId": shows, "SobjectType": "Account", "Field": "Account.Ext__c", **may})
        me = sf.query("SELECT Id FROM User")["records"]
        for user in me:
            sf.PermissionSetAssignment.create({"AssigneeId": user["Id"], "PermissionSetId": shows})
        assert sf.Account.upsert("Ext__c/py@1", {"Name": "One"}) == 201
        assert sf.Account.upsert("Ext__c/py@1", {"Name": "Two"}) == 200
        assert sf.Account.get_by_custom_id("Ext__c", "py@1")["Name"] == "Two"

    @test("what there is is described")
    def _():
        assert sf.Account.describe()["name"] == "Account"
        assert sf.Account.metadata()["objectDescribe"]["name"] == "Account"
        assert "Opportunity" in [one["name"] for one in sf.describe()["sobjects"]]
        assert sf.is_sandbox() is False

    @test("what is wrong is refused in Salesforce's words")
    def _():
        refused(lambda: sf.query("SELECT Nope FROM Account"), SalesforceMalformedRequest, "INVALID_FIELD")
        refused(lambda: sf.query("SELEC Id FROM Account"), SalesforceMalformedRequest, "MALFORMED_QUERY")
        refused(lambda: sf.Account.create({}), SalesforceMalformedRequest, "REQUIRED_FIELD_MISSING")
        refused(lambda: sf.Account.get("001000000000000AAA"), SalesforceResourceNotFound, "NOT_FOUND")
        stranger = org(sandbox, instance="x", session_id="bad")
        refused(lambda: stranger.query("SELECT Id FROM User"), SalesforceExpiredSession, "INVALID_SESSION_ID")

    @test("the day's calls are told, and too many refused")
    def _():
        day = sf.limits()["DailyApiRequests"]
        assert day["Max"] > day["Remaining"], day
        sf.query("SELECT Id FROM Account LIMIT 1")
        assert sf.api_usage["api-usage"].used > 100, sf.api_usage
        busy = org(open(faults="throttle=1"))
        refused(lambda: busy.query("SELECT Id FROM User"), SalesforceRefusedRequest, "REQUEST_LIMIT_EXCEEDED")

    @test("an app signs in by itself, and again when its session is over")
    def _():
        own = org(sandbox, domain="sandbox.my", **APP)
        users = own.query("SELECT Id FROM User")["totalSize"]
        own.session_id = "over"
        own._generate_headers()
        assert own.query("SELECT Id FROM User")["totalSize"] == users > 0
        try:
            org(sandbox, domain="sandbox.my", **{**APP, "consumer_secret": "wrong"})
        except SalesforceAuthenticationFailed as error:
            assert error.code == "invalid_client", error
        else:
            raise AssertionError("a wrong secret was taken")
