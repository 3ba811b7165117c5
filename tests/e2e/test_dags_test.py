"""`airflow dags test`: the way through CI, from the download to the mail, and each way to fail."""

import json
import re
from datetime import datetime

import pytest

NAME = r"mnist_model_\d{8}_\d{6}"
GREEN = {
    "download": ["success"],
    "validate": ["success"],
    "plan": ["success"],
    "train": ["success", "success"],
    "pick_best": ["success"],
    "approve": ["skipped"],
    "promote": ["success"],
    "report": ["success"],
    "email_report": ["success"],
    "email_failure": ["skipped"],
}


@pytest.fixture(scope="module")
def first(pipeline):
    """The first run in a fresh bucket, with the specification's defaults and nothing else."""
    return pipeline.run()


@pytest.fixture(scope="module")
def keys_after_first(pipeline, first):
    return pipeline.all_keys()


def test_the_run_is_green_from_download_to_mail(first):
    assert first.status == 0, first.log[-3000:]
    assert first.state == "success"
    assert first.steps == GREEN


def test_the_s3_keys_are_exactly_the_designs(pipeline, first, keys_after_first):
    slug = re.escape(first.slug)
    design = [
        r"datasets/mnist/[0-9a-f]{64}/mnist\.npz",
        r"datasets/mnist/accepted\.json",
        rf"checkpoints/{NAME}(_final)?/(weights|metrics\.json|manifest\.json)",
        rf"checkpoints/{NAME}_final/decision\.json",
        r"checkpoints/champion\.json",
        r"decisions/(\d{8}|head)\.json",
        rf"runs/{slug}/[a-z0-9_./-]+",
        rf"runs/names/{NAME}",
    ]

    assert {key for key in keys_after_first if not any(re.fullmatch(form, key) for form in design)} == set()


def test_two_candidates_and_one_final_are_whole(keys_after_first):
    manifests = [key for key in keys_after_first if key.endswith("/manifest.json")]
    finals = [key for key in manifests if "_final/" in key]

    assert (len(manifests), len(finals)) == (3, 1)
    for manifest in manifests:
        folder = manifest.removesuffix("manifest.json")
        assert {folder + "weights", folder + "metrics.json"} <= keys_after_first


def test_the_model_reaches_the_specifications_accuracy_on_the_test_images(pipeline, first):
    (decision,) = pipeline.decisions()

    assert decision["outcome"] == "released"
    assert decision["evaluation"]["images"] == 10_000
    assert decision["evaluation"]["accuracy"] >= 0.975


def test_the_manifest_names_the_models_size_and_the_job_that_made_it(pipeline, first):
    champion = pipeline.storage.get("checkpoints/champion.json").json()
    manifest = pipeline.storage.get(f"checkpoints/{champion['name']}/manifest.json").json()

    assert manifest["parameters"] == 101_770
    assert (manifest["job"]["epochs"], manifest["job"]["batch_size"]) == (10, 32)
    assert manifest["run"] == first.slug


def test_candidates_expire_by_their_tag_and_finals_never(pipeline, first, keys_after_first):
    tags = {
        key: pipeline.storage.client.get_object_tagging(Bucket=pipeline.storage.bucket, Key=key)["TagSet"]
        for key in keys_after_first
        if key.startswith("checkpoints/mnist_model_")
    }

    expiring = {key for key, found in tags.items() if found == [{"Key": "stage", "Value": "candidate"}]}
    assert expiring == {key for key in tags if "_final/" not in key}


def test_the_report_is_mailed_once_with_its_plots_inline(pipeline, first):
    (mail,) = pipeline.mails(first.slug)

    assert "promoted and released" in mail["Subject"]
    assert re.search(r"\d\d\.\d\d%", mail["Subject"])
    assert mail.get_body(("plain",)) is not None
    html = mail.get_body(("html",)).get_content()
    images = {part["Content-ID"].strip("<>") for part in mail.walk() if part.get_content_type() == "image/png"}
    assert images
    assert {cid for cid in images if f"cid:{cid}" not in html} == set()


def test_the_report_is_one_self_contained_page(pipeline, first):
    html = pipeline.storage.get(f"runs/{first.slug}/report.html").body.decode()

    assert not re.search(r"""(src|href)=["']https?://""", html)
    assert "101,770" in html


def test_what_the_container_prints_stands_in_the_task_log_while_it_runs(first):
    """Airflow had logged the first epoch before the container ended the last one."""
    assert re.search(r"epoch +1/10 +batch 1 ", first.log)
    line = r"^(\S+)Z \[info +\] \[(\d{4}-\d\d-\d\d) ([\d:]+),(\d+)\] epoch +%s/10 "
    logged = datetime.fromisoformat(re.search(line % 1, first.log, re.MULTILINE)[1])
    _, day, second, milliseconds = re.search(line % 10, first.log, re.MULTILINE).groups()

    assert logged < datetime.fromisoformat(f"{day}T{second}.{milliseconds}")
    assert '"event": ' not in first.log, "people read sentences; the JSON stays in CloudWatch"


def test_the_promoter_has_told_cloudwatch_what_its_alarms_wait_for(pipeline, first):
    group = pipeline.laptop.cloud.environment["MNIST_LOG_GROUP"]
    logs = pipeline.client("logs")
    streams = [s["logStreamName"] for s in logs.describe_log_streams(logGroupName=group)["logStreams"]]
    told = [
        json.loads(event["message"])
        for stream in streams
        if stream.startswith("promoter/promoter/")
        for event in logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]
    ]

    (decided,) = (event for event in told if event["event"] == "decided" and event["run"] == first.slug)
    assert (decided["outcome"], decided["promoted"], decided["released"], decided["action"]) == (
        "released",
        1,
        1,
        "promote",
    )
    assert {metric["Name"] for metric in decided["_aws"]["CloudWatchMetrics"][0]["Metrics"]} >= {"test_accuracy"}


