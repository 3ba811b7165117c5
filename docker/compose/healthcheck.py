"""Whether a part of Airflow is healthy, by the word of the API server: `python -I healthcheck.py scheduler`.

The scheduler and the others write a heartbeat into the database, and the API server judges it. Airflow's own
`airflow jobs check` starts all of Airflow each time: seconds of CPU time.
"""

from __future__ import annotations

import json
import sys
import urllib.request

URL = "http://api-server:8080/api/v2/monitor/health"


def main(part: str) -> int:
    """Exit status 0 for a part that is healthy."""
    try:
        with urllib.request.urlopen(URL, timeout=10) as answer:
            state = json.load(answer)[part]["status"]
    except OSError as error:
        state = error
    print(f"{part}: {state}")
    return 0 if state == "healthy" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
