"""Life and death of the one-machine cloud: processes, ports, state, and what survives a restart."""

from __future__ import annotations

import base64
import email.policy
import hashlib
import json
import mailbox
import os
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import localcloud
import localcloud.stack

Connect = Callable[[localcloud.Cloud], Callable[[str], Any]]
CHECKOUT = Path(localcloud.__file__).resolve().parents[1]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    localcloud.down(tmp_path / "home")


def state_of(home: Path) -> dict[str, Any]:
    return json.loads((home / "state.json").read_text())


def pids(home: Path) -> list[int]:
    state = state_of(home)
    return [state["supervisor"]["pid"], state["emulator"]["pid"]]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_mentioning(home: Path) -> list[str]:
    """Command lines and environments of live processes that belong to a home."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            except OSError:
                continue
            if str(home).encode() in text:
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localcloud", *arguments],
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def environment_with_broken_emulator(folder: Path, message: str) -> Path:
    """A virtual environment that has all of the servers' packages, but a ministack that ends at once."""
    server = os.environ.get("LOCALCLOUD_SERVER_PYTHON", str(CHECKOUT / ".venv-cloud/bin/python"))
    subprocess.run([server, "-m", "venv", "--without-pip", str(folder)], check=True)
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    real = subprocess.run([server, "-c", find], capture_output=True, text=True, check=True).stdout
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "real.pth").write_text(real)
    (packages / "ministack").mkdir()
    (packages / "ministack" / "__init__.py").touch()
    (packages / "ministack" / "__main__.py").write_text(f"raise SystemExit({message!r})\n")
    return folder / "bin" / "python"


