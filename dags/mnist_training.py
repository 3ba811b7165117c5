"""The nightly pipeline of MNIST: download, validate, train on ECS, pick the best, ask (if wanted), promote, report.

- **Promoted** means that the best candidate passed the gates and has its `_final`.
- **Released** means that this `_final` is now the champion: it was significantly better on the same test images.
- A step that fails for good fails the run, and its mail names the cause and the cure. Clear the run to go on from
  there: every step finishes what it has begun and doubles nothing.
- A run with `approval_hours` waits for a person before it promotes anything: *Required Actions* in Airflow's UI.
- To repeat a night, trigger the DAG with the seed that its report names.

Made from the definition in `mnist_tasks/definitions/mnist.py` by `plugins/mnist_dags.py`, where Airflow's steps stand.
"""

from __future__ import annotations

from mnist_dags import training_dag
from mnist_tasks.definitions.mnist import MNIST

dag = training_dag(MNIST, doc=__doc__)
