"""Put an earlier final of MNIST back into service, by hand and with a reason.

Trigger it with the name of a final (`mnist_model_..._final`; reports and decisions list them) and a reason. The final
is read and verified first; the move is a decision in the same chain as every promotion, and its mail goes to the
classifier's recipients. A step that is run again moves nothing a second time.

Made from the definition in `mnist_tasks/definitions/mnist.py` by `plugins/mnist_dags.py`, where Airflow's steps stand.
"""

from __future__ import annotations

from mnist_dags import rollback_dag
from mnist_tasks.definitions.mnist import MNIST

dag = rollback_dag(MNIST, doc=__doc__)
