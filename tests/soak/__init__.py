"""A year of nights (`make soak`): 365 runs in a row, and a verdict on what grows.

Every night is the real DAG's: each step's own callable and the real operator, run in a process of its own as Airflow
would (the step runner is that of `tests.sweep`), against a one-machine cloud that keeps all that the nights leave.

```
nights.py     the calendar, and one night from download to mail
container.py  the training container, with its calls counted
usage.py      what a process holds: memory, descriptors, CPU
trends.py     from a year of figures to a verdict on each
```
"""
