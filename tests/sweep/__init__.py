"""The crash-point sweep (`make sweep`): whatever happens at any call of any step, the run ends in the same state.

Each step of both DAGs is run once undisturbed, in the state that the steps before it leave. Then, for every call that
it made to AWS, to the mail server or to Airflow's task state, it is run again from there with a fault at that call: its
process is killed before the call and after it, the call is throttled, fails with HTTP 500, or takes effect without an
answer. The step is tried again as the DAG's own retry policy would, and what it leaves behind is compared.

```
faults.py  answers.py    one call of a process is struck
pipeline.py  tries.py    a step as Airflow runs it, in processes that can be killed
container.py  warm.py    both containers with a wire in between, and a quick start for the promoter's
scenes.py                the steps, and the state before each
world.py  traces.py      what is in the account, and whether it is the same
points.py  sweep.py      every call of every step, struck
```
"""
