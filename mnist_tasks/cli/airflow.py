"""The few calls of Airflow's REST API (v2) that a rollback takes.

https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html; a token comes from `POST /auth/token`,
as the simple auth manager and the FAB one have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from pydantic import Field, SecretStr

from mnist_tasks.config import Frozen
from mnist_tasks.errors import ConfigurationError, Conflict, MnistError, NotFoundError, TemporaryError

if TYPE_CHECKING:
    import httpx

_SECONDS = 30.0
_CREDENTIALS = "set MNIST_AIRFLOW_TOKEN, or MNIST_AIRFLOW_USER and MNIST_AIRFLOW_PASSWORD"


class Access(Frozen):
    """Where Airflow is and who asks: a token, or the user and password that give one."""

    url: str = Field(pattern=r"^https?://[^\s<>\"]+$")
    token: SecretStr | None = None
    user: str = ""
    password: SecretStr | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], url: str | None = None) -> Self:
        """Read `MNIST_AIRFLOW_URL`, `..._TOKEN`, `..._USER`, `..._PASSWORD`; `url` goes before the first one.

        Raises:
            ConfigurationError: there is no URL or no credentials for it.
        """
        own = environment.get("MNIST_AIRFLOW_URL", "").rstrip("/")
        wanted = (url or own).rstrip("/")
        if not wanted:
            raise ConfigurationError(
                "Airflow's address is not known", mend="set MNIST_AIRFLOW_URL or --airflow-url (on a laptop: make up)"
            )
        if own not in {"", wanted}:
            # A password goes to the address that it was set for, and to no other.
            raise ConfigurationError(
                f"the credentials in the environment are for {own}, not for {wanted}",
                mend="set MNIST_AIRFLOW_URL to that address, and its own token or user and password",
            )
        names = {"token": "TOKEN", "user": "USER", "password": "PASSWORD"}
        given = {key: environment.get(f"MNIST_AIRFLOW_{name}", "") for key, name in names.items()}
        if not given["token"] and not (given["user"] and given["password"]):
            raise ConfigurationError(f"there are no credentials for {wanted}", mend=_CREDENTIALS)
        return cls.checked(
            {"url": wanted, **{key: value for key, value in given.items() if value}}, mend="correct MNIST_AIRFLOW_URL"
        )


@dataclass(frozen=True)
class Airflow:
    """A deployment that has let us in."""

    client: httpx.Client
    url: str

    @classmethod
    def connect(cls, access: Access) -> Self:
        """Get a token, if there is none yet.

        Raises:
            ConfigurationError: the address is none, Airflow refuses the credentials, or this is no Airflow.
            TemporaryError: it does not answer.
        """
        import httpx

        try:
            httpx.URL(access.url).host.encode("idna")  # as the socket does it, which would not say whose name it is
            client = httpx.Client(base_url=access.url, timeout=_SECONDS)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ConfigurationError(
                f"{access.url} is no address: {error}", mend="correct MNIST_AIRFLOW_URL or --airflow-url"
            ) from error
        airflow = cls(client, access.url)
        token = access.token.get_secret_value() if access.token else ""
        if not token:
            secret = access.password.get_secret_value() if access.password else ""
            body = {"username": access.user, "password": secret}
            token = str(airflow._call("POST", "/auth/token", body).get("access_token", ""))
        airflow.client.headers["Authorization"] = f"Bearer {token}"
        return airflow

    def is_paused(self, dag_id: str) -> bool:
        """Whether runs of the DAG wait until a person switches it on."""
        return bool(self._call("GET", f"/api/v2/dags/{dag_id}")["is_paused"])

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run; returns its id."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def state(self, dag_id: str, run_id: str) -> str:
        """`queued`, `running`, `success` or `failed`."""
        return str(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")["state"])

    def cause(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """What a failed step left for the failure mail: `problem`, `mend`; empty where it could not leave anything."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/xcomEntries/failure"
        try:
            value = self._call("GET", f"{path}?deserialize=false&stringify=false")["value"]
        except NotFoundError:
            return {}
        return value if isinstance(value, dict) else {}

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        import httpx

        try:
            answer = self.client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise TemporaryError(
                f"Airflow did not answer at {self.url}: {error}",
                mend="check the address (MNIST_AIRFLOW_URL, --airflow-url) and that it is up (on a laptop: make up)",
            ) from error
        if not answer.is_success:
            raise self._refused(method, path, answer)
        content = _json(answer)
        if not isinstance(content, dict):
            raise ConfigurationError(
                f"{self.url}{path} did not answer as Airflow's REST API does", mend="check MNIST_AIRFLOW_URL"
            )
        return content

    def _refused(self, method: str, path: str, answer: httpx.Response) -> MnistError:
        content = _json(answer)
        detail = content.get("detail", "") if isinstance(content, dict) else ""
        problem = f"Airflow answered {answer.status_code} to {method} {self.url}{path.partition('?')[0]}: {detail}"
        if answer.status_code == 401:
            return ConfigurationError(problem, mend=_CREDENTIALS)
        if answer.status_code == 403:
            return ConfigurationError(problem, mend="ask for a role that may trigger this DAG")
        if answer.status_code == 404:
            return NotFoundError(problem, mend="check the address, and that the DAG is there without an import error")
        if answer.status_code == 409:
            return Conflict(problem, mend="try again")
        if answer.status_code >= 500 or answer.status_code == 429:
            return TemporaryError(problem, mend="try again later")
        return ConfigurationError(problem, mend="see the message of Airflow")


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
