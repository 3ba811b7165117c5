"""The ECS actions in which the emulator differs from AWS: RunTask, StopTask, DescribeTasks and ListTasks.

RunTask honours `clientToken` as https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html says.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from localcloud.aws import ACCOUNT, REGION
from localcloud.front.descriptions import STOPPED, describe, describe_retry
from localcloud.front.emulator import TARGET, EmulatorEcs
from localcloud.front.faults import NO_CAPACITY, SPOT, SPOT_INTERRUPTION, Capacity
from localcloud.front.http import Answer, Head
from localcloud.front.ledger import Ledger
from localcloud.front.records import RunRecord, TokenKey, fingerprint

_log = logging.getLogger(__name__)

_CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]+/([^/]+)/")
_TOKEN = re.compile(r"[!-~]{1,64}")

Request = Mapping[str, Any]


@dataclass(frozen=True)
class Caller:
    """Whose resources a request is about. As the emulator does it, an access key of 12 digits names the account.

    `ask` passes his own request on, as he has signed it: the emulator checks the signature, and whether he may.
    """

    account: str
    region: str
    ask: Callable[[], Answer] = field(repr=False)

    @classmethod
    def of(cls, head: Head, ask: Callable[[], Answer]) -> Caller:
        """The caller by the request's signature."""
        match = _CREDENTIAL.search(head.headers.get("authorization", ""))
        if not match:
            return cls(ACCOUNT, REGION, ask)
        key, region = match.groups()
        return cls(key if re.fullmatch(r"\d{12}", key) else ACCOUNT, region, ask)


