"""The same epoch in several frameworks, a module each, run by `benchmarks.worker`.

Each module's `run(images, labels, epoch_done)` takes bytes (n, 28, 28) and (n,) and trains for ever; after each epoch
it calls `epoch_done` with the epoch's mean loss, and time runs from one such call to the next. What it does once for
all epochs (floats made of bytes, tracing, compilation) lies in or before the first epoch, which does not count.

The work is equal: the specified model, batches of 32, float32, dropout 0.2, softmax cross-entropy, Adam with bias
correction, a new shuffle and new dropout for each epoch, the loss of every batch. Each has one thread and, with that,
the fastest of the forms that were tried.
"""