def listening(pid: int) -> list[tuple[str, int]]:
    """(address, port) of each TCP socket on which a process listens, from the kernel's own table."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = link.readlink().name
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    sockets = []
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[9] in inodes and fields[3] == "0A":
                address, port = fields[1].split(":")
                # Each group of four bytes is printed as a number in the machine's (little-endian) order.
                packed = b"".join(bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8))
                sockets.append((socket.inet_ntop(family, packed), int(port, 16)))
    return sockets


def test_up_a_second_time_changes_nothing(home: Path) -> None:
    first = localcloud.up(home)
    before = pids(home)

    assert localcloud.up(home) == first
    assert pids(home) == before


def test_concurrent_starts_end_in_one_cloud(home: Path) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, "-m", "localcloud", "up", "--home", str(home)],
            cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    answers = [process.communicate(timeout=120) for process in starts]

    assert [process.returncode for process in starts] == [0, 0, 0], answers
    assert len({output for output, _ in answers}) == 1
    assert all(map(is_alive, pids(home)))
    assert len(processes_mentioning(home)) == 2


def test_only_loopback_is_listened_on(cloud: localcloud.Cloud) -> None:
    sockets = [entry for pid in pids(cloud.home) for entry in listening(pid)]

    ports = set(state_of(cloud.home)["ports"].values())
    assert {int(cloud.environment["AWS_ENDPOINT_URL"].rpartition(":")[2]), int(cloud.environment["SMTP_PORT"])} < ports
    assert {port for _, port in sockets} == ports
    assert {address for address, _ in sockets} == {"127.0.0.1"}


def test_the_runtimes_socket_and_the_home_are_closed_to_other_users(home: Path) -> None:
    localcloud.up(home)

    environment = Path(f"/proc/{state_of(home)['emulator']['pid']}/environ").read_bytes().split(b"\0")
    docker_host = next(item.decode() for item in environment if item.startswith(b"DOCKER_HOST="))
    folder = Path(docker_host.partition("unix://")[2]).parent
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, home)] == [0o700, 0o700]
    localcloud.down(home)
    assert not folder.exists()


def test_down_leaves_no_process_and_status_says_so(home: Path) -> None:
    localcloud.up(home)
    assert localcloud.status(home).running

    localcloud.down(home)

    assert processes_mentioning(home) == []
    status = localcloud.status(home)
    assert not status.running
    assert set(status.parts.values()) == {"not running"}
    localcloud.down(home)  # again, without complaint


def test_objects_keys_and_stack_survive_a_restart(home: Path, connect: Connect) -> None:
    cloud = localcloud.up(home)
    bucket, key = cloud.environment["MNIST_BUCKET"], cloud.environment["MNIST_CHECKPOINT_KEY"]
    aws = connect(cloud)
    put = aws("s3").put_object(
        Bucket=bucket, Key="a/b", Body=b"kept", Metadata={"m": "1"}, Tagging="stage=x", ChecksumAlgorithm="SHA256"
    )
    secret = aws("kms").encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext={"k": "v"})["CiphertextBlob"]

    localcloud.down(home)
    again = localcloud.up(home)

    assert again.environment == cloud.environment
    aws = connect(again)
    got = aws("s3").get_object(Bucket=bucket, Key="a/b", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"kept"
    assert (got["ETag"], got["VersionId"]) == (put["ETag"], put["VersionId"])
    assert got["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"kept").digest()).decode()
    assert got["Metadata"] == {"m": "1"}
    assert aws("s3").get_object_tagging(Bucket=bucket, Key="a/b")["TagSet"] == [{"Key": "stage", "Value": "x"}]
    assert aws("kms").decrypt(CiphertextBlob=secret, EncryptionContext={"k": "v"})["Plaintext"] == b"secret"


@pytest.mark.parametrize("part", ["supervisor", "emulator"])
def test_a_killed_part_is_noticed_and_the_next_start_mends_it_with_all_data(
    home: Path, connect: Connect, part: str
) -> None:
    cloud = localcloud.up(home)
    bucket, key = cloud.environment["MNIST_BUCKET"], cloud.environment["MNIST_CHECKPOINT_KEY"]
    connect(cloud)("s3").put_object(Bucket=bucket, Key="a", Body=b"kept")
    secret = connect(cloud)("kms").encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    before = pids(home)

    os.kill(state_of(home)[part]["pid"], signal.SIGKILL)

    deadline = time.monotonic() + 30
    while localcloud.status(home).running or any(map(is_alive, before)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    again = localcloud.up(home)
    assert again.environment == cloud.environment
    assert connect(again)("s3").get_object(Bucket=bucket, Key="a")["Body"].read() == b"kept"
    assert connect(again)("kms").decrypt(CiphertextBlob=secret)["Plaintext"] == b"secret"


def test_a_port_that_is_taken_at_a_restart_is_replaced(home: Path) -> None:
    localcloud.up(home)
    before = state_of(home)["ports"]
    localcloud.down(home)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", before["aws"]))
        thief.listen()

        cloud = localcloud.up(home)

        assert state_of(home)["ports"]["aws"] != before["aws"]
        assert state_of(home)["ports"]["smtp"] == before["smtp"]
        assert cloud.environment["AWS_ENDPOINT_URL"].endswith(str(state_of(home)["ports"]["aws"]))


def test_a_pid_that_was_given_to_another_process_is_left_alone(home: Path) -> None:
    localcloud.up(home)
    state = state_of(home)
    localcloud.down(home)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        state["supervisor"]["pid"] = state["emulator"]["pid"] = stranger.pid
        (home / "state.json").write_text(json.dumps(state))

        assert not localcloud.status(home).running
        localcloud.down(home)

        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"supervisor": {"pid": 1}}'])
def test_a_damaged_state_file_of_a_stopped_cloud_is_written_anew(home: Path, text: str) -> None:
    home.mkdir()
    (home / "state.json").write_text(text)
    assert not localcloud.status(home).running

    localcloud.up(home)

    assert localcloud.status(home).running


def test_a_damaged_state_file_of_a_running_cloud_is_one_clear_error(home: Path) -> None:
    localcloud.up(home)
    good = (home / "state.json").read_text()
    (home / "state.json").write_text("{")

    answer = run("up", "--home", str(home))

    assert answer.returncode == 1
    pid = json.loads(good)["supervisor"]["pid"]
    assert f"process {pid} runs in {home} already" in answer.stderr.splitlines()[0]
    assert f"kill {pid}" in answer.stderr.splitlines()[0]
    assert answer.stdout == ""
    (home / "state.json").write_text(good)
    assert localcloud.status(home).running


def test_a_missing_emulator_is_one_clear_error_and_leaves_nothing_running(home: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)

    answer = run("up", "--home", str(home), LOCALCLOUD_SERVER_PYTHON=str(tmp_path / "bare/bin/python"))

    assert answer.returncode == 1
    assert f"localcloud: {tmp_path / 'bare/bin/python'} lacks ministack, docker, aiosmtpd, botocore" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert processes_mentioning(home) == []


def test_an_emulator_that_dies_at_its_start_is_reported_with_the_end_of_its_log(home: Path, tmp_path: Path) -> None:
    python = environment_with_broken_emulator(tmp_path / "broken", message="no luck today")

    answer = run("up", "--home", str(home), LOCALCLOUD_SERVER_PYTHON=str(python))

    assert answer.returncode == 1
    assert "the AWS emulator ended with exit code 1 while starting" in answer.stderr.splitlines()[0]
    assert "no luck today" in answer.stderr
    assert processes_mentioning(home) == []
    assert not localcloud.status(home).running


def test_a_template_that_is_refused_is_one_clear_error_and_leaves_nothing_running(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "bad.yaml"
    template.write_text("Resources: {Odd: {Type: 'AWS::No::Such'}}")
    monkeypatch.setattr(localcloud.stack, "TEMPLATE", template)

    with pytest.raises(localcloud.LocalCloudError, match="AWS::No::Such"):
        localcloud.up(home)

    assert processes_mentioning(home) == []


def test_a_first_deployment_that_is_interrupted_leaves_nothing_running_and_the_next_one_makes_up_for_it(
    home: Path, connect: Connect
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(localcloud.stack, "_wait_settled", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            localcloud.up(home)

    assert not localcloud.status(home).running
    assert processes_mentioning(home) == []
    cloud = localcloud.up(home)
    locked = connect(cloud)("s3").get_object_lock_configuration(Bucket=cloud.environment["MNIST_BUCKET"])
    assert locked["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}


def test_a_changed_template_updates_the_stack_and_keeps_the_objects(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    cloud = localcloud.up(home)
    connect(cloud)("s3").put_object(Bucket=cloud.environment["MNIST_BUCKET"], Key="a", Body=b"kept")
    template = tmp_path / "changed.yaml"
    text = localcloud.stack.TEMPLATE.read_text()
    template.write_text(text.replace("StopTimeout: 120", "StopTimeout: 60") + "  Added:\n    Value: yes it is\n")
    monkeypatch.setattr(localcloud.stack, "TEMPLATE", template)

    changed = localcloud.up(home)

    assert changed.environment == {**cloud.environment, "MNIST_ADDED": "yes it is"}
    family = changed.environment["MNIST_TASK_DEFINITION"]
    definition = connect(changed)("ecs").describe_task_definition(taskDefinition=family)["taskDefinition"]
    assert definition["containerDefinitions"][0]["stopTimeout"] == 60
    body = connect(changed)("s3").get_object(Bucket=changed.environment["MNIST_BUCKET"], Key="a")["Body"]
    assert body.read() == b"kept"


@pytest.mark.parametrize("variable", ["LOCALCLOUD_PYTHON", "LOCALCLOUD_SERVER_PYTHON"])
def test_an_interpreter_that_does_not_exist_is_one_clear_error(home: Path, variable: str) -> None:
    answer = run("up", "--home", str(home), **{variable: "/no/such/python"})

    assert answer.returncode == 1
    assert "/no/such/python" in answer.stderr
    assert variable in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_home_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    answer = run("up", "--home", str(tmp_path / "file" / "home"))

    assert answer.returncode == 1
    assert "choose another with --home" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_the_command_line_speaks_key_value_and_json(home: Path) -> None:
    before = run("env", "--home", str(home))
    assert before.returncode == 1
    assert "python -m localcloud up" in before.stderr

    started = run("up", "--home", str(home))

    variables = dict(line.split("=", 1) for line in started.stdout.splitlines())
    assert started.returncode == 0, started.stderr
    assert json.loads(run("env", "--home", str(home), "--json").stdout) == variables
    assert dict(localcloud.current(home).environment) == variables
    assert json.loads(run("status", "--home", str(home), "--json").stdout)["running"] is True
    assert run("down", "--home", str(home)).returncode == 0
    assert run("status", "--home", str(home)).returncode == 1


def test_other_images_restart_the_cloud_with_them(home: Path) -> None:
    localcloud.up(home)
    before = pids(home)

    localcloud.up(home, images={"only:this": localcloud.Image(command=("true",))})

    assert set(pids(home)).isdisjoint(before)
    assert list(state_of(home)["configuration"]["images"]) == ["only:this"]
    assert not any(map(is_alive, before))


def test_a_warm_start_takes_seconds(home: Path) -> None:
    """The best of three: a busy machine slows some of them down, and a slow start would be slow each time."""
    localcloud.up(home)
    seconds = []
    for _ in range(3):
        localcloud.down(home)
        started = time.monotonic()
        localcloud.up(home)
        seconds.append(time.monotonic() - started)

    assert min(seconds) < 10  # 1.4 s on a quiet machine


def test_every_output_of_the_stack_is_a_variable(cloud: localcloud.Cloud) -> None:
    environment = cloud.environment

    assert environment["MNIST_BUCKET"] == "contract-management-bucket-bkvww1ps"
    assert environment["MNIST_TASK_DEFINITION"] == "mnist-trainer"
    assert {
        "MNIST_CLUSTER",
        "MNIST_CONTAINER_NAME",
        "MNIST_LOG_GROUP",
        "MNIST_LOG_STREAM_PREFIX",
        "MNIST_CHECKPOINT_KEY",
        "MNIST_FINAL_KEY",
    } <= set(environment)


def test_the_bucket_is_versioned_and_private(aws: Callable[[str], Any], cloud: localcloud.Cloud) -> None:
    bucket, s3 = cloud.environment["MNIST_BUCKET"], aws("s3")

    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert "OnlyThePromoterDecides" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == {
        "ObjectLockEnabled": "Enabled"
    }


def test_conditional_puts_have_one_winner(aws: Callable[[str], Any], cloud: localcloud.Cloud) -> None:
    bucket, s3 = cloud.environment["MNIST_BUCKET"], aws("s3")
    first = s3.put_object(Bucket=bucket, Key="claim", Body=b"mine", IfNoneMatch="*")

    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="claim", Body=b"yours", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="claim", Body=b"yours", IfMatch='"0"')
    s3.put_object(Bucket=bucket, Key="claim", Body=b"mine again", IfMatch=first["ETag"])

    assert s3.get_object(Bucket=bucket, Key="claim")["Body"].read() == b"mine again"


def test_mail_arrives_whole_in_the_maildir(cloud: localcloud.Cloud) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "from@example.com", "to@example.com", "Grüße ✓"
    message.set_content("Ein Satz mit Ümlaut.\n.\nand a lonely dot\n")
    message.add_alternative("<p>two</p>", subtype="html")
    message.add_attachment(bytes(range(256)) * 8192, maintype="image", subtype="png", filename="plot.png")
    with smtplib.SMTP(cloud.environment["SMTP_HOST"], int(cloud.environment["SMTP_PORT"]), timeout=10) as smtp:
        smtp.send_message(message)

    received = [
        email.message_from_bytes(raw.as_bytes(), policy=email.policy.default)
        for raw in mailbox.Maildir(cloud.maildir, create=False)
        if "Subject" in raw
    ]
    (got,) = [mail for mail in received if mail["Subject"] == "Grüße ✓"]
    assert got.get_body(("plain",)).get_content() == "Ein Satz mit Ümlaut.\n.\nand a lonely dot\n"
    (attachment,) = got.iter_attachments()
    assert attachment.get_content() == bytes(range(256)) * 8192