@pytest.fixture(scope="module")
def second(pipeline, keys_after_first):
    """A later run: one candidate, no seed given."""
    return pipeline.run({"candidates": 1})


def weights_of(pipeline, outcome):
    """The hashes of what a run's candidates' weights decrypt to, in the order of its plan."""
    jobs = pipeline.storage.get(f"runs/{outcome.slug}/plan.json").json()["jobs"]
    manifests = [pipeline.storage.get(f"checkpoints/{job['candidate']}/manifest.json").json() for job in jobs]
    return [manifest["weights"]["plaintext_sha256"] for manifest in manifests]


def test_a_later_run_makes_new_candidates_a_new_final_and_a_new_decision(pipeline, keys_after_first, second):
    new = pipeline.all_keys() - keys_after_first

    assert second.status == 0, second.log[-3000:]
    assert len([key for key in new if re.fullmatch(rf"checkpoints/{NAME}/manifest\.json", key)]) == 1
    assert len([key for key in new if re.fullmatch(rf"checkpoints/{NAME}_final/manifest\.json", key)]) == 1
    assert len([key for key in new if re.fullmatch(r"decisions/\d{8}\.json", key)]) == 1
    assert f"runs/{second.slug}/report.html" in new


def test_every_run_draws_another_seed(pipeline, first, second):
    assert weights_of(pipeline, second)[0] not in weights_of(pipeline, first)


def test_the_recorded_seed_repeats_a_run_to_the_bit(pipeline, first, second):
    seed = pipeline.storage.get(f"runs/{first.slug}/plan.json").json()["seed"]

    again = pipeline.run({"seed": seed})

    assert again.status == 0, again.log[-3000:]
    assert weights_of(pipeline, again) == weights_of(pipeline, first)


def test_a_rollback_puts_an_earlier_final_back_and_mails_why(pipeline, first, second):
    finals = sorted({key.split("/")[1] for key in pipeline.all_keys() if re.match(rf"checkpoints/{NAME}_final/", key)})
    champion = pipeline.storage.get("checkpoints/champion.json").json()["name"]
    target = next(name for name in finals if name != champion)

    outcome = pipeline.run({"to": target, "reason": "the end-to-end test wants it"}, dag_id="mnist_rollback")

    assert outcome.status == 0, outcome.log[-3000:]
    assert pipeline.storage.get("checkpoints/champion.json").json()["name"] == target
    record = pipeline.decisions()[-1]
    assert (record["kind"], record["champion_before"], record["champion"]["name"]) == ("rollback", champion, target)
    (mail,) = pipeline.mails(outcome.slug)
    assert target in mail.get_body(("plain",)).get_content()
    assert "the end-to-end test wants it" in mail.get_body(("plain",)).get_content()


def test_aws_is_reached_through_the_connection_where_the_environment_says_nothing(pipeline, first):
    """The worker, the ECS operator and its log reader; the containers get their own credentials from their role."""
    aws = pipeline.laptop.cloud.client_arguments
    connection = {
        "conn_type": "aws",
        "login": aws["aws_access_key_id"],
        "password": aws["aws_secret_access_key"],
        "extra": {"region_name": aws["region_name"], "endpoint_url": aws["endpoint_url"]},
    }
    silence = dict.fromkeys(
        ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"), ""
    )

    outcome = pipeline.run({"candidates": 1}, AIRFLOW_CONN_AWS_DEFAULT=json.dumps(connection), **silence)

    assert outcome.status == 0, outcome.log[-3000:]
    assert re.search(r"epoch +10/10", outcome.log)


def test_the_sweep_stops_the_task_that_an_ended_run_left_and_no_other(pipeline, first, task_definition):
    ecs, cluster = pipeline.client("ecs"), pipeline.laptop.cloud.environment["MNIST_CLUSTER"]
    family = task_definition("python:3.11-slim", ["sleep", "600"])

    def start(slug):
        tags = [{"key": "mnist-run", "value": slug}, {"key": "mnist-job", "value": f"of {slug}"}]
        return ecs.run_task(cluster=cluster, taskDefinition=family, tags=tags)["tasks"][0]["taskArn"]

    left, foreign = start(first.slug), start("a-run-of-another-airflow")
    outcome = pipeline.run(dag_id="mnist_sweep", MNIST_TASK_DEFINITION=family)

    assert outcome.status == 0, outcome.log[-3000:]
    running = ecs.list_tasks(cluster=cluster, family=family, desiredStatus="RUNNING")["taskArns"]
    ecs.stop_task(cluster=cluster, task=foreign, reason="the test is over")
    assert running == [foreign]
    (stopped,) = ecs.describe_tasks(cluster=cluster, tasks=[left])["tasks"]
    assert stopped["stoppedReason"] == f"leftover: run {first.slug} is over"


def test_a_run_that_asks_a_person_is_refused_by_dags_test_and_does_not_hang(pipeline, first):
    """Nobody would apply its time-out there."""
    outcome = pipeline.run({"candidates": 1, "epochs": 1, "approval_hours": 1})

    assert (outcome.status != 0, outcome.steps["approve"], outcome.steps["promote"]) == (
        True,
        ["failed"],
        ["upstream_failed"],
    )
    assert "cannot wait for a person's approval" in outcome.log