class Ecs:
    """Answers what concerns tasks, from the emulator and the ledger."""

    def __init__(self, emulator: EmulatorEcs, ledger: Ledger, has_processes: Callable[[str], bool]) -> None:
        """`has_processes` says of a task, by its ARN, whether a container of it runs or has output to be fetched."""
        self._emulator = emulator
        self._ledger = ledger
        self._has_processes = has_processes
        self._capacity = Capacity()

    def pick(self, head: Head) -> Callable[[bytes], Answer] | None:
        """What answers this request in the emulator's place, or None."""
        controls: dict[str, Callable[[Request], Answer]] = {
            "/_localcloud/capacity": self._capacity.plan,
            "/_localcloud/spot-interruption": self._interrupt,
        }
        if control := controls.get(head.path):
            return lambda body: _answer(control, body)
        actions: dict[str, Callable[[Request, Caller], Answer]] = {
            f"{TARGET}RunTask": self._run,
            f"{TARGET}StopTask": self._stop,
            f"{TARGET}DescribeTasks": self._describe,
            f"{TARGET}ListTasks": self._list,
        }
        action = actions.get(head.headers.get("x-amz-target", ""))
        if action is None:
            return None

        def answer(body: bytes) -> Answer:
            caller = Caller.of(head, lambda: self._emulator.hand_on(head, body))
            return _answer(lambda request: action(request, caller), body)

        return answer

    def _run(self, request: Request, caller: Caller) -> Answer:
        token = request.get("clientToken") or uuid.uuid4().hex
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            return _error("InvalidParameterException", "clientToken: up to 64 ASCII characters in the range of 33-126")
        key = TokenKey(caller.account, caller.region, _cluster(request), token)
        with self._ledger.lock(key):
            run = self._ledger.find(key)
            seen = self._look(run) if run else {}
            run = self._ledger.find(key)
            if run and run.token_counts(self._ledger.now()):
                return self._retry(run, request, seen)
            return self._start(key, request, caller)

    def _start(self, key: TokenKey, request: Request, caller: Caller) -> Answer:
        if self._capacity.is_missing(request):
            return Answer(HTTPStatus.OK, {"tasks": [], "failures": [{"reason": NO_CAPACITY}]})
        answer = caller.ask()
        if answer.status == HTTPStatus.OK and answer.value["tasks"]:
            self._ledger.add(key, fingerprint(request), answer.value["tasks"])
        return answer

    def _retry(self, run: RunRecord, request: Request, seen: Mapping[str, Request]) -> Answer:
        if run.fingerprint != fingerprint(request):
            return _error(
                "ConflictException",
                "The clientToken was used by a RunTask with other parameters.",
                resourceIds=[task.arn for task in run.tasks],
            )
        tasks = [describe_retry(task, seen.get(task.arn)) for task in run.tasks]
        return Answer(HTTPStatus.OK, {"tasks": tasks, "failures": []})

    def _describe(self, request: Request, caller: Caller) -> Answer:
        answer = caller.ask()
        if answer.status != HTTPStatus.OK:
            return answer
        self._observe(seen := {task["taskArn"]: task for task in answer.value["tasks"]})
        found, missing = [], []
        for reference in request.get("tasks", []):
            arn = _arn(reference, _cluster(request), caller)
            if self._is_there(arn, _cluster(request)) and (arn in seen or self._ledger.task(arn).stopped_at):
                found.append(describe(self._ledger.task(arn), seen.get(arn)))
            else:
                missing.append({"arn": arn, "reason": "MISSING"})
        return Answer(HTTPStatus.OK, {"tasks": found, "failures": missing})

    def _list(self, request: Request, caller: Caller) -> Answer:
        answer = caller.ask()
        if answer.status == HTTPStatus.OK:
            # What ran when the emulator was restarted it lists as RUNNING for ever.
            is_listed = self._ledger.knows if request.get("desiredStatus") == STOPPED else self._ledger.is_wanted
            answer.value["taskArns"] = [arn for arn in answer.value["taskArns"] if is_listed(arn)]
        return answer

    def _stop(self, request: Request, caller: Caller) -> Answer:
        arn = _arn(request.get("task", ""), _cluster(request), caller)
        if not self._is_there(arn, _cluster(request)):
            return _error("InvalidParameterException", "The referenced task was not found.")
        return self._end(arn, "UserInitiated", request.get("reason") or "Task stopped by user")

    def _interrupt(self, request: Request) -> Answer:
        arn = request.get("task", "")
        if not self._ledger.knows(arn):
            return Answer(HTTPStatus.NOT_FOUND, {"message": f"{arn!r}: expected the ARN of a task"})
        provider = self._ledger.task(arn).description.get("capacityProviderName")
        if provider != SPOT:
            message = f"the task runs on {provider or 'a launch type'}: only {SPOT} is interrupted"
            return Answer(HTTPStatus.BAD_REQUEST, {"message": message})
        return self._end(arn, *SPOT_INTERRUPTION)

    def _end(self, arn: str, code: str, reason: str) -> Answer:
        """Stop a task without waiting for its containers."""
        seen = self._look_at([arn])
        if self._ledger.is_wanted(arn):
            self._ledger.note_stop(arn, code, reason)
            threading.Thread(target=self._stop_containers, args=(arn,), name="front-stop", daemon=True).start()
        return Answer(HTTPStatus.OK, {"task": describe(self._ledger.task(arn), seen.get(arn))})

    def _stop_containers(self, arn: str) -> None:
        # Returns when they have ended.
        answer = self._emulator.call("StopTask", _reference(arn), *_owner(arn))
        if answer.status != HTTPStatus.OK:
            _log.warning("StopTask of %s: %s", arn, answer.value)
        self._look_at([arn])

    def _is_there(self, arn: str, cluster: str) -> bool:
        return self._ledger.knows(arn) and _reference(arn)["cluster"] == cluster

    def _look(self, run: RunRecord) -> dict[str, Request]:
        return self._look_at([task.arn for task in run.tasks])

    def _look_at(self, arns: list[str]) -> dict[str, Request]:
        """The emulator's descriptions by ARN, of tasks of one cluster."""
        request = {"cluster": _reference(arns[0])["cluster"], "tasks": arns}
        answer = self._emulator.call("DescribeTasks", request, *_owner(arns[0]))
        seen = {task["taskArn"]: task for task in answer.value.get("tasks", [])}
        self._observe(seen)
        return seen

    def _observe(self, seen: Mapping[str, Request]) -> None:
        for arn, task in seen.items():
            if task["lastStatus"] == STOPPED and not self._has_processes(arn):
                self._ledger.note_stopped(arn, task)


def _answer(action: Callable[[Request], Answer], body: bytes) -> Answer:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        request = None
    if not isinstance(request, dict):
        return _error("SerializationException", "the body is no JSON object")
    try:
        return action(request)
    except (OSError, http.client.HTTPException):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
        _log.exception("a request was not understood")
        message = f"{type(error).__name__}: {error}"
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"__type": "ServerException", "message": message})


def _error(kind: str, message: str, **members: Any) -> Answer:
    return Answer(HTTPStatus.BAD_REQUEST, {"__type": kind, "message": message, **members})


def _cluster(request: Request) -> str:
    """The cluster's name, which a request may give as an ARN or not at all."""
    return str(request.get("cluster") or "default").rpartition("/")[2]


def _arn(reference: str, cluster: str, caller: Caller) -> str:
    if reference.startswith("arn:"):
        return reference
    return f"arn:aws:ecs:{caller.region}:{caller.account}:task/{cluster}/{reference}"


def _reference(arn: str) -> dict[str, str]:
    """How a request names a task: arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID."""
    return {"cluster": arn.split("/")[1], "task": arn}


def _owner(arn: str) -> tuple[str, str]:
    """A task's account and region."""
    _arn, _partition, _service, region, account, _rest = arn.split(":", 5)
    return account, region
