"""The commands of `mnist`: what they are called and take. What they do stands in the modules beside this one."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mnist_tasks.cli import (
    compare as comparison,
)
from mnist_tasks.cli import (
    export as exporting,
)
from mnist_tasks.cli import (
    find,
    group,
    overview,
    reports,
    service,
    terminal,
)
from mnist_tasks.cli import (
    predict as prediction,
)
from mnist_tasks.cli import (
    rollback as rolling,
)
from mnist_tasks.cli import (
    show as showing,
)
from mnist_tasks.cli import (
    verify as verification,
)
from mnist_tasks.cli import (
    watch as watching,
)
from mnist_tasks.cli.airflow import Access, Airflow
from mnist_tasks.cli.place import open_place, open_records
from mnist_tasks.errors import ConfigurationError

app = typer.Typer(
    name="mnist",
    cls=group.Group,
    epilog=group.EXIT_STATUS,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document; errors are JSON on standard error.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many to show.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's name or id, the beginning of one, or `latest`.")]
Model = Annotated[str, typer.Argument(help="A run as above, or the name of a candidate or a final.")]


@app.callback()
def main(context: typer.Context) -> None:
    """Look at the MNIST pipeline: its runs, its champion, its decisions."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def runs(limit: Limit = 20, as_json: Json = False) -> None:
    """List the newest runs: outcome, test accuracy, time from plan to decision.

    Runs are found by the names that their candidates have claimed, which are times: the cost is that of the runs shown,
    however many there are. A run that failed before it planned has left no name; Airflow has it.
    """
    place = open_place()
    lines = overview.newest(place, limit)
    terminal.present(
        [line.to_dict() for line in lines], lambda: overview.view(lines, place, datetime.now(UTC)), as_json=as_json
    )


@app.command()
def show(run: Run, as_json: Json = False) -> None:
    """Show a run: plan, candidates side by side, gates, the decision and its numbers."""
    place = open_place()
    content, view = showing.show(place, find.find_run(place, run))
    terminal.present(content, lambda: view, as_json=as_json)


@app.command()
def watch(run: Run, as_json: Json = False) -> None:
    """Follow a run's training until its candidates are committed."""
    place = open_place()
    slug = find.find_run(place, run)
    states = watching.watch(place, slug, terminal.console(), quiet=as_json)
    if as_json:
        terminal.emit({"run": slug, "candidates": [state.to_dict() for state in states]})


@app.command()
def champion(as_json: Json = False) -> None:
    """Show the model in service, checked from its pointer over its decision to its manifest."""
    found = service.champion(open_place())
    terminal.present(service.champion_dict(found), lambda: service.champion_view(found), as_json=as_json)


@app.command()
def history(limit: Limit = 20, as_json: Json = False) -> None:
    """List the newest decisions: what or who moved the champion, and why."""
    place = open_place()
    links = service.history(place, limit)
    content = [link.decision.model_dump(mode="json") for link in links]
    terminal.present(content, lambda: service.history_view(links, place), as_json=as_json)


@app.command()
def verify(
    subject: Annotated[
        str, typer.Argument(metavar="[FINAL|champion|chain]", help="A final's name, `champion` or `chain`.")
    ] = verification.CHAMPION,
    folder: Annotated[
        Path | None, typer.Option("--from", help="A downloaded bucket (aws s3 sync), instead of S3.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="PEM file with the public keys to believe.", show_default="MNIST_SIGNING_KEYS")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check signatures and hashes, with a public key from a file: KMS is not asked.

    Exit status 0: all of it holds. 5: something was changed, or is not signed by a trusted key. 3: it is not there.
    """
    verified = verification.verify(open_records(folder, keys), subject)
    terminal.present(verified.to_dict(), lambda: verification.view(verified), as_json=as_json)
    if verified.status:
        raise typer.Exit(verified.status)


@app.command()
def export(
    final: Annotated[str, typer.Argument(help="A final: mnist_model_..._final.")],
    to: Annotated[Path, typer.Option(help="Where to: FILE.weights.h5.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a final's weights as a plain Keras file, once its signature and hashes are verified."""
    exported = exporting.export(open_place(), final, to, force=force)
    terminal.present(exported.to_dict(), lambda: exporting.view(exported), as_json=as_json)


@app.command()
def compare(a: Model, b: Model, as_json: Json = False) -> None:
    """Hold two models against each other on the test images (exact McNemar test)."""
    place = open_place()
    pair = comparison.compare(place, find.find_checkpoint(place, a), find.find_checkpoint(place, b))
    terminal.present(comparison.to_dict(pair), lambda: comparison.view(pair), as_json=as_json)


@app.command()
def predict(
    image: Annotated[
        str | None, typer.Argument(help="A PNG, JPEG or NPY file of any size; or the number of a test image.")
    ] = None,
    test_index: Annotated[int | None, typer.Option(min=0, help="The number of a test image, from 0.")] = None,
    as_json: Json = False,
) -> None:
    """Let the model in service read a picture; everything down to its weights is verified first.

    A picture is made into what MNIST has: bright on black (a bright border means that it has to be inverted), the digit
    fitted into 20 x 20 pixels and placed by its centre of mass. For another classifier it is made bright on black and
    scaled whole. One of the data set's own size is not scaled.
    """
    reading = prediction.read(open_place(), image, test_index)
    terminal.present(reading.to_dict(), lambda: prediction.view(reading), as_json=as_json)


@app.command()
def rollback(
    *,
    to: Annotated[str, typer.Option(help="The final to put back into service: mnist_model_..._final.")],
    reason: Annotated[str, typer.Option(help="Why; it stays in the record for good.")],
    airflow_url: Annotated[str | None, typer.Option(help="Airflow's URL.", show_default="MNIST_AIRFLOW_URL")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Put an earlier final back into service, by Airflow's DAG mnist_rollback.

    Airflow lets in who has MNIST_AIRFLOW_TOKEN, or MNIST_AIRFLOW_USER and MNIST_AIRFLOW_PASSWORD; in a checkout with a
    running `make up`, all of it is found.
    """
    place, wanted = open_place(), rolling.wish(to, reason)
    access = Access.from_environment(os.environ, airflow_url)
    question = rolling.check(place, wanted)
    if not yes:
        _ask(question, as_json=as_json)
    airflow = Airflow.connect(access)
    triggered = rolling.trigger(airflow, wanted)
    if wait:
        triggered = rolling.wait(airflow, place, triggered)
    terminal.present(triggered.to_dict(), lambda: rolling.view(triggered), as_json=as_json)


def _ask(question: str, *, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise ConfigurationError("a rollback wants to be confirmed, and nobody can be asked here", mend="add --yes")
    typer.confirm(question, abort=True, err=True)


@app.command()
def report(
    run: Run,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to.", show_default="a file here")] = None,
    show_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Download a run's report, one HTML file that needs no other."""
    place = open_place()
    path = reports.save(place, find.find_run(place, run), output)
    opened = show_it and reports.open_in_browser(path)
    hint = "\nNo browser could be started: open that file by hand." if show_it and not opened else ""
    content = {"path": str(path), "opened": opened}
    terminal.present(content, lambda: terminal.styled(f"{path}{hint}", ""), as_json=as_json)
