"""Make the secrets of docker-compose.yaml, once: a one-shot service runs this into volumes that only their users mount.

Nothing has a default, and nothing is printed. Existing files stay, so that a second `docker compose up` finds its
database again.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path

ROOT = Path("/secrets")


def main() -> None:
    """The passwords of PostgreSQL and the broker, what Airflow signs and encrypts with, and the password of the UI."""
    password = _keep(ROOT / "database" / "password", secrets.token_urlsafe(32))
    _keep(ROOT / "airflow" / "sql_alchemy_conn", f"postgresql+psycopg2://airflow:{password}@postgres/airflow")
    _keep(ROOT / "airflow" / "result_backend", f"db+postgresql://airflow:{password}@postgres/airflow")
    broker = _keep(ROOT / "airflow" / "broker_password", secrets.token_urlsafe(32))
    _keep(ROOT / "airflow" / "broker_url", f"redis://:{broker}@broker:6379/0")
    _keep(ROOT / "broker" / "valkey.conf", f'requirepass {broker}\nsave ""\n')
    _keep(ROOT / "airflow" / "fernet_key", base64.urlsafe_b64encode(os.urandom(32)).decode())
    _keep(ROOT / "airflow" / "jwt_secret", secrets.token_urlsafe(64))
    _keep(ROOT / "airflow" / "secret_key", secrets.token_urlsafe(32))
    _keep(ROOT / "ui" / "passwords.json", json.dumps({"admin": secrets.token_urlsafe(16)}), mode=0o600)


def _keep(path: Path, fresh: str, mode: int = 0o444) -> str:
    """What the file holds; a new file holds `fresh`, whole or not at all.

    Readable to all, because PostgreSQL reads it as a user of its own: the volume decides who sees the file.
    """
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.write_text(fresh)
        partial.chmod(mode)
        partial.replace(path)
    return path.read_text()


if __name__ == "__main__":
    main()
