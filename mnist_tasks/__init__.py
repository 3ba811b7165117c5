"""The steps of the MNIST training pipeline as plain Python.

Nothing here imports Airflow, so every step can be called, tested and debugged without a scheduler. `dags/` wires the
steps together; `training` is the only subpackage that imports TensorFlow. `errors` shows what can go wrong.
"""

__version__ = "0.2.0"
