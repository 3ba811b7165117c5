"""What checkov finds in the templates (part of `make lint`). What is skipped has its reason beside the resource."""

from __future__ import annotations

import subprocess
import sys

from tools.environment import ROOT, SetupError, environment_of


def main() -> int:
    """Returns checkov's exit status: 0 if it found nothing."""
    try:
        python = environment_of("checkov")
    except SetupError as error:
        sys.exit(f"error: {error}")
    options = ["--directory", "infra", "--framework", "cloudformation", "--skip-download", "--quiet", "--compact"]
    return subprocess.run([str(python.with_name("checkov")), *options], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
