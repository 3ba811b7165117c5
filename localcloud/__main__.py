"""`python -m localcloud up|down|status|env`: the exit status is 0 when it is as asked, 1 when not."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import localcloud
from localcloud.home import DEFAULT_HOME


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
        images = localcloud.default_images(options.python)
        _print(localcloud.up(options.home, images).environment, as_json=options.json)
    elif options.command == "env":
        _print(localcloud.current(options.home).environment, as_json=options.json)
    elif options.command == "down":
        localcloud.down(options.home)
    else:
        return _print_status(localcloud.status(options.home), as_json=options.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--home", type=Path, default=DEFAULT_HOME, help="the folder of all its state (%(default)s)")
    common.add_argument("--json", action="store_true", help="print JSON")
    parser = argparse.ArgumentParser(prog="localcloud", description="An AWS account on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[common], help="start it, deploy infra/mnist.yaml, print its environment")
    up.add_argument("--python", type=Path, help="the interpreter in the images ($LOCALCLOUD_PYTHON or .venv)")
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
