"""The parts of the one-machine cloud that need no server: identities of processes, state, ports, names."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from localcloud.__main__ import main
from localcloud.aws import client_factory
from localcloud.errors import LocalCloudError
from localcloud.home import CHECKOUT, Home, Ports, State
from localcloud.images import PROMOTER_IMAGE, TRAINER_IMAGE, Image, default_images
from localcloud.ports import choose, is_open
from localcloud.processes import ProcessId, wait_until
from localcloud.stack import TEMPLATE, deploy, environment
from localcloud.surroundings import DockerEngine, Listening, Surroundings

STATE = State(
    supervisor=ProcessId(1, "10"),
    emulator=ProcessId(2, "20"),
    ports=Ports(aws=4566, smtp=2525, emulator=4567),
    configuration={"images": {}},
    outputs={"Bucket": "b"},
)


def test_output_keys_become_upper_snake_case() -> None:
    outputs = {"TaskDefinition": "a", "Bucket": "b", "LogStreamPrefix": "c"}

    assert environment(outputs) == {"MNIST_TASK_DEFINITION": "a", "MNIST_BUCKET": "b", "MNIST_LOG_STREAM_PREFIX": "c"}


def test_a_state_survives_being_written_and_read(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write_state(STATE)

    assert home.read_state() == STATE
    assert list(tmp_path.iterdir()) == [home.state_file]


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"supervisor": 1}', "\xff"])
def test_a_damaged_state_reads_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text, encoding="latin-1")

    assert Home(tmp_path).read_state() is None


def test_a_home_has_one_supervisor(tmp_path: Path) -> None:
    descriptor = Home(tmp_path).claim()

    with pytest.raises(LocalCloudError, match=f"process {os.getpid()} runs in .* `kill {os.getpid()}`"):
        Home(tmp_path).claim()

    os.close(descriptor)
    os.close(Home(tmp_path).claim())


def test_the_lock_of_a_home_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    events: list[str] = []

    def second() -> None:
        with Home(tmp_path).lock():
            events.append("second")

    with Home(tmp_path).lock():
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        events.append("first")
    thread.join()

    assert events == ["first", "second"]


def test_a_process_is_known_by_pid_and_start_time() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        identity = ProcessId.of(process.pid)
        assert identity.is_alive()
        assert not ProcessId(process.pid, "another start").is_alive()

        ProcessId(process.pid, "another start").terminate(grace_seconds=1)
        assert process.poll() is None
        identity.terminate(grace_seconds=5)

        assert not identity.is_alive()
        assert process.wait() == -15


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()

        ProcessId.of(process.pid).terminate(grace_seconds=0.2)

        assert process.wait(5) == -9


def test_no_process_has_no_identity() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()

    with pytest.raises(ProcessLookupError):
        ProcessId.of(process.pid)


def test_waiting_ends_with_the_condition_or_with_the_time() -> None:
    assert wait_until(lambda: True, 0)
    assert not wait_until(lambda: False, 0.05)


def test_ports_are_kept_when_free_and_replaced_when_taken() -> None:
    first = choose(None, Listening())
    assert choose(first, Listening()) == first
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", first.smtp))
        thief.listen()

        second = choose(first, Listening())

        assert second.aws == first.aws
        assert second.smtp != first.smtp
        assert is_open(first.smtp)
    assert not is_open(second.smtp)


def test_a_port_that_was_asked_for_is_given_or_refused_but_never_replaced(closed_port: int) -> None:
    asked = Listening(smtp_port=closed_port)
    assert choose(None, asked).smtp == closed_port
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", closed_port))
        thief.listen()

        with pytest.raises(LocalCloudError, match=f"cannot listen on 127.0.0.1:{closed_port}: Address already in use"):
            choose(None, asked)


def test_surroundings_survive_json() -> None:
    for surroundings in (Surroundings(), Surroundings(Listening("0.0.0.0", 1, 2), DockerEngine("unix:///x", "n", "e"))):
        assert Surroundings.from_dict(json.loads(json.dumps(surroundings.to_dict()))) == surroundings


def test_an_image_survives_json() -> None:
    image = Image(entrypoint=("a",), command=("b", "c"), environment={"K": "V"}, working_dir="/w")

    assert Image.from_dict(image.to_dict()) == image


def test_the_default_images_use_the_named_interpreter_whatever_it_is_called(tmp_path: Path) -> None:
    interpreter = tmp_path / "python3.12"
    interpreter.touch()

    images = default_images(interpreter)

    for name, module in ((TRAINER_IMAGE, "mnist_tasks.training"), (PROMOTER_IMAGE, "mnist_tasks.promotion")):
        assert images[name].entrypoint[:2] == (str(interpreter), "-I")
        assert f"run_module('{module}'" in images[name].entrypoint[-1]
    assert {image.environment["PATH"].split(":")[0] for image in images.values()} == {str(tmp_path)}


def test_an_empty_variable_names_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALCLOUD_PYTHON", "")
    own = CHECKOUT / ".venv" / "bin" / "python"

    if own.exists():
        assert default_images()[TRAINER_IMAGE].entrypoint[0] == str(own)
    else:
        with pytest.raises(LocalCloudError, match=f"no interpreter {own}"):
            default_images()


def test_an_address_by_which_this_machine_could_not_reach_it_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["up", "--listen", "192.0.2.1"])

    assert "invalid choice: '192.0.2.1' (choose from '127.0.0.1', '0.0.0.0')" in capsys.readouterr().err


def test_an_emulator_that_does_not_answer_is_one_clear_error(closed_port: int) -> None:
    with pytest.raises(LocalCloudError, match=f"cannot be asked to deploy .*mnist.yaml: .*127.0.0.1:{closed_port}"):
        deploy(client_factory(f"http://127.0.0.1:{closed_port}"), TEMPLATE)


def test_an_interpreter_that_does_not_exist_is_refused_with_its_name() -> None:
    with pytest.raises(LocalCloudError, match=r"no interpreter /no/such/python .* LOCALCLOUD_PYTHON"):
        default_images(Path("/no/such/python"))
