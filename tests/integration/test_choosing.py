"""Choosing the best of a run costs the same, however full the bucket is."""

from __future__ import annotations

import pytest

from benchmarks import choosing


def test_the_calls_depend_on_the_runs_candidates_alone() -> None:
    calls = choosing.measure((10, 1_000))

    assert calls == {"10": 1 + choosing.CANDIDATES, "1000": 1 + choosing.CANDIDATES}


@pytest.mark.parametrize("requests", [0, 3])
def test_a_client_s_calls_are_counted_also_those_that_fail(requests: int, closed_port: int) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import EndpointConnectionError

    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{closed_port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )

    def work() -> None:
        for _ in range(requests):
            with pytest.raises(EndpointConnectionError):
                client.list_buckets()

    assert choosing.count_calls(client, work) == requests
