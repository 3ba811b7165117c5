"""The benchmark measures what it says, and says what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks import dags, seeds
from benchmarks.__main__ import Measured
from benchmarks.measure import CPU, ROOT, Usage, Worker, pinned, run_to_end
from benchmarks.ratios import Ratio, ratio, table
from tests.small_dataset import small_dataset


def usages(**cpu: float) -> dict[str, Usage]:
    return {name: Usage(cpu=seconds, wall=2 * seconds, peak_mb=100 * seconds) for name, seconds in cpu.items()}


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The machine is slow in the second round, for both: the ratio of the medians would be 40.
    rounds = [usages(ours=1, fit=4), usages(ours=10, fit=40), usages(ours=1, fit=60)]
    assert ratio(rounds, "fit", "ours") == Ratio(median=4, low=4, high=32)


def test_a_ratio_counts_only_rounds_in_which_both_were_measured() -> None:
    rounds = [usages(container=2, tutorial_all_cpus=10), usages(container=1)]
    assert ratio(rounds, "tutorial_all_cpus", "container").median == 5


def test_the_figures_are_those_of_the_rounds() -> None:
    calls = {"10": 3, "100000": 3}
    measured = Measured(
        epochs=[usages(ours=0.5, fit=3, jax_scan=0.6, limit=0.4)],
        containers=[usages(container=5, tutorial=30, tutorial_all_cpus=40)],
        progress=[usages(told_and_saved=5.05, neither=5)],
        dags=[usages(dag=20, dag_alone=12, make_run=15, noop=11, noop_alone=10, tutorial=30)],
        choosing=calls,
    )
    assert bench.figures(measured) == {
        "epoch_vs_fit": 6,
        "epoch_vs_jax": 1.2,
        "epoch_vs_limit": 0.8,
        "container_vs_tutorial": 6,
        "peak_mb": 500,
        "peak_mb_tutorial": 3000,
        "progress_cost": 1.01,
        "dag_vs_tutorial": 0.667,
        "dag_vs_tutorial_cpu": 0.667,
        "make_run_vs_tutorial": 0.5,
        "dag_vs_noop": 1.2,
        "dag_vs_noop_cpu": 1.2,
        "choose_calls": calls,
    }


def test_a_ratio_can_be_that_of_another_figure_than_cpu_time() -> None:
    rounds = [{"dag": Usage(cpu=3, wall=10), "tutorial": Usage(cpu=1, wall=40)}]
    assert ratio(rounds, "dag", "tutorial", "wall").median == 0.25


def test_each_figure_of_the_tutorial_is_that_of_the_setting_that_needs_less() -> None:
    assert dags.least([Usage(cpu=30, wall=35), Usage(cpu=50, wall=30)]) == Usage(cpu=30, wall=30)


def test_the_tutorial_counts_in_its_faster_setting() -> None:
    rounds = [usages(container=5, tutorial=30, tutorial_all_cpus=20), usages(container=5, tutorial=30)]
    assert bench.figures(Measured(containers=rounds))["container_vs_tutorial"] == 4


def test_what_was_not_measured_has_no_figure() -> None:
    assert set(bench.figures(Measured()).values()) == {None}
    assert bench.figures(Measured(epochs=[usages(ours=1, limit=0.5)]))["epoch_vs_fit"] is None


def test_the_table_has_a_line_for_everybody_and_a_ratio_for_all_but_ours() -> None:
    rounds = [usages(ours=1, fit=4)]
    assert list(table(rounds, {"ours": "this project", "fit": "Keras"}, "ours", memory=True)) == [
        "| | CPU s | wall s | peak MB | CPU s / ours (quartiles) |",
        "|---|--:|--:|--:|---|",
        "| this project | 1.000 | 2.000 | 100 | 1 |",
        "| Keras | 4.000 | 8.000 | 400 | 4.00 (4.00-4.00) |",
    ]


def test_a_program_is_measured_on_one_cpu_and_the_caller_keeps_its_own(tmp_path: Path) -> None:
    before, log = os.sched_getaffinity(0), tmp_path / "log"
    code = "import os; x = b'x' * 400_000_000; print(os.sched_getaffinity(0), os.environ['GREETING'])"
    usage = run_to_end([sys.executable, "-c", code], log, one_cpu=True, GREETING="hello")
    assert log.read_text() == f"{{{CPU}}} hello\n"
    assert os.sched_getaffinity(0) == before
    assert 0 < usage.cpu < 10
    assert usage.wall > 0
    assert usage.peak_mb is not None
    assert usage.peak_mb > 400


def test_settings_of_the_caller_do_not_reach_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run_to_end([sys.executable, "-c", "import os; print(sorted(os.environ))"], tmp_path / "log", one_cpu=False)
    assert "OMP_NUM_THREADS" not in (tmp_path / "log").read_text()


def test_the_affinity_comes_back_after_an_error() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError), pinned():
        raise RuntimeError
    assert os.sched_getaffinity(0) == before


def test_a_program_that_fails_ends_the_benchmark_with_its_last_words(tmp_path: Path) -> None:
    code = "import sys; sys.exit('no such luck')"
    with pytest.raises(SystemExit, match=r"(?s)ended with 1; it said:.*no such luck"):
        run_to_end([sys.executable, "-c", code], tmp_path / "log", one_cpu=True)


def test_a_contender_that_ends_by_itself_ends_the_benchmark_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)contender fit ended by itself.*nowhere\.npz"):
        Worker("fit", Path(sys.executable), tmp_path / "nowhere.npz", 32, tmp_path / "log")


@pytest.mark.usefixtures("mnist_file")
def test_the_quick_form_compares_loops_that_learn_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "benchmarks.json"
    assert bench.main(["--quick", "--only", "fit", "limit", "--output", str(output)]) == 0
    result = json.loads(output.read_text())
    assert result["epoch_vs_fit"] > 0
    assert result["epoch_vs_limit"] > 0  # how fast it is, is for a quiet machine to say
    assert result["epoch_vs_jax"] is None
    assert result["quick"]
    assert result["machine"]["keras"]
    last = result["epochs"][-1]
    assert 0 < last["ours"]["loss"] < 1
    assert last["ours"]["loss"] == pytest.approx(last["fit"]["loss"], rel=0.2)
    assert "| Keras fit |" in capsys.readouterr().out


def test_the_dag_that_does_nothing_has_the_shape_of_the_one_that_trains(
    parsed: dict[str, Any], parse: Callable[..., dict[str, Any]]
) -> None:
    variables = {"MNIST_POLL_SECONDS": "1", "MNIST_CLUSTER": "a-cluster", "MNIST_LOG_GROUP": "a-group"}
    nothing = parse(ROOT / "benchmarks" / "noop", **variables)
    ours, noop = parsed["dags"]["mnist_training"]["tasks"], nothing["dags"]["noop"]["tasks"]

    assert nothing["errors"] == {}
    for what in ("downstream", "trigger_rule", "mapped"):
        assert {name: task[what] for name, task in noop.items()} == {name: task[what] for name, task in ours.items()}
    assert {noop.pop(name)["type"] for name in ("train", "promote")} == {"EcsRunTaskOperator"}
    assert {task["type"] for task in noop.values()} == {ours["report"]["type"]}


def test_a_timed_container_keeps_its_exit_code_and_leaves_what_it_took(tmp_path: Path) -> None:
    times = tmp_path / "times"
    busy = (
        "import time; start = time.process_time()\nwhile time.process_time() < start + 0.3: pass\nraise SystemExit(7)"
    )
    command = ["sh", str(ROOT / "benchmarks" / "timed.sh"), sys.executable, "-c", busy]

    assert subprocess.run(command, env={**os.environ, "TIMED": str(times)}, check=False).returncode == 7
    usage = dags.read_times(times.read_text())
    assert 0.3 <= usage.cpu < 3
    assert usage.wall >= 0.3


def test_minutes_of_cpu_time_are_counted_and_containers_added() -> None:
    first = "10.5\n12.0\n0m0.00s 0m0.00s\n1m2.50s 0m0.50s\n"
    second = "20.0\n20.5\n0m0.00s 0m0.00s\n0m0.25s 0m0.00s\n"
    assert dags.read_times(first + second) == Usage(cpu=63.25, wall=2.0)


def test_equal_accuracies_are_found_equal_and_different_ones_different() -> None:
    some = [0.977, 0.978, 0.979, 0.980, 0.981, 0.982]
    same = seeds.compare(some, list(reversed(some)))
    assert same.difference == pytest.approx(0)
    assert same.p_value == 1
    other = seeds.compare(some, [value - 0.01 for value in some])
    assert other.difference == pytest.approx(1)
    assert other.interval[0] > 0
    assert other.p_value < 0.01
    assert other.means == pytest.approx((97.95, 96.95))


def test_seeds_that_were_trained_are_not_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "seeds.json"
    accuracies = {"ours": {"0": 0.975, "1": 0.977}, "keras": {"0": 0.977, "1": 0.975}}
    output.write_text(json.dumps({"code": seeds._code(), "accuracies": accuracies}))
    assert seeds.main(["--seeds", "2", "--output", str(output)]) == 0
    result = json.loads(output.read_text())
    assert result["accuracies"] == accuracies
    assert result["difference"] == pytest.approx(0)
    assert "2 seeds with this loop, 2 with fit" in capsys.readouterr().out


@pytest.mark.parametrize("before", [{}, {"code": "of before"}])
def test_seeds_that_other_code_trained_are_trained_again(
    before: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "seeds.json"
    old = {name: {"0": 0.5, "1": 0.5} for name in ("ours", "keras")}
    output.write_text(json.dumps({**before, "accuracies": old}))
    monkeypatch.setattr(seeds, "mnist_file", lambda: tmp_path / "seeds.json")
    monkeypatch.setattr(seeds, "read_npz", lambda *_: small_dataset())
    monkeypatch.setattr(seeds, "_methods", lambda _: dict.fromkeys(("ours", "keras"), lambda seed: 0.97 + seed / 100))
    assert seeds.main(["--seeds", "2", "--output", str(output)]) == 0
    result = json.loads(output.read_text())
    assert result["accuracies"] == {name: {"0": 0.97, "1": 0.98} for name in ("ours", "keras")}
    assert result["code"] == seeds._code()
    assert "is of other code" in capsys.readouterr().out


def test_other_constants_are_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = seeds._code()
    monkeypatch.setattr(seeds, "EPOCHS", 1)
    assert seeds._code() != before


def test_this_loop_and_fit_train_on_the_same_images_and_both_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "VALIDATION_IMAGES", 50)
    methods = seeds._methods(small_dataset())
    assert {name for name, train in methods.items() if train(0) > 0.5} == {"ours", "keras"}


def test_one_seed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        seeds.main(["--seeds", "1"])
    assert "two seeds at least" in capsys.readouterr().err
