"""`make up`: Airflow's UI and scheduler with the one-machine cloud, until `make down`."""

from __future__ import annotations

import sys
from pathlib import Path

import localcloud
from tools import services
from tools.laptop import ROOT, Laptop

HOME = ROOT / ".airflow" / "up"
USER = "admin"


def main() -> int:
    """Start what is not running and say where it is."""
    try:
        cloud = localcloud.up()
    except localcloud.LocalCloudError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    running = services.start(Laptop(HOME, cloud))
    print(f"Airflow:   {running.url}")
    print(f"user:      {USER}")
    print(f"password:  in {password_file(HOME)}")
    print(f"AWS:       {cloud.environment['AWS_ENDPOINT_URL']} (python -m localcloud env prints how to reach it)")
    print(f"mails:     {cloud.maildir}")
    print("The DAG mnist_training is paused: trigger it with the button, or switch it on for the nightly schedule.")
    print("make down stops it all; what was stored stays.")
    return 0


def password_file(home: Path) -> Path:
    """Where Airflow's simple auth manager keeps the passwords that it has made, by user."""
    return home / "simple_auth_manager_passwords.json.generated"


if __name__ == "__main__":
    sys.exit(main())
