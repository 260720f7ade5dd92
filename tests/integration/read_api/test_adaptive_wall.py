"""What an examinee of an adaptive test can get at with every query there is, in every column.

Asked as the reader's role, whatever a route shows: all rows of all tables and all that the functions for
askers give, as one text, in which nothing may stand that is to be kept.
"""

from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from domain.attempts.events import AttemptScored
from infra.postgres.roles import READER, role_conninfo
from tests.support.adaptive_looks import presented, updates
from tests.support.postgres import ROLE_SECRET

FUNCTIONS = ("asker_forms()", "asker_item_versions()", "asker_presented_items()", "asker_released_attempts()")


def all_that(conninfo, asker, *more):
    """Everything that the asker can read, as text."""
    reader = role_conninfo(conninfo, READER, ROLE_SECRET)
    with psycopg.connect(reader) as connection:
        roles = [each.role if each.org_id is None else f"{each.role}@{each.org_id}" for each in asker.roles]
        connection.execute(
            "SELECT set_config('app.user_id', %s, true), set_config('app.zone_id', %s, true),"
            " set_config('app.org_ids', %s, true), set_config('app.roles', %s, true),"
            " set_config('extra_float_digits', '3', true)",
            [asker.subject_id, asker.zone_id, ",".join(asker.org_ids), ",".join(roles)],
        )
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'read'::regnamespace"
            " AND relkind IN ('r', 'p', 'v', 'm')"
        ).fetchall()
        sources = [sql.Identifier("read", name) for (name,) in tables]
        sources += [sql.SQL("read." + call) for call in (*FUNCTIONS, *more)]
        found = []
        for source in sources:
            rows = connection.execute(sql.SQL("SELECT s::text FROM {} s").format(source)).fetchall()
            found += [row[0] for row in rows]
    return "\n".join(found)


def pool_not_given_to(school, person, exam):
    """Items of the pool that none of the person's attempts has presented."""
    given = {
        each.item_id
        for name, attempt in school.attempts.items()
        if name.startswith(person) and "adaptive" in name
        for each in presented(school.story, attempt)
    }
    return set(exam.items) - given


def pool_items_read(conninfo, asker, school, person):
    text = all_that(conninfo, asker)
    hidden = {item for exam in school.adaptive.values() for item in pool_not_given_to(school, person, exam)}
    assert hidden
    return {item for item in hidden if item in text}


def parameters_read(conninfo, asker, school):
    text = all_that(conninfo, asker, *(f"shown_keys('{each}')" for each in school.attempts.values()))
    columns = [column for exam in school.adaptive.values() for column in (exam.bank.a, exam.bank.b)]
    return {float(value) for column in columns for value in column if repr(float(value)) in text}


@pytest.mark.parametrize("person", ["mina", "juno", "idle"])
def test_nothing_of_the_pool_but_the_items_given_can_be_read(school_database, principals, school, person):
    assert pool_items_read(school_database, principals[person], school, person) == set()


@pytest.mark.parametrize("person", ["mina", "juno"])
def test_the_items_given_can_be_read(school_database, principals, school, person):
    text = all_that(school_database, principals[person])
    for name in school.adaptive:
        given = presented(school.story, school.attempts[f"{person} {name}"])
        assert all(each.item_id in text for each in given)


@pytest.mark.parametrize("person", ["mina", "juno", "idle"])
def test_no_parameter_of_any_item_can_be_read(school_database, principals, school, person):
    assert parameters_read(school_database, principals[person], school) == set()
    assert "shows_key" not in all_that(school_database, principals[person])


def test_staff_can_read_all_of_that_or_these_tests_look_at_nothing(school_database, principals, school):
    text = all_that(school_database, principals["teacher"])
    for exam in school.adaptive.values():
        assert all(item in text for item in exam.items)
        assert all(repr(float(value)) in text for value in exam.bank.a)
    assert "shows_key" in text
    assert abilities(school, "juno adaptive") & numbers(text)


def abilities(school, name):
    return {repr(each.theta) for each in updates(school.story, school.attempts[name])}


def numbers(text):
    return set(text.replace("(", ",").replace(")", ",").replace("\n", ",").split(","))


@pytest.mark.parametrize("name", ["juno adaptive", "juno adaptive shown", "mina adaptive by_hand"])
def test_ability_cannot_be_read_before_it_is_released(school_database, principals, school, name):
    text = all_that(school_database, principals[name.split(" ")[0]])
    assert abilities(school, name)
    assert abilities(school, name) & numbers(text) == set()


