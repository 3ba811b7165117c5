"""Who is let in at Airflow, and what its refusals mean. The real one is asked in tests/e2e."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mnist_tasks.cli.airflow import Access, Airflow
from mnist_tasks.errors import ConfigurationError, Conflict, NotFoundError, TemporaryError

URL = "https://airflow.example.com"
OWN = {"MNIST_AIRFLOW_URL": URL, "MNIST_AIRFLOW_USER": "admin", "MNIST_AIRFLOW_PASSWORD": "hunter22"}


def test_user_and_password_come_from_the_environment_and_are_not_shown():
    access = Access.from_environment(OWN)

    assert (access.url, access.user, access.password.get_secret_value()) == (URL, "admin", "hunter22")
    assert "hunter22" not in repr(access)


def test_a_token_is_enough():
    access = Access.from_environment({"MNIST_AIRFLOW_URL": f"{URL}/", "MNIST_AIRFLOW_TOKEN": "t"})

    assert (access.url, access.token.get_secret_value()) == (URL, "t")


def test_without_an_address_it_says_where_one_comes_from():
    with pytest.raises(ConfigurationError, match="address is not known") as caught:
        Access.from_environment({})
    assert "make up" in caught.value.mend


@pytest.mark.parametrize("missing", ["MNIST_AIRFLOW_USER", "MNIST_AIRFLOW_PASSWORD"])
def test_half_of_the_credentials_are_none(missing):
    with pytest.raises(ConfigurationError, match=f"no credentials for {URL}"):
        Access.from_environment(OWN | {missing: ""})


def test_a_password_goes_to_no_other_address_than_its_own():
    with pytest.raises(ConfigurationError, match=f"are for {URL}, not for https://elsewhere"):
        Access.from_environment(OWN, "https://elsewhere.example.com")
    assert Access.from_environment({**OWN, "MNIST_AIRFLOW_URL": ""}, URL).url == URL
    assert Access.from_environment(OWN, f"{URL}/").url == URL


def test_what_is_no_address_is_refused_without_showing_secrets():
    with pytest.raises(ConfigurationError, match="url") as caught:
        Access.from_environment(OWN | {"MNIST_AIRFLOW_URL": "airflow"})
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:abc", "http://[::1", "http://."])
def test_an_address_that_nobody_can_have_is_refused(url):
    access = Access.from_environment({"MNIST_AIRFLOW_TOKEN": "t"}, url)

    with pytest.raises(ConfigurationError, match="is no address") as caught:
        Airflow.connect(access)
    assert "--airflow-url" in caught.value.mend


@contextmanager
def answering(status, body):
    """A server that has one answer to everything but the request for a token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(status, body)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(201, b'{"access_token": "t"}') if self.path == "/auth/token" else self.do_GET()

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ConfigurationError),
        (403, ConfigurationError),
        (404, NotFoundError),
        (409, Conflict),
        (422, ConfigurationError),
        (429, TemporaryError),
        (503, TemporaryError),
    ],
)
def test_a_refusal_is_told_with_airflows_own_words(status, kind):
    detail = json.dumps({"detail": "because of that"}).encode()
    with answering(status, detail) as url:
        airflow = Airflow.connect(Access.from_environment(OWN | {"MNIST_AIRFLOW_URL": url}))
        with pytest.raises(kind, match=f"answered {status} to POST .*: because of that"):
            airflow.trigger("mnist_rollback", {})


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"[]", b""])
def test_another_server_is_not_taken_for_airflow(body):
    with answering(200, body) as url:
        airflow = Airflow.connect(Access.from_environment(OWN | {"MNIST_AIRFLOW_URL": url}))
        with pytest.raises(ConfigurationError, match="did not answer as Airflow's REST API does"):
            airflow.is_paused("mnist_rollback")


def test_a_failed_step_that_left_no_cause_has_none():
    with answering(404, b'{"detail": "no such XCom"}') as url:
        airflow = Airflow.connect(Access.from_environment({"MNIST_AIRFLOW_URL": url, "MNIST_AIRFLOW_TOKEN": "t"}))

        assert airflow.cause("mnist_rollback", "manual__1", "rollback") == {}


def test_where_nothing_answers_it_says_what_to_start(closed_port):
    access = Access.from_environment(OWN | {"MNIST_AIRFLOW_URL": f"http://127.0.0.1:{closed_port}"})

    with pytest.raises(TemporaryError, match=f"did not answer at http://127.0.0.1:{closed_port}") as caught:
        Airflow.connect(access)
    assert "make up" in caught.value.mend
