"""The tables say what a slow count of the same run says."""

import collections
import os
import sys
import warnings

import numpy as np
import pytest
from made_run import SETTINGS
from made_run import MadeRun
from made_run import make_records

from keras_jest.data.step_columns import step_columns
from keras_jest.data.unfinished_log import UnfinishedLog
from keras_jest.evaluation import selection_tables
from keras_jest.evaluation.column_values import column_values

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def records():
    return make_records()


def test_steps_and_records(records, tmp_path):
    run = MadeRun(records)
    log = run.write(tmp_path / "log")
    tables = selection_tables(log, records)
    seen = collections.Counter(np.concatenate(run.seen).tolist())
    kept, scores, so_far = collections.Counter(), {}, set()
    for step, line in enumerate(tables["steps"].to_pylist()):
        chosen = run.kept[step].tolist()
        kept.update(chosen)
        for row, score in zip(chosen, run.scores[step], strict=True):
            scores.setdefault(row, []).append(score)
        if run.shots[step]:
            shot = run.shots[step][0]
            for row, score in zip(run.seen[step], shot["scores"], strict=True):
                scores.setdefault(int(row), []).append(score)
        new, so_far = set(chosen) - so_far, so_far | set(chosen)
        assert line.pop("score") == pytest.approx(run.scores[step].mean())
        assert line == {
            "step": step,
            "kept": 4,
            "seen": 12,
            "seen_score": run.seen_scores[step],
            "first_time": len(new),
            "lost": 0,
            "kept_share": len(so_far) / 40,
        }
    for row, line in enumerate(tables["records"].to_pylist()):
        assert line["record"] == row
        assert (line["kept"], line["seen"]) == (kept[row], seen[row])
        assert line["dropped"] == seen[row] - kept[row]
        if row in scores:
            assert line["score"] == pytest.approx(np.mean(scores[row]))
        else:
            assert line["score"] is None


def test_a_log_of_an_earlier_version_lacks_scores_of_what_was_seen(
    records, tmp_path
):
    log = MadeRun(records).write(tmp_path / "log", with_seen_score=False)
    steps = selection_tables(log, records)["steps"]
    assert steps["seen_score"].null_count == len(steps)
    assert steps["score"].null_count == 0


def test_groups_over_all_steps_and_over_time(records, tmp_path):
    run = MadeRun(records, num_steps=200)
    log = run.write(tmp_path / "log")
    by = {"source": [of["source"] for of in records]}
    tables = selection_tables(log, records, by)
    assert tables["groups"].equals(
        selection_tables(log, records, ["source"])["groups"]
    )
    sources = np.array(by["source"])
    seen, kept = map(np.concatenate, (run.seen, run.kept))
    lines = tables["groups"].to_pylist()
    for line in lines:
        own = line["value"]
        num_seen, num_kept = (np.sum(sources[of] == own) for of in (seen, kept))
        assert (line["seen"], line["kept"]) == (num_seen, num_kept)
        assert line["records"] == np.sum(sources == own)
        assert line["records_kept"] == len(set(kept[sources[kept] == own]))
        assert line["expected"] == pytest.approx(num_seen * 4 / 12)
        assert line["lift"] == pytest.approx(3 * num_kept / num_seen)
        short = line["expected"] - num_kept
        starves = 2 * num_kept < line["expected"]
        assert line["starves"] == (starves and short**2 > 4 * line["expected"])
    # The picks prefer web, then books.
    starves = {of["value"]: of["starves"] for of in lines}
    assert starves["mail"] and not starves["web"]
    shares = tables["shares"].to_pylist()
    starts = sorted({of["step"] for of in shares}) + [200]
    assert len(starts) == 61
    for line in shares:
        end = starts[starts.index(line["step"]) + 1]
        for name, rows in (("kept", run.kept), ("seen", run.seen)):
            some = np.concatenate(rows[line["step"] : end])
            assert line[name] == np.sum(sources[some] == line["value"])


