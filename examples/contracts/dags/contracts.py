"""The nightly pipeline of the contracts classifier, and the way back to an earlier final of it.

Steps, gates, containers, report, page and mails are those of MNIST: Airflow's DAGs are made by `plugins/mnist_dags.py`
from the definition in `examples/contracts/classifier.py`. Its pages are synthetic. Its objects in S3 have folders of
their own (`checkpoints/contracts/` and so on), and so have its champion and its chain of decisions.
"""

from __future__ import annotations

from examples.contracts.classifier import CONTRACTS
from mnist_dags import rollback_dag, training_dag

training = training_dag(CONTRACTS, doc=__doc__)
rollback = rollback_dag(CONTRACTS, doc=__doc__)
