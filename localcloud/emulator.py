"""ministack as a child process: its settings, its start, and when it is ready."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
from pathlib import Path

from localcloud.errors import LocalCloudError
from localcloud.home import Home, Ports
from localcloud.processes import die_with_parent, wait_until
from localcloud.runtime.routes import EMULATOR_HOSTNAME

START_SECONDS = 60.0
# What the template and the pipeline use. The rest stays off: Lambda, for one, would run whatever code a request brings.
SERVICES = "s3,kms,iam,sts,ecs,logs,monitoring,cloudformation,ses,sns,sqs,events,ecr,ec2"
# An ECS StopTask holds its Docker request open while the container ends and its last words are fetched: longer than
# Fargate's longest stop timeout and the patience with the output.
_DOCKER_SECONDS = 180


def start(home: Home, ports: Ports, docker_socket: Path) -> subprocess.Popen[bytes]:
    """Start the emulator. Call it from a thread that lives as long as the process (see `die_with_parent`)."""
    with home.log("ministack").open("ab") as log:
        return subprocess.Popen(
            # Without -P, folders in the working directory could be taken for Python packages.
            [sys.executable, "-P", "-m", "ministack"],
            env=_environment(home, ports, docker_socket),
            cwd=home.emulator,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # SIGTERM, not SIGKILL: it writes its state before it ends.
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509
        )


def wait_ready(process: subprocess.Popen[bytes], ports: Ports) -> None:
    """Return once it answers. Raises LocalCloudError when it ends or stays silent."""
    # Not the whole patience at once: it is asked again until the time is up.
    answered = wait_until(lambda: process.poll() is not None or is_healthy(ports.emulator, seconds=5), START_SECONDS)
    if process.poll() is not None:
        raise LocalCloudError(f"the AWS emulator ended with exit code {process.returncode} while starting")
    if not answered:
        raise LocalCloudError(f"the AWS emulator did not answer on port {ports.emulator} within {START_SECONDS:.0f} s")


def is_healthy(port: int, seconds: float = 30) -> bool:
    """Whether an emulator answers its health check there, and with a silence of no more than so many seconds.

    The patience is for a busy machine: what seems dead is restarted. Where nothing listens, it takes no time.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _environment(home: Home, ports: Ports, docker_socket: Path) -> dict[str, str]:
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(ports.emulator),
        "SERVICES": SERVICES,
        # Their listeners would be open to every network interface.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # Signatures are checked, and what a caller may do.
        "AUTH": "true",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home.emulator / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home.emulator / "s3"),
        "SMTP_HOST": f"127.0.0.1:{ports.smtp}",
        "DOCKER_HOST": f"unix://{docker_socket}",
        "MINISTACK_DOCKER_TIMEOUT": str(_DOCKER_SECONDS),
        "HOSTNAME": EMULATOR_HOSTNAME,
        "HOME": str(home.emulator),
        "TMPDIR": str(home.emulator),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }
