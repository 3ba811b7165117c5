"""`airflow dags test`, and afterwards what became of each step, as JSON.

One process for both, because starting Airflow costs seconds. The first argument is the file to write; the others go to
`airflow dags test` as they are. The exit status is Airflow's.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the DAG, then write its outcome whether it succeeded or not."""
    output, arguments = Path(sys.argv[1]), sys.argv[2:]
    # A process of half a minute has no garbage worth looking for: that would be a quarter of its CPU time.
    gc.disable()
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", "dags", "test", *arguments]
    try:
        airflow()  # type: ignore[no-untyped-call]
    finally:
        output.write_text(json.dumps(_outcome(arguments[0]), indent=1))


def _outcome(dag_id: str) -> dict[str, Any]:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        run = session.query(DagRun).filter(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).first()
        if run is None:
            return {"state": "not started", "steps": []}
        tasks = sorted(run.get_task_instances(session=session), key=lambda t: (t.start_date is None, t.start_date or 0))
        steps = [
            {
                "task": t.task_id,
                "map_index": t.map_index,
                "state": t.state,
                "seconds": t.duration,
                "tries": t.try_number,
            }
            for t in tasks
        ]
        return {"run_id": run.run_id, "state": run.state, "steps": steps}


if __name__ == "__main__":
    main()
