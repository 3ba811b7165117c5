"""The page without servers: its states, words and plots, and that what a person typed stays text."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from examples.contracts.classifier import CONTRACTS
from mnist_tasks.attempts import Attempt
from mnist_tasks.cost import Prices, cost_of
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import IntegrityError, TemporaryError
from mnist_tasks.history import History
from mnist_tasks.page import charts, render, texts
from mnist_tasks.page.data import AirflowRun, Move, Overview, RunLine, RunView
from mnist_tasks.page.found import Found
from mnist_tasks.page.verification import Verified
from mnist_tasks.progress import Progress
from mnist_tasks.promotion.answers import Answer
from mnist_tasks.report import words
from mnist_tasks.states import State
from tests.decided_run import DECLINED, FIRST, KEPT, NOW, REJECTED, RELEASED, UNANSWERED, decided_run, rollback

PRICES = Prices(0.04048, 0.004445, 0.3)
HOSTILE = '"><script>alert(1)</script>\x1b[2J'
AGREE = Verified(True, "signed", "It is.")


def states_of(data, *, epochs=None, committed=True):
    return tuple(state_of(data, job, epochs, committed) for job in data.plan.jobs)


def state_of(data, job, epochs, committed):
    history = data.histories[job.candidate]
    if epochs is not None:
        history = History(epochs=history.epochs[:epochs], seconds=1.5 * epochs, peak_memory_mb=1) if epochs else None
    told = Progress(job=job, updated=NOW, start=FIRST.histories[FIRST.best.name].start, history=history)
    manifest = next(manifest for manifest in data.manifests if manifest.name == job.candidate)
    return State(job, 54_000, told, manifest if committed else None)


def view_of(data=KEPT, *, state="success", **changes):
    """A decided run, or what `changes` leave of it."""
    attempts = [
        Attempt(
            job=job.candidate,
            generation=1,
            capacity="FARGATE_SPOT",
            vcpus=1,
            memory_gb=2,
            started=NOW,
            stopped=NOW + timedelta(minutes=2),
            exit_code=0,
        )
        for job in data.plan.jobs
    ]
    view = RunView(
        classifier=MNIST,
        run=AirflowRun(data.plan.dag_id, data.plan.run_id, state, user="admin"),
        now=NOW,
        plan=Found(data.plan),
        states=Found(states_of(data)),
        decision=Found(data.decision),
        validation=Found(data.validation),
        published=Found(),
        cost=Found(cost_of(attempts, PRICES, NOW)),
        verified=AGREE if data.final else None,
    )
    return replace(view, **changes)


def open_view(epochs, data=KEPT, **changes):
    """A run that trains, so many epochs far."""
    states = Found(states_of(data, epochs=epochs, committed=False))
    return view_of(data, state="running", decision=Found(), states=states, cost=Found(), verified=None, **changes)


def unplanned(state, dag_id="mnist_training"):
    run = AirflowRun(dag_id, "a", state)
    nothing = {"plan": Found(), "states": Found(), "decision": Found(), "validation": Found(), "cost": Found()}
    return view_of(run=run, **nothing, verified=None)


def overview_of(view, decisions=(), runs=(), classifier=MNIST):
    moves = tuple(Move(decision, None, AGREE if decision.final else None) for decision in decisions)
    runs = tuple(runs)
    return Overview(classifier, NOW, moves=moves, trouble=Found(), vouched=Found(), newest=view, runs=runs)


def heading(html):
    return re.search(r"<h1>(.*?)</h1>", html)[1]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (unplanned("queued"), "Queued: the run has not started yet."),
        (unplanned("running"), "Preparing: the data set is"),
        (unplanned("success"), "No decision of this run can be read."),
        (unplanned("unknown"), "No decision of this run can be read."),
        (unplanned("queued", MNIST.rollback_dag), "Queued: the run has not started yet."),
        (unplanned("running", MNIST.rollback_dag), "Rolling back: the final is verified"),
        (unplanned("success", MNIST.rollback_dag), "No decision of this run can be read."),
        (open_view(3), "Training: 0 of 2 candidates are done."),
        (view_of(state="running", decision=Found(), verified=None), "Deciding: the best candidate is checked"),
        (view_of(RELEASED), "Promoted and released: this model is the new champion."),
        (view_of(KEPT), "Promoted, champion kept: too close to tell."),
        (view_of(REJECTED, state="failed"), "Not promoted: test accuracy 95.50% is below 97.50%."),
        (view_of(DECLINED, state="running", decision=Found(), verified=None), "Waiting for a person to approve"),
        (view_of(DECLINED), "Promoted nothing: rejected by ada."),
    ],
)
def test_the_headline_says_where_the_run_is(view, expected):
    assert heading(render.run(view)).startswith(expected)


def test_who_approved_is_named_as_airflows_statement_and_stays_text():
    data = decided_run(answer=Answer(reply="approved", by=HOSTILE.removesuffix("\x1b[2J"), manifest_sha256="e" * 64))
    page = render.run(view_of(data))

    assert "Approved by <strong>&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;</strong>, as Airflow states." in page
    assert "Approved by" not in render.run(view_of(KEPT))
    assert "script&gt; and the gate" in render.overview(overview_of(view_of(data), [data.decision]))


def test_a_run_that_failed_on_its_way_says_where_and_what_to_do():
    run = AirflowRun("mnist_training", "a", "failed", failed_steps=("validate",))
    html = render.run(replace(unplanned("failed"), run=run))

    assert heading(html) == "Failed at validate."
    assert "clear the run" in html
    assert "The run ended before its candidates were planned." in html


@pytest.mark.parametrize("state", ["success", "unknown"])
def test_a_run_of_which_nothing_is_left_promises_nothing(state):
    html = render.run(unplanned(state))

    assert "records may have expired; the chain of decisions stays" in html
    assert html.count("No record of it is left.") == 2
    assert "not planned yet" not in html
    assert "waiting for its container" not in render.run(replace(open_view(0), run=unplanned(state).run))


def test_only_a_page_that_can_change_asks_again_and_one_that_trains_asks_often():
    def seconds(html):
        return int(re.search(r'data-refresh="(\d+)"', html)[1])

    assert seconds(render.run(open_view(3))) == 1
    assert seconds(render.run(unplanned("queued"))) == 3
    assert seconds(render.run(view_of())) == 0
    assert seconds(render.run(unplanned("unknown"))) == 0
    assert seconds(render.run(unplanned("running", MNIST.rollback_dag))) == 3
    assert seconds(render.overview(overview_of(view_of()))) == 20
    assert seconds(render.overview(overview_of(open_view(3)))) == 1


def test_a_candidate_says_how_far_it_is_and_how_long_it_will_take():
    html = render.run(open_view(4))

    assert "epoch 4 of 10" in html
    assert "about 9 s left" in html
    assert 'value="40"' in html


@pytest.mark.parametrize("epochs", [0, 1, 3, 10])
def test_plots_are_well_formed_and_named_for_those_who_do_not_see_them(epochs):
    for svg in re.findall(r"<svg.*?</svg>", render.run(open_view(epochs)), re.DOTALL):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert "style" not in svg


def test_a_curve_grows_to_the_right_on_a_scale_that_all_candidates_share():
    few, many = (render.run(open_view(epochs)) for epochs in (3, 7))

    def ends(html):
        return [line.split()[-1].split(",")[0] for line in re.findall(r'line validation" points="([^"]*)"', html)]

    assert len(set(ends(few))) == 1  # both candidates are as far
    assert float(ends(few)[0]) < float(ends(many)[0])


def test_an_accuracys_scale_never_goes_beyond_100_percent():
    states = states_of(KEPT)

    assert charts.common_ticks(states, "accuracy")[-1] <= 100
    assert charts.common_ticks((), "accuracy") == [0, 20, 40, 60, 80, 100]


def test_ticks_are_round_and_enclose_the_values():
    for low, high in [(97.93, 97.98), (0, 0), (0.031, 0.41), (90.2, 98.7), (9, 98)]:
        ticks = charts.nice_ticks(low, high, around=True)
        assert ticks[0] <= low
        assert ticks[-1] >= high
        assert 2 <= len(ticks) <= 8


def test_nothing_that_a_person_typed_becomes_markup():
    data = decided_run(champion_wrong=range(80))
    hostile = replace(view_of(data), run=AirflowRun("mnist_training", HOSTILE, "success", user=HOSTILE))
    told = rollback().model_copy(update={"reason": HOSTILE})
    line = RunLine(hostile.run, None, Found())
    move = Move(told, hostile.run, None)
    overview = replace(overview_of(hostile, runs=[line]), moves=(move,))
    damaged = Found(trouble=IntegrityError(HOSTILE, mend=HOSTILE))
    pages = (
        render.run(hostile),
        render.run(replace(hostile, validation=damaged)),
        render.overview(overview),
        render.trouble(TemporaryError(HOSTILE, mend=HOSTILE)),
        render.head(HOSTILE, HOSTILE),
    )

    for html in pages:
        assert "<script>alert" not in html
        assert "\x1b" not in html


def test_what_cannot_be_read_is_named_and_the_rest_stays():
    damaged = Found(trouble=IntegrityError("the plan is not JSON", mend="restore it"))
    html = render.run(view_of(validation=damaged, cost=damaged))

    assert html.count("the plan is not JSON") == 2
    assert "12 of 12 gates" in html


def test_before_the_first_run_the_page_says_what_to_do():
    html = render.overview(overview_of(None))

    assert heading(html) == "Nothing has run yet."
    assert "No decision yet" in html
    assert "Trigger" in html


def test_the_history_names_who_moved_the_champion_and_why():
    run = AirflowRun("mnist_rollback", "manual__1", "success", user="ada")
    html = render.overview(replace(overview_of(view_of()), moves=(Move(rollback(), run, AGREE),)))

    assert "By a rollback, run manual__1, triggered by ada" in html
    assert "complaints from the field, see ticket &lt;5&gt;" in html
    assert "By the gate, run" in render.overview(overview_of(view_of(), [KEPT.decision]))


@pytest.mark.parametrize("data", [DECLINED, UNANSWERED])
def test_what_was_not_approved_need_not_have_been_declined_by_anybody(data):
    html = render.overview(overview_of(view_of(data), [data.decision]))

    assert "By the missing approval, run" in html
    assert '<span class="outcome declined">not approved</span>' in html


def test_every_outcome_has_a_dot_of_its_own():
    looks = re.findall(r"^\.chart \.dot\.(\w+) \{(.*)\}", render.stylesheet().decode(), re.MULTILINE)

    assert set(dict(looks)) == set(texts.OUTCOMES) - {"rolled_back"}  # which looks as every dot
    assert len({look for _, look in looks}) == len(looks)


def test_what_vouches_for_the_champion_is_shown_and_so_is_that_it_cannot_be_read():
    damaged = Found(trouble=IntegrityError("decision 1 is gone", mend="restore it"))

    assert "<dt>Verification</dt>" in render.overview(replace(overview_of(view_of()), vouched=Found(AGREE)))
    assert "decision 1 is gone" in render.overview(replace(overview_of(view_of()), vouched=damaged))


def test_another_classifiers_page_does_not_speak_of_mnist():
    run = replace(unplanned("running", CONTRACTS.training_dag), classifier=CONTRACTS)
    pages = [
        render.overview(overview_of(None, classifier=CONTRACTS)),
        render.overview(overview_of(run, classifier=CONTRACTS)),
        render.run(run),
        render.message("It has failed."),
    ]

    assert [html for html in pages if "mnist" in html.lower()] == []


def test_nothing_on_the_page_needs_what_its_policy_forbids():
    pages = [render.run(view_of()), render.overview(overview_of(view_of(), [KEPT.decision])), render.head("x", "d")]

    for html in pages:
        assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:|https?://", html)
        assert not re.search(r"<script(?! src)", html)


@pytest.mark.parametrize(
    ("dollars", "text"), [(0, "$0"), (0.00049, "$0.00049"), (0.0123, "$0.012"), (0.5, "$0.50"), (1234.5, "$1,234.50")]
)
def test_money_has_two_figures_that_count(dollars, text):
    assert words.money(dollars) == text


def test_a_page_asks_for_its_looks_in_the_name_of_its_own_dag():
    """Who may see the runs of one classifier need not be let in to another one's."""
    head = render.head("Contracts", "contracts_training")

    assert head.count("&amp;dag_id=contracts_training") == 2
