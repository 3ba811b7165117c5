"""Everything from this checkout to an AWS account, in the order in which one thing needs another (`make deploy`).

    make deploy ARGS="--bucket NAME [--dry-run] ..."

Registry, network (or the subnets that you name), images by digest, the pipeline's stack, its monitoring; then what
Airflow needs to run the DAGs, in build/deployment: `airflow.env` (the stack's outputs as environment) and the public
keys that decisions are verified with. Run again, it changes what has changed; what is not given stays as it is.
`--dry-run` asks AWS nothing and needs no credentials: it prints what a first deployment would do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from tools.deploy.aws import ROOT, Aws, DeployError
from tools.deploy.plan import Plan
from tools.deploy.steps import Options, deploy
from tools.iam.template import Template

OUTPUT = ROOT / "build" / "deployment"


def _commit() -> str:
    """The commit that is deployed. Raises DeployError: what lies here is not what was committed."""
    answer = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    if answer.stdout.strip():
        raise DeployError("the checkout has changes that are not committed; images are named after the commit")
    head = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return head.stdout.strip()


def _parameter(text: str) -> tuple[str, str]:
    """KEY=VALUE of a parameter that infra/mnist.yaml has."""
    name, equals, value = text.partition("=")
    known = Template.read().body["Parameters"]
    if not equals or name not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is no KEY=VALUE of infra/mnist.yaml, which has {', '.join(known)}")
    return name, value


def main(arguments: Sequence[str] | None = None) -> int:
    """Deploy, or say what would be."""
    parser = argparse.ArgumentParser(prog="make deploy", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bucket", required=True, help="name of the bucket; names are global, so choose your own")
    parser.add_argument("--stack", default="mnist", help="what the stacks' names begin with (default: mnist)")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_parameter,
        metavar="KEY=VALUE",
        help="a parameter of infra/mnist.yaml, such as LockDays=30; may be given several times",
    )
    parser.add_argument(
        "--subnets", default="", help="subnets for the tasks, comma-separated; never any: makes a network"
    )
    parser.add_argument("--security-groups", default="", help="their security groups")
    parser.add_argument("--alarm-email", default="", help="who gets the alarms")
    parser.add_argument("--worker-services", default="", help="services that take the worker's role (ecs-tasks....)")
    parser.add_argument("--cloudformation-role", default="", help="ARN of the role that CloudFormation takes")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    values = vars(parser.parse_args(arguments))
    dry = values.pop("dry_run")
    parameters = dict(values.pop("parameter"))
    options = Options(**values, parameters=parameters)
    try:
        if dry:
            deploy(Plan(), options, commit="<commit>")
        else:
            deploy(Aws(cloudformation_role=options.cloudformation_role), options, commit=_commit()).write(OUTPUT)
            print(f"done; what Airflow needs is in {OUTPUT}")
    except DeployError as error:
        sys.exit(f"error: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
