"""Whether the template's roles may do exactly what they do: `make permissions`.

`scenes` has the pipeline do all that it can, in a one-machine cloud that notes every request; `calls` reads the notes,
`needs` tells which permissions AWS asks for them, `verdict` holds these against the template's policies as AWS gets
them, `faults` the requests against AWS's own models.
"""