def test_the_matrix_sums_to_what_a_set_loses(records, tmp_path):
    """Against the losses of each pair, by the formula of the sigmoid loss."""
    run = MadeRun(records)
    tables = selection_tables(run.write(tmp_path / "log"), records)
    lines = tables["snapshots"].to_pylist()
    assert [(of["step"], of["part"]) for of in lines] == [
        (step, part)
        for step in (0, 4, 8)
        for part in ("super_batch", "sub_batch")
    ]
    for line in lines:
        shot = run.shots[line["step"]][line["part"] == "sub_batch"]
        size = len(shot["rows"])
        expected = np.zeros((size, size))
        for name, sign in (("learner", 1), ("reference", -1)):
            for row in range(size):
                for column in range(size):
                    logit = float(shot[name][row, column])
                    logit *= 1 if row == column else -1
                    expected[row, column] += sign * np.log1p(np.exp(-logit))
        own = np.trace(expected) / size
        off = 1 - np.abs(np.diag(expected)).sum() / np.abs(expected).sum()
        # Of float32, of which there are at most 144 to add.
        assert line["own"] == pytest.approx(own, abs=1e-5)
        others = expected.sum() / size - own
        assert line["others"] == pytest.approx(others, abs=1e-5)
        assert line["off_diagonal"] == pytest.approx(off, abs=1e-5)
        assert line["score"] == pytest.approx(shot["scores"].mean(), abs=1e-5)
        if line["step"] == 8:
            matrix = np.reshape(line["matrix"], (size, size))
            np.testing.assert_allclose(matrix, expected, atol=1e-5)
        else:
            assert line["matrix"] is None


def test_models_that_agree_differ_nowhere(records, tmp_path):
    run = MadeRun(records)
    for shot in run.shots[0]:
        shot["learner"] = shot["reference"]
    tables = selection_tables(run.write(tmp_path / "log"), records)
    for line in tables["snapshots"].to_pylist()[:2]:
        numbers = [line[of] for of in ("own", "others", "off_diagonal")]
        assert numbers == [0.0, 0.0, 0.0]


def test_what_a_log_does_not_tell_is_null(records, tmp_path):
    run = MadeRun(records)
    log = run.write(tmp_path / "log", keep_seen=False, snapshots=False)
    tables = selection_tables(log, records, ["class"])
    for name in ("steps", "records", "groups", "shares"):
        seen = tables[name]["seen"]
        assert seen.null_count == len(seen) > 0
    assert len(tables["snapshots"]) == 0
    # Without what was seen, a uniform draw is one from the pool.
    assert tables["groups"]["expected"].to_pylist() == [36 * 8 / 40] * 5


@pytest.mark.parametrize("keep_seen", [True, False])
def test_steps_of_another_run_are_not_used(records, tmp_path, keep_seen):
    """A run that keeps none leaves the older ones where they are."""
    MadeRun(records, seed=1).write(tmp_path / "log", keep_seen)
    log = MadeRun(records).write(tmp_path / "log", False, False)
    assert (tmp_path / "log.steps").exists()
    tables = selection_tables(log, records)
    assert tables["steps"]["seen"].null_count == 9
    assert len(tables["snapshots"]) == 0


def test_what_was_kept_before_a_kill_is_told(records, tmp_path):
    """Of two files that go on by themselves, one is a step behind."""
    run, log = MadeRun(records), tmp_path / "log"
    run.write(log, snapshots=False)
    keys = [run.keys[of] for of in run.seen]
    os.remove(tmp_path / "log.steps")
    steps = UnfinishedLog(str(tmp_path / "log.steps"), SETTINGS, 0)
    for start in (0, 3, 6):
        numbers = range(start, start + 3)
        steps.append(step_columns(list(numbers), keys[start : start + 3]))
    steps.close()
    path = tmp_path / "log.steps.unfinished"
    for cut, num_steps in ((9, 6), (path.stat().st_size - 60, 0)):
        os.truncate(path, path.stat().st_size - cut)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seen = selection_tables(log, records)["steps"]["seen"]
        assert seen.to_pylist() == [12] * num_steps + [None] * (9 - num_steps)


@pytest.mark.parametrize("told", [(0, 3), (2, 6), (5, 9)])
def test_only_some_steps_tell_what_was_seen(records, tmp_path, told):
    run = MadeRun(records)
    log = run.write(tmp_path / "log", keep_seen=False, snapshots=False)
    steps, path = slice(*told), str(tmp_path / "log.steps")
    keys = [run.keys[of] for of in run.seen[steps]]
    part = UnfinishedLog(path, {**SETTINGS, "first_draw": told[0]}, told[0])
    part.append(step_columns(list(range(*told)), keys))
    part.complete()
    table = selection_tables(log, records)["records"]
    kept, seen, kept_of_seen = (
        np.bincount(np.concatenate(of), minlength=40)
        for of in (run.kept, run.seen[steps], run.kept[steps])
    )
    assert table["kept"].to_pylist() == kept.tolist()
    assert table["seen"].to_pylist() == seen.tolist()
    assert table["dropped"].to_pylist() == (seen - kept_of_seen).tolist()