def test_a_released_ability_can_be_read_and_the_steps_to_it_cannot(school_database, principals, school):
    attempt = school.attempts["mina adaptive"]
    [scored] = [
        each.recorded.event
        for each in school.story.events
        if each.recorded.stream_id == attempt and isinstance(each.recorded.event, AttemptScored)
    ]
    assert scored.ability is not None
    found = abilities(school, "mina adaptive") & numbers(all_that(school_database, principals["mina"]))
    assert found == {repr(scored.ability.theta)}


def keys_shown(conninfo, asker, attempt):
    reader = role_conninfo(conninfo, READER, ROLE_SECRET)
    with psycopg.connect(reader) as connection:
        connection.execute(
            "SELECT set_config('app.user_id', %s, true), set_config('app.zone_id', %s, true)",
            [asker.subject_id, asker.zone_id],
        )
        found = connection.execute("SELECT item_id, key FROM read.shown_keys(%s)", [attempt]).fetchall()
        kept = connection.execute("SELECT item_id FROM read.item_keys").fetchall()
    return dict(found), {row[0] for row in kept}


def test_keys_are_shown_of_answered_items_once_released_where_the_rules_say_so(
    school_database, principals, school
):
    attempt = school.attempts["mina adaptive shown"]
    shown, kept = keys_shown(school_database, principals["mina"], attempt)
    assert set(shown) == {each.item_id for each in presented(school.story, attempt)}
    assert all(key == {"options": ["1"]} for key in shown.values())
    assert kept & {item for exam in school.adaptive.values() for item in exam.items} == set()


@pytest.mark.parametrize(
    ("who", "name"),
    [
        ("mina", "mina adaptive"),  # the exam keeps its keys
        ("mina", "mina adaptive by_hand"),  # not released
        ("juno", "juno adaptive shown"),  # still running
        ("juno", "mina adaptive shown"),  # another's
        ("teacher", "mina adaptive shown"),  # staff have the table
    ],
)
def test_in_every_other_case_no_key_is_shown(school_database, principals, school, who, name):
    assert keys_shown(school_database, principals[who], school.attempts[name])[0] == {}


def test_an_examinee_in_another_zone_is_shown_no_key(school_database, principals, school):
    asker = principals["mina"]
    moved = type(asker)(subject_id=asker.subject_id, zone_id="kzone", roles=(), session_id="tests")
    assert keys_shown(school_database, moved, school.attempts["mina adaptive shown"])[0] == {}


@contextmanager
def broken(conninfo, function, right, wrong):
    """A condition of one of the functions is another while the block runs."""
    with psycopg.connect(conninfo, autocommit=True) as admin:
        [definition] = admin.execute(
            "SELECT pg_get_functiondef(%s::regprocedure)", [f"read.{function}"]
        ).fetchone()
        assert right in definition
        admin.execute(definition.replace(right, wrong))
        try:
            yield
        finally:
            admin.execute(definition)


@pytest.mark.parametrize("function", ["asker_forms()", "asker_released_item_versions()"])
def test_these_tests_notice_when_the_pool_is_taken_for_a_form(school_database, principals, school, function):
    mina = principals["mina"]
    with broken(school_database, function, "e.delivery = 'fixed'", "true"):
        assert pool_items_read(school_database, mina, school, "mina")
    with broken(school_database, "asker_released_item_versions()", "e.delivery = 'fixed'", "true"):
        assert parameters_read(school_database, mina, school)


TOO_SOON_OR_TO_OTHERS = {
    "(e.rules ->> 'shows_key')::boolean": ("mina", "mina adaptive"),
    "read.results_are_released(a.exam_id)": ("mina", "mina adaptive by_hand"),
    "a.status = 'scored'": ("juno", "juno adaptive shown"),
    "a.examinee_id IN (SELECT read.asker_examinees())": ("juno", "mina adaptive shown"),
}
"""Each condition of `read.shown_keys`, and who would see which keys without it."""


@pytest.mark.parametrize("condition", TOO_SOON_OR_TO_OTHERS)
def test_these_tests_notice_when_keys_are_shown_too_soon_or_to_others(
    school_database, principals, school, condition
):
    who, name = TOO_SOON_OR_TO_OTHERS[condition]
    with broken(school_database, "shown_keys(text)", condition, "true"):
        assert keys_shown(school_database, principals[who], school.attempts[name])[0]
    assert keys_shown(school_database, principals[who], school.attempts[name])[0] == {}
