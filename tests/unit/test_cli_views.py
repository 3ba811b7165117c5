"""What the commands show, without S3: figures, words, and that everything fits 80 columns."""

import io
from datetime import timedelta

import pytest
from rich.console import Console

from mnist_tasks import errors
from mnist_tasks.cli import service, show, terminal, watch
from mnist_tasks.cli.group import EXIT_STATUS, status_of
from mnist_tasks.history import History, Running
from mnist_tasks.progress import Progress
from mnist_tasks.promotion.chain import Head, Link
from mnist_tasks.states import State, last_news
from tests.decided_run import FIRST, KEPT, NOW, REJECTED, RELEASED, WORSE, decided_run, rollback

LONG = decided_run(run_id="manual__" + "a-very-long-run-id-of-a-person-" * 5, champion_wrong=range(80), candidates=16)
PLAN = KEPT.plan
HISTORY = KEPT.histories[PLAN.jobs[0].candidate]


def shown(view, width=80):
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    console.print(view)
    return console.file.getvalue()


def state(epochs=0, *, start=HISTORY.start, committed=False, number=0):
    """A candidate after so many epochs of 1.5 s; `start` None: nothing was told of it yet."""
    history, told = None, None
    if epochs:
        history = History(epochs=HISTORY.epochs[:epochs], start=start, seconds=1.5 * epochs, peak_memory_mb=1)
    if start is not None:
        told = Progress(job=PLAN.jobs[number], updated=NOW, start=start, history=history)
    return State(PLAN.jobs[number], 54_000, told, KEPT.manifests[number] if committed else None)


def state_of_first_epoch(images):
    return state(start=(Running(batch=1, images=images, loss=2.0, accuracy=0.1),))


def test_epochs_and_the_batches_of_the_first_one_count_as_done():
    assert state(start=None).share == 0
    assert state_of_first_epoch(27_000).share == pytest.approx(0.05)
    assert state(3).share == pytest.approx(0.3)
    assert state(10).share == 1
    assert state(3, committed=True).share == 1


def test_the_time_left_follows_from_the_epochs_so_far_and_runs_down_between_two_pieces_of_news():
    assert state(4).remaining(NOW) == timedelta(seconds=9)
    assert state(4).remaining(NOW + timedelta(seconds=1)) == timedelta(seconds=8)
    assert state(4).remaining(NOW + timedelta(hours=1)) == timedelta(0)
    assert state(0).remaining(NOW) is None
    assert state(4, committed=True).remaining(NOW) == timedelta(0)


def test_the_last_news_is_the_newest_of_all_candidates_or_the_plan():
    assert last_news(PLAN, (state(start=None), state(2, number=1))) == NOW
    assert last_news(PLAN, (state(start=None),)) == PLAN.created


def test_the_picture_of_a_training_has_a_line_for_each_candidate_with_loss_accuracy_and_time_left():
    text = shown(watch.picture(PLAN, (state(4), state(10, committed=True, number=1)), NOW))

    first, second = (line for line in text.splitlines() if line.startswith("mnist_model_"))
    newest = HISTORY.epochs[3]
    assert first.split()[-6:] == ["4/10", f"{newest.loss:.3f}", f"{newest.accuracy:.1%}", "97.5%", "9", "s"]
    assert "done" in second
    assert "Ctrl-C" in text


@pytest.mark.parametrize(
    ("states", "later", "words"),
    [
        ((state(start=None), state(start=None, number=1)), 0, "Training has not started yet"),
        ((state(10, committed=True), state(10, committed=True, number=1)), 0, "All candidates are committed"),
        ((state(1), state(start=None, number=1)), 600, "No news for 10 min 00 s: see in Airflow"),
        ((state(start=None), state(start=None, number=1)), 600, "No news for 10 min 00 s"),
    ],
)
def test_under_the_picture_stands_what_is_waited_for(states, later, words):
    assert words in shown(watch.picture(PLAN, states, NOW + timedelta(seconds=later)))


DECIDED = {"released": RELEASED, "first": FIRST, "kept": KEPT, "worse": WORSE, "rejected": REJECTED, "long": LONG}


@pytest.mark.parametrize("data", DECIDED.values(), ids=DECIDED.keys())
def test_a_decided_run_fits_80_columns_and_no_name_is_cut(data):
    text = shown(show.decided_view(data))

    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    joined = "".join(text.split())
    names = [manifest.name for manifest in data.manifests] + [data.plan.run, "".join(data.plan.run_id.split())]
    assert [name for name in names if name not in joined] == []
    assert all(gate.sentence.split()[0] in text for gate in data.decision.gates)


@pytest.mark.parametrize(
    ("data", "headline"),
    [
        (FIRST, "Promoted and released: this model is the first champion."),
        (KEPT, "Promoted, champion kept: too close to tell."),
        (WORSE, "Promoted, champion kept: the new model is worse."),
        (REJECTED, "Not promoted: test accuracy 95.50% is below 97.50%"),
    ],
)
def test_the_decision_begins_with_a_sentence_in_plain_language(data, headline):
    assert shown(show.decided_view(data), width=200).startswith(headline)


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        (RELEASED.decision, "better, p = "),
        (FIRST.decision, "the first model that passed"),
        (KEPT.decision, "too close to tell"),
        (WORSE.decision, "the new model is worse"),
        (REJECTED.decision, "test accuracy 95.50% is below 97.50%"),
        (rollback(), "complaints from the field, see ticket <5>"),
    ],
)
def test_the_history_says_in_a_few_words_why(decision, reason):
    assert service.why(decision).startswith(reason)


def test_the_history_names_the_champion_the_run_and_the_reason_of_each_decision():
    decision = rollback()
    link = Link(decision, Head(sequence=decision.sequence, sha256="e" * 64), b"")

    text = shown(service.history_view([link], place=None))

    assert "rolled back" in text
    assert decision.champion_after in text
    assert decision.run in text
    assert "complaints from the field, see" in text
    assert max(map(len, text.splitlines())) <= 80


def test_text_of_others_cannot_move_the_cursor_and_is_no_markup():
    written = shown(terminal.facts(("reason", "\x1b[2Jred [bold]x[/bold]\x07\u202e")))

    assert "\x1b" not in written
    assert "\x07" not in written
    assert "\u202e" not in written
    assert "[bold]x[/bold]" in written


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (43.4, "43 s"), (252, "4 min 12 s"), (11_100, "3 h 05 min"), (180_000, "2 d 02 h")],
)
def test_durations_have_two_units_at_most(seconds, text):
    assert terminal.duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.MnistError, 1),
        (errors.GateFailed, 1),
        (errors.ConfigurationError, 2),
        (errors.NotFoundError, 3),
        (errors.TemporaryError, 4),
        (errors.Conflict, 4),
        (errors.IntegrityError, 5),
        (errors.AttestationRefused, 5),
        (errors.DataError, 6),
        (errors.ValidationFailed, 6),
    ],
)
def test_every_error_has_its_exit_status_and_the_help_lists_it(kind, status):
    assert status_of(kind("x")) == status
    assert f"; {status} " in EXIT_STATUS