def test_steps_of_a_log_that_a_kill_left_unfinished(records, tmp_path):
    """Complete are older ones, of another run."""
    MadeRun(records, seed=1).write(tmp_path / "log")
    older = (tmp_path / "log.steps").read_bytes()
    run = MadeRun(records)
    log = run.write(tmp_path / "log")
    (tmp_path / "log.steps").rename(tmp_path / "log.steps.unfinished")
    (tmp_path / "log.steps").write_bytes(older)
    tables = selection_tables(log, records)
    seen = np.bincount(np.concatenate(run.seen), minlength=40)
    assert tables["records"]["seen"].to_pylist() == seen.tolist()


def test_a_log_that_was_moved_aside_has_its_steps(records, tmp_path):
    run = MadeRun(records)
    run.write(tmp_path / "log")
    aside = tmp_path / "log.unfinished.2"
    (tmp_path / "log").rename(aside)
    (tmp_path / "log.steps").rename(tmp_path / "log.steps.unfinished.2")
    tables = selection_tables(aside, records)
    assert len(tables["snapshots"]) == 6
    assert tables["steps"]["seen"].null_count == 0


def test_records_that_are_gone_count_in_their_steps_alone(records, tmp_path):
    run = MadeRun(records)
    counts = np.bincount(np.concatenate(run.kept), minlength=40)
    gone = np.flatnonzero(counts == 1)[:2]
    log = run.write(tmp_path / "log")
    left = np.setdiff1d(np.arange(40), gone)
    tables = selection_tables(log, [records[of] for of in left], ["source"])
    lost = [len(np.intersect1d(of, gone)) for of in run.kept]
    assert sum(lost) == 2
    assert tables["steps"]["lost"].to_pylist() == lost
    assert tables["steps"]["kept"].to_pylist() == [4] * 9
    assert tables["steps"]["seen"].to_pylist() == [12] * 9
    seen = np.bincount(np.concatenate(run.seen), minlength=40)
    for name, expected in (("kept", counts), ("seen", seen)):
        assert tables["records"][name].to_pylist() == expected[left].tolist()
        assert sum(tables["groups"][name].to_pylist()) == expected[left].sum()


def test_a_log_that_cannot_be_told_of_is_an_error(records, tmp_path):
    run = MadeRun(records)
    log = run.write(tmp_path / "log")
    with pytest.raises(FileNotFoundError, match="no such log"):
        selection_tables(tmp_path / "none", records)
    (tmp_path / "text").write_text("no log")
    with pytest.raises(ValueError, match="`SelectionLog` wrote"):
        selection_tables(tmp_path / "text", records)
    without = run.write(tmp_path / "without", False, False, with_key=False)
    with pytest.raises(ValueError, match="whose batches had 'key'"):
        selection_tables(without, records)
    with pytest.raises(ValueError, match="are not among these 10 records"):
        selection_tables(log, records[:10])
    with pytest.raises(ValueError, match=r"keys more than once.*\[0, 40\]"):
        selection_tables(log, [*records, records[0]])
    with pytest.raises(ValueError, match="one record or more"):
        selection_tables(log, [])
    with pytest.raises(ValueError, match=r"'colour'.*\['class', 'source'\]"):
        selection_tables(log, records, ["colour"])
    with pytest.raises(ValueError, match="3 values of 'a' for 40 records"):
        selection_tables(log, records, {"a": [1, 2, 3]})
    with pytest.raises(ValueError, match="'score'"):
        selection_tables(log, records, {"score": range(40)})
    with pytest.raises(ValueError, match=r"such as \['class'\]"):
        selection_tables(log, records, "class")


def test_a_column_of_too_many_values_is_an_error(
    records, tmp_path, monkeypatch
):
    log = MadeRun(records).write(tmp_path / "log")
    module = sys.modules[column_values.__module__]
    monkeypatch.setattr(module, "MOST_VALUES", 39)
    with pytest.raises(ValueError, match="40 values of 'a'"):
        selection_tables(log, records, {"a": range(40)})
    tables = selection_tables(log, records, {"a": [*range(39), 0]})
    assert len(tables["groups"]) == 39
