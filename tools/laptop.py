"""Airflow on a laptop, joined to the one-machine cloud: what `make run`, `make up` and the end-to-end tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud import Cloud
from mnist_tasks.definitions import NAMES

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Laptop:
    """One Airflow home and the cloud that its tasks use.

    `make run` and `make up` have a home each: a scheduler would take the tasks of a run that `airflow dags test` has in
    hand, since both look into the same database. `examples` are those whose DAGs are there as well as `dags/`.
    """

    home: Path
    cloud: Cloud
    examples: tuple[str, ...] = ()

    def environment(self, **more: str) -> dict[str, str]:
        """The whole environment of an Airflow process: ours, and of the caller's only what is needed to run at all.

        Credentials, proxies and AIRFLOW_... settings of the caller stay outside: a laptop run must not reach a real
        account by accident.
        """
        cloud = self.cloud.as_role("worker")
        smtp = {
            "conn_type": "smtp",
            "host": cloud["SMTP_HOST"],
            "port": int(cloud["SMTP_PORT"]),
            "extra": {"disable_ssl": True, "disable_tls": True, "timeout": 60},
        }
        return {
            **_kept_from(os.environ),
            **cloud,
            "AIRFLOW_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            **self._bundles(),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            # SQLite has one writer at a time. By default, who has waited for five seconds is told "database is locked",
            # which a trigger hears as HTTP 500.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db?timeout=60",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
            "MNIST_POLL_SECONDS": "0.5",
            "MNIST_RETRY_SECONDS": "1",
            # matplotlib's font cache: in an empty home it would be made anew in every process.
            "MPLCONFIGDIR": str(self.home / "matplotlib"),
            **more,
        }

    def _bundles(self) -> dict[str, str]:
        """None, without examples: Airflow's own default is the folder of DAGs above, whatever that is set to."""
        if not self.examples:
            return {}
        folders = {"dags-folder": ROOT / "dags"} | {name: ROOT / "examples" / name / "dags" for name in self.examples}
        local = "airflow.dag_processing.bundles.local.LocalDagBundle"
        bundles = [{"name": n, "classpath": local, "kwargs": {"path": str(path)}} for n, path in folders.items()]
        return {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles)}

    def migrate(self) -> None:
        """Make the metadata database, once."""
        stamp = self.home / "migrated"
        wanted = (ROOT / "requirements.txt").read_bytes()
        if stamp.exists() and stamp.read_bytes() == wanted:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        result = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise SystemExit(f"error: airflow db migrate failed:\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}")
        stamp.write_bytes(wanted)


def _kept_from(environment: Mapping[str, str]) -> dict[str, str]:
    # Home and PATH, locale, and how this machine reaches its package index (the data set's fallback goes through pip).
    prefixes = ("PIP_", "LC_", "MNIST_", *(f"{name.upper()}_" for name in NAMES))
    names = {"HOME", "PATH", "LANG", "TMPDIR", "USER", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PYTHONDONTWRITEBYTECODE"}
    return {name: value for name, value in environment.items() if name in names or name.startswith(prefixes)}
