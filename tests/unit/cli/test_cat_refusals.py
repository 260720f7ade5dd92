"""`megacity cat`: a refusal is a sentence with its place, comes before the work and leaves nothing behind."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from infra.cli.cat.responses import read_responses
from infra.cli.main import app
from tests.support.cat_files import files_in, refused, write_responses


def test_responses_that_cannot_be_calibrated_are_named(folder):
    Path("r.csv").write_text("examinee,i0,i1,i2\ne0,1,0,1\ne1,1,1,0\n")
    said = refused("calibrate", "--responses", "r.csv", "--out", "b.csv")
    assert "r.csv, column i0" in said
    Path("r.csv").write_text("examinee,i0,i1,i2\ne0,1,0,2\n")
    assert "row 2 (e0), column i2: 2 is none" in refused(
        "calibrate", "--responses", "r.csv", "--out", "b.csv"
    )
    Path("r.csv").write_text("examinee,i0,i1,i2\ne0,1,0,1\n")
    Path("a.csv").write_text("item,a,b\nzz,1,0\n")
    said = refused("calibrate", "--responses", "r.csv", "--anchors", "a.csv", "--out", "b.csv")
    assert "a.csv, row 2 (zz): r.csv has no column 'zz'" in said
    assert files_in(folder) == ["a.csv", "r.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item,a,b\ni0,1,0\ni1,0,0\n", "row 3 (i1): a is not above 0"),
        ("item,a,b,c,d\ni0,1,0,0.9,0.8\n", "row 2 (i0): c is not below d"),
        ("item,a,b\ni0,1,x\n", "row 2 (i0), column b: 'x' is no number"),
        ("item,a,b\ni0,1,inf\n", "row 2 (i0), column b: 'inf' is no number"),
        ("item,a,b\ni0,1,\n", "row 2 (i0), column b: a number is missing"),
        ("item,a,b\ni0,1,0\ni0,1,1\n", "row 3: 'i0' stands in row 2 already"),
        ("item,a,b\ni0,1\n", "row 2: 2 cells under 3 columns"),
        ("item,a\ni0,1\n", "there is no column b"),
        ("name,a,b\ni0,1,0\n", "the first column is 'name' and not 'item'"),
        ("item,a,b,a\ni0,1,0,1\n", "column a: there are two columns of this name"),
        ("item,a,b\n", "has no rows"),
        ("", "is empty"),
        ("item,model,a,b1,b2\ng,grm,1,1,0\n", "row 2 (g): "),
        ("item,model,a,b1,b2\ng,other,1,1,0\n", "row 2 (g), column model: 'other' is none of"),
        ("item,model,a,b1,b2\ng,grm,1,,0\n", "row 2 (g), column b1: a threshold is missing"),
        ("item,model,a,b1,b3\ng,grm,1,1,0\n", "there is b3 but no b2"),
    ],
)
def test_a_bank_that_cannot_be_used_is_refused_with_its_place(text, said, folder):
    Path("bad.csv").write_text(text)

    found = refused("simulate", "--bank", "bad.csv", "--examinees", "3", "--out", "paths.csv")

    assert "bad.csv" in found
    assert said in found
    assert files_in(folder) == ["bad.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("examinee,i0,zz\ne0,1,1\n", "there is no item 'zz' in bank.csv"),
        ("examinee,i0,i1\ne0,1,2\n", "row 2 (e0), column i1: 2 is none of the categories 0 to 1"),
        ("examinee,i0,i1\ne0,1,0\ne1,-1,0\n", "row 3 (e1), column i0: '-1' is no category"),
        ("examinee,i0,i1\ne0,1,0.5\n", "row 2 (e0), column i1: '0.5' is no category"),
        ("examinee,i0,i1\ne0,1,right\n", "row 2 (e0), column i1: 'right' is no number"),
        ("examinee,i0\ne0,1\ne0,1\n", "'e0' stands in row 2 already"),
        ("examinee\ne0\n", "there is no column of an item"),
    ],
)
@pytest.mark.parametrize("command", ["simulate", "score"])
@pytest.mark.usefixtures("bank")
def test_responses_that_cannot_be_used_are_refused_with_their_place(command, text, said, folder):
    Path("bad.csv").write_text(text)

    found = refused(command, "--bank", "bank.csv", "--responses", "bad.csv", "--out", "out.csv")

    assert "bad.csv" in found
    assert said in found
    assert "out.csv" not in files_in(folder)


@pytest.mark.usefixtures("bank")
def test_an_examinee_who_answered_less_than_the_minimum_is_named():
    Path("r.csv").write_text("examinee,i0,i1,i2\nanna,1,0,1\nbert,1,,NA\n")

    found = refused("simulate", "--bank", "bank.csv", "--responses", "r.csv", "--min-items", "2")

    assert "r.csv, row 3 (bert): 1 responses, where 2 are needed" in found


@pytest.mark.usefixtures("bank")
def test_a_minimum_above_the_bank_is_refused():
    said = refused(
        "simulate", "--bank", "bank.csv", "--examinees", "3", "--min-items", "61", "--max-items", "70"
    )
    assert "bank.csv has 60 items, fewer than --min-items 61" in said


@pytest.mark.usefixtures("bank", "answers")
def test_options_that_contradict_each_other_are_refused():
    assert "either --responses" in refused("simulate", "--bank", "bank.csv")
    both = ("--responses", "responses.csv", "--examinees", "3")
    assert "either --responses" in refused("simulate", "--bank", "bank.csv", *both)
    assert "--truth" in refused(
        "simulate", "--bank", "bank.csv", "--responses", "responses.csv", "--truth", "t.csv"
    )


@pytest.mark.usefixtures("answers")
def test_an_examinee_without_a_group_and_a_group_that_is_none_are_named():
    given = ("dif", "--responses", "responses.csv", "--group", "g.csv", "--out", "d.csv")
    Path("g.csv").write_text("examinee,group\ne0,0\ne1,1\n")
    assert "responses.csv, row 4 (e2): there is no group" in refused(*given)
    Path("g.csv").write_text("examinee,group\ne0,2\n")
    assert "g.csv, row 2 (e0), column group: '2' is neither" in refused(*given)


@pytest.mark.usefixtures("bank")
def test_a_missing_file_and_a_missing_folder_are_told_before_the_work(folder):
    assert "none.csv: cannot be read" in refused("simulate", "--bank", "none.csv", "--examinees", "3")
    said = refused("simulate", "--bank", "bank.csv", "--examinees", "3", "--out", "no/p.csv")
    assert "there is no folder no" in said
    said = refused("simulate", "--bank", "bank.csv", "--examinees", "3", "--out", str(folder))
    assert "it is no ordinary file" in said


@pytest.mark.usefixtures("bank")
def test_a_write_that_fails_leaves_the_file_that_was_there(folder, monkeypatch):
    Path("paths.csv").write_text("precious")

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("infra.cli.cat.results.os.fsync", full_disk)
    result = CliRunner().invoke(
        app, ["cat", "simulate", "--bank", "bank.csv", "--examinees", "3", "--out", "paths.csv"]
    )

    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert Path("paths.csv").read_text() == "precious"
    assert files_in(folder) == ["bank.csv", "paths.csv"]


@pytest.mark.usefixtures("bank")
def test_a_picture_without_matplotlib_is_refused_before_the_work(folder, monkeypatch):
    monkeypatch.setattr("infra.cli.cat.pictures.find_spec", lambda _: None)

    said = refused("simulate", "--bank", "bank.csv", "--examinees", "3", "--out", "p.csv", "--plot", "p.svg")

    assert "matplotlib" in said
    assert "make setup" in said
    assert files_in(folder) == ["bank.csv"]


def test_help_loads_no_numerics():
    program = (
        "import sys, infra.cli.cat; from infra.cli.main import app; "
        "loaded = [each for each in ('numpy', 'scipy', 'matplotlib', 'psycopg') if each in sys.modules]; "
        "print(*loaded)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


@pytest.mark.usefixtures("bank")
def test_an_ability_that_is_none_is_refused():
    assert "--start nan is no ability" in refused(
        "simulate", "--bank", "bank.csv", "--examinees", "3", "--start", "nan"
    )
    said = refused("assemble", "--bank", "bank.csv", "--length", "3", "--theta", "inf", "--out", "f.csv")
    assert "--theta inf is no ability" in said


@pytest.mark.usefixtures("answers", "groups")
def test_an_option_of_another_method_of_dif_is_refused_and_not_ignored():
    given = ("dif", "--responses", "responses.csv", "--group", "groups.csv", "--out", "d.csv", "--method")
    assert "--kind belongs to" in refused(*given, "lord", "--kind", "uniform")
    assert "--no-correction belongs to" in refused(*given, "lord", "--no-correction")
    assert "--model belongs to" in refused(*given, "mh", "--model", "1pl")


@pytest.mark.usefixtures("folder")
def test_an_item_that_one_group_answers_all_alike_is_named_with_its_group():
    rng = np.random.default_rng(3)
    responses = rng.integers(0, 2, (40, 4))
    responses[1::2, 2] = 1
    write_responses("r.csv", responses)
    Path("g.csv").write_text("examinee,group\n" + "".join(f"e{at},{at % 2}\n" for at in range(40)))
    said = refused("dif", "--responses", "r.csv", "--group", "g.csv", "--method", "lord", "--out", "d.csv")
    assert "column i2: in the focal group nobody gave response 0" in said


@pytest.mark.usefixtures("folder")
def test_a_wide_table_of_numbers_with_a_point_is_read_as_fast_as_one_without():
    # Each cell once looked for its column by name: 4,000 columns took minutes.
    Path("r.csv").write_text(
        ",".join(["examinee", *(f"i{at}" for at in range(4_000))])
        + "\n"
        + "\n".join(",".join([f"e{row}", *["1.0", "0.0"] * 2_000]) for row in range(50))
    )
    begin = time.process_time()
    assert read_responses(Path("r.csv")).values.shape == (50, 4_000)
    assert time.process_time() - begin < 3.0
