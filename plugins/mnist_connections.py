"""Where the tasks meet Airflow: connections in, plain objects of `mnist_tasks` out.

`aws_default` and `smtp_default` are ordinary Airflow connections (UI, secrets backend or `AIRFLOW_CONN_...`). Without
an `aws_default`, boto3's own chain applies: environment, profile, the role of the container or machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, Param

from mnist_tasks.config import RunConfig

if TYPE_CHECKING:
    from mnist_tasks.notify import MailServer
    from mnist_tasks.storage import Storage


def storage(bucket: str) -> Storage:
    """The bucket, through the connection `aws_default`."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from mnist_tasks.storage import Storage

    return Storage(S3Hook(aws_conn_id="aws_default").conn, bucket)


def mail_server() -> MailServer:
    """The mail server of the connection `smtp_default`.

    Extras are those of Airflow's SMTP provider: `disable_ssl` and `disable_tls` (STARTTLS), both false by default, and
    `timeout` in seconds.
    """
    from mnist_tasks.notify import MailServer

    connection = BaseHook.get_connection("smtp_default")
    extra = connection.extra_dejson
    ssl = not extra.get("disable_ssl", False)
    return MailServer(
        host=connection.host or "localhost",
        port=connection.port or (465 if ssl else 587),
        username=connection.login or None,
        password=connection.password or None,
        ssl=ssl,
        starttls=not ssl and not extra.get("disable_tls", False),
        timeout=float(extra.get("timeout", 30)),
    )


def run_form() -> dict[str, Param]:
    """The form of the Airflow UI, made from `RunConfig`: the same bounds and texts in both places."""
    fields = RunConfig.model_json_schema()["properties"]
    return {name: _param(field) for name, field in fields.items()}


def _param(field: dict[str, Any]) -> Param:
    schema = {key: value for key, value in field.items() if key != "default"}
    # JSON schema has two ways to say "or nothing"; Airflow's form understands only the list of types.
    for variant in schema.pop("anyOf", []):
        schema.update({**variant, "type": [variant["type"], "null"]} if variant["type"] != "null" else {})
    return Param(field["default"], **schema)
