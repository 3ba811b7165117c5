"""From the best candidate to the model in service.

`gates` says what is good enough and what is better, on numbers alone. `promote` and `release.rollback` are the two
steps that decide; `inputs` are the run's records that a promotion rests on. A decision is a record (`records`), made
once for each run (`decisions`) and added to a chain that only ever grows (`chain`); `release` keeps `champion.json`,
which consumers read, in agreement with it.
"""
