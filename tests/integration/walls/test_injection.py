"""SQL in every place where a client may send text: nothing breaks, nothing happens, nothing is told.

All operations of the document, their paths, queries, headers and bodies, asked by somebody who may do
everything in one school. What another school holds has to stay unseen, and the database as it was.
"""

import re
from urllib.parse import quote

import pytest

from infra.application import whole_document
from infra.http.middleware import QUIET_PATHS
from infra.http.principal import RoleGrant
from tests.support.api import choice_item, eventually, running_api
from tests.support.bodies import (
    UUID,
    bodies_with_each_member,
    csv_request,
    csv_text,
    json_body,
    text_places,
    with_text,
)
from tests.support.postgres import fresh_database, run_folder

DOCUMENT = whole_document()
CANARY = "c4nary of another school"
INJECTIONS = (
    "' OR '1'='1",
    "'; CREATE TABLE public.injected (n int); --",
    "x') UNION ALL SELECT payload::text FROM log.events --",
    "$$; SELECT pg_sleep(9); $$ \\'; %s %(x)s {0} :1",
)
EVERYTHING = ("student", "parent", "teacher", "tutor", "org_admin")
OVER_ZONES = ("zone_admin", "sys_admin")
# Whoever ends the sessions of the asker ends the test. What these take is in no body and no query.
NOT_ASKED = {"logout", "endAllSessions", "followAttempt"}
OPERATIONS = [
    pytest.param((method, path, operation), id=operation["operationId"])
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if path not in QUIET_PATHS and operation["operationId"] not in NOT_ASKED
]
# Others come and go: those in which projections are checked.
SCHEMA = """
SELECT 'relation', n.nspname, c.relname, c.relkind::text, c.relrowsecurity::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', 'log', 'read', 'ops')
UNION ALL SELECT 'role', rolname, rolsuper::text, rolbypassrls::text, '' FROM pg_roles
UNION ALL SELECT 'function', n.nspname, p.proname, md5(p.prosrc), ''
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('public', 'log', 'read', 'ops')
ORDER BY 1, 2, 3, 4
"""


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("walls") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def school(api):
    other = api.school(CANARY)
    other.exam([choice_item(stem={"ko": CANARY, "en": CANARY})], title={"ko": CANARY})
    shown = eventually(lambda: other.teacher.http.get("/exams").json()["items"])
    assert CANARY in str(shown), "there is nothing to be told"
    return api.school()


@pytest.fixture(scope="module")
def things(school):
    exam = school.exam()
    student = school.student()
    attempt = student.http.post(f"/exams/{exam.exam_id}/attempts").json()
    return {
        "org_id": school.org_id,
        "bank_id": exam.bank_id,
        "item_id": exam.item_ids[0],
        "exam_id": exam.exam_id,
        "attempt_id": attempt["attempt_id"],
        "user_id": student.user_id,
    }


@pytest.fixture(scope="module")
def all_powerful(api, school):
    roles = [RoleGrant(role, school.org_id) for role in EVERYTHING] + [RoleGrant(role) for role in OVER_ZONES]
    return api.client(api.token(f"user-{UUID}", *roles))


def filled(path, things, changed=None, text=""):
    def value(name):
        if name[1] == changed:
            return quote(text, safe="")
        return things.get(name[1], name[1].removesuffix("_id") + "-" + UUID)

    return re.sub(r"\{(\w+)\}", value, path)


def requests_of(method, path, operation, things):
    """The operation with each injection in each place that takes text."""
    body = json_body(DOCUMENT, operation)
    sent = {} if body is None else {"json": body}
    table = csv_text(operation)
    texts = [each["name"] for each in operation.get("parameters", ()) if each["in"] in {"query", "header"}]
    for text in INJECTIONS:
        if table is not None:
            yield from _in_a_table(method, filled(path, things), table, text)
            continue
        for name in re.findall(r"\{(\w+)\}", path):
            yield {"method": method, "url": filled(path, things, name, text), **sent}
        for each in operation.get("parameters", ()):
            if each["in"] in {"query", "header"} and each["name"] in texts:
                where = "params" if each["in"] == "query" else "headers"
                yield {"method": method, "url": filled(path, things), where: {each["name"]: text}, **sent}
        told = set()
        for whole in bodies_with_each_member(DOCUMENT, operation):
            for place in set(text_places(whole)) - told:
                told.add(place)
                yield {"method": method, "url": filled(path, things), "json": with_text(whole, place, text)}


def _in_a_table(method, url, table, text):
    """Each field of the table's first row with the text in it."""
    head, row = table.splitlines()[:2]
    fields = row.split(",")
    quoted = '"' + text.replace('"', '""') + '"'
    for at in range(len(fields)):
        changed = [*fields[:at], quoted, *fields[at + 1 :]]
        yield {"method": method, "url": url, **csv_request(f"{head}\n{','.join(changed)}\n")}


@pytest.mark.parametrize("asked", OPERATIONS)
def test_sql_in_any_text_breaks_nothing_and_tells_nothing(api, all_powerful, things, asked):
    schema = api.query(SCHEMA)
    seen = set()
    for request in requests_of(*asked, things):
        answer = all_powerful.request(request.pop("method"), api.base_url + request.pop("url"), **request)
        assert answer.status_code < 500, f"{request}: {answer.text}"
        assert CANARY not in answer.text, request
        assert "payload" not in answer.text or "event_id" not in answer.text, request
        assert answer.elapsed.total_seconds() < 9, request
        seen.add(answer.status_code)
    assert api.query(SCHEMA) == schema
    assert not seen & {405, 415}, "the requests were not what the operation takes"


def test_the_corpus_reaches_bodies_queries_headers_and_paths(things):
    kinds = set()
    for each in OPERATIONS:
        for request in requests_of(*each.values[0], things):
            kinds |= request.keys()
    assert {"json", "params", "headers"} <= kinds
    assert sum(1 for each in OPERATIONS for _ in requests_of(*each.values[0], things)) > 600
