"""`python -m localcloud up|serve|down|status|env`: the exit status is 0 when it is as asked, 1 when not."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import localcloud
from localcloud import handover
from localcloud.home import DEFAULT_HOME
from localcloud.surroundings import LOOPBACK

LOOK_SECONDS = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an error is one message on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except localcloud.LocalCloudError as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "up":
        _print(_up(options).environment, as_json=options.json)
    elif options.command == "serve":
        return _serve(options)
    elif options.command == "env":
        _print(localcloud.current(options.home).environment, as_json=options.json)
    elif options.command == "down":
        localcloud.down(options.home)
    else:
        return _print_status(localcloud.status(options.home), as_json=options.json)
    return 0


def _up(options: argparse.Namespace) -> localcloud.Cloud:
    listening = localcloud.Listening(options.listen, options.port, options.smtp_port)
    engine = localcloud.DockerEngine(options.engine, options.network, options.endpoint) if options.engine else None
    images = None if engine else localcloud.default_images(options.python)
    return localcloud.up(options.home, images, localcloud.Surroundings(listening, engine))


def _serve(options: argparse.Namespace) -> int:
    """For a container: in the foreground until SIGTERM or SIGINT, or until a part of it has ended."""
    cloud = _up(options)
    if options.handover:
        handover.write(cloud, options.handover, options.role, options.role_endpoint)
    print("ready", flush=True)
    asked_to_stop = {signal.SIGTERM, signal.SIGINT}
    # Only now: what was started would have inherited it.
    signal.pthread_sigmask(signal.SIG_BLOCK, asked_to_stop)
    try:
        # Not whether they answer: a machine that is busy for a while must not cost the tasks that run.
        while "not running" not in localcloud.status(options.home).parts.values():
            if signal.sigtimedwait(asked_to_stop, LOOK_SECONDS):
                return 0
    finally:
        localcloud.down(options.home)
    raise localcloud.LocalCloudError(f"a part has ended: see the logs in {options.home / 'logs'}")


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--home", type=Path, default=DEFAULT_HOME, help="the folder of all its state (%(default)s)")
    common.add_argument("--json", action="store_true", help="print JSON")
    parser = argparse.ArgumentParser(prog="localcloud", description="An AWS account on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = argparse.ArgumentParser(add_help=False)
    start.add_argument("--python", type=Path, help="the interpreter in the images ($LOCALCLOUD_PYTHON or .venv)")
    start.add_argument(
        "--engine", metavar="URL", help="run containers in this Docker engine, e.g. unix:///var/run/docker.sock"
    )
    start.add_argument("--network", default="host", help="the engine's network for them (%(default)s)")
    start.add_argument("--endpoint", default="", metavar="URL", help="where they reach AWS in that network")
    # No other address: this machine itself comes through its loopback interface.
    start.add_argument(
        "--listen",
        choices=(LOOPBACK, "0.0.0.0"),  # noqa: S104
        default=LOOPBACK,
        help="address of endpoint and mail server (%(default)s)",
    )
    start.add_argument("--port", type=int, default=0, help="the endpoint's port (default: a free one, kept)")
    start.add_argument("--smtp-port", type=int, default=0, help="the mail server's port (default: a free one, kept)")
    both = [common, start]
    commands.add_parser("up", parents=both, help="start it, deploy infra/mnist.yaml, print its environment")
    serve = commands.add_parser("serve", parents=both, help="the same in the foreground, for a container")
    serve.add_argument("--handover", type=Path, metavar="FOLDER", help="leave the environment of other containers here")
    serve.add_argument("--role", default="worker", help="the role that these act in (%(default)s)")
    serve.add_argument("--role-endpoint", metavar="URL", help="where these reach AWS")
    commands.add_parser("down", parents=[common], help="stop it, containers included; data stays")
    commands.add_parser("status", parents=[common], help="say what runs; exit status 1 unless all does")
    commands.add_parser("env", parents=[common], help="print how to reach it as KEY=VALUE lines")
    return parser


def _print(environment: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dict(environment), indent=2))
    else:
        print("\n".join(f"{name}={value}" for name, value in environment.items()))


def _print_status(status: localcloud.Status, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"home": str(status.home), "running": status.running, "parts": dict(status.parts)}, indent=2))
    else:
        print(f"{'running' if status.running else 'not running'}: {status.home}")
        print("\n".join(f"  {part:<9} {state}" for part, state in status.parts.items()))
    return 0 if status.running else 1


if __name__ == "__main__":
    sys.exit(main())
