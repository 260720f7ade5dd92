from psycopg.conninfo import conninfo_to_dict

from infra.postgres.roles import with_options


def test_more_options_stand_beside_those_that_the_conninfo_has():
    url = "postgresql://db/megacity?options=-c%20search_path%3Dx"
    assert conninfo_to_dict(with_options(url, "-c jit=off"))["options"] == "-c search_path=x -c jit=off"
    assert conninfo_to_dict(with_options("host=db", "-c jit=off"))["options"] == "-c jit=off"
