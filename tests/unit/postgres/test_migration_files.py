import pytest

from infra.postgres.errors import MigrationFilesWrong
from infra.postgres.migrate import Migration, read_migrations


def test_the_files_of_the_project_are_well_named_and_start_with_the_roles():
    assert read_migrations()[0].name == "0001_roles_and_schemas"


def test_a_file_says_at_its_top_how_it_is_run(tmp_path):
    path = tmp_path / "0007_big_index.sql"
    path.write_text(
        "-- Why.\n-- run-as: admin\n-- lock-timeout: 3s\n-- statement-timeout: 30min\nSELECT 1;\n"
    )
    migration = Migration.read(path)
    assert (migration.version, migration.name) == (7, "0007_big_index")
    assert migration.run_as_admin
    assert (migration.lock_timeout, migration.statement_timeout) == ("3s", "30min")


def test_a_comment_further_down_is_no_instruction(tmp_path):
    path = tmp_path / "0007_x.sql"
    path.write_text("SELECT 1;\n-- run-as: admin\n")
    assert not Migration.read(path).run_as_admin


@pytest.mark.parametrize("name", ["7_x.sql", "0007-x.sql", "0007_X.sql", "x.sql"])
def test_a_file_of_another_name_is_refused(tmp_path, name):
    (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationFilesWrong, match="NNNN_name"):
        read_migrations(tmp_path)


def test_two_files_of_one_number_are_refused(tmp_path):
    (tmp_path / "0002_a.sql").write_text("SELECT 1")
    (tmp_path / "0002_b.sql").write_text("SELECT 1")
    with pytest.raises(MigrationFilesWrong, match="same number"):
        read_migrations(tmp_path)


@pytest.mark.parametrize("header", ["run-as: nobody", "lock-timeout: soon", "statement-timeout: 0.5h"])
def test_a_header_that_means_nothing_is_refused(tmp_path, header):
    (tmp_path / "0002_a.sql").write_text(f"-- {header}\nSELECT 1")
    with pytest.raises(MigrationFilesWrong):
        read_migrations(tmp_path)
