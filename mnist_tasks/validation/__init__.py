"""Is this data set fit to train on? Checks of its content, a report of what they found, and a verdict.

`validate` is pure: data set in, report out. `run` is the pipeline's step around it. The checks stand in `checks`, the
comparison with the last accepted data set in `drift`.
"""

from mnist_tasks.validation.checks import Check
from mnist_tasks.validation.report import ValidationReport, validate
from mnist_tasks.validation.statistics import Accepted, SplitStatistics, Statistics, statistics_of
from mnist_tasks.validation.step import run

__all__ = [
    "Accepted",
    "Check",
    "SplitStatistics",
    "Statistics",
    "ValidationReport",
    "run",
    "statistics_of",
    "validate",
]
