"""What people see of a run: its report (one HTML file, and JSON for machines) and the mails.

`publish`, `compose_mail`, `compose_question` and `compose_rollback_mail` are the steps that read and write S3. Below
them, `data` holds what a run left behind, `words` says what it means, `plots` and `pictures` draw it, `render` and
`mail` fill the templates.
"""

from mnist_tasks.report.approval import Question, compose_question
from mnist_tasks.report.data import ReportData, collect
from mnist_tasks.report.mail import FailedStep, render_failure_mail, render_report_mail, render_rollback_mail
from mnist_tasks.report.publish import compose_mail, compose_rollback_mail, publish
from mnist_tasks.report.render import draw, render_html, to_dict

__all__ = [
    "FailedStep",
    "Question",
    "ReportData",
    "collect",
    "compose_mail",
    "compose_question",
    "compose_rollback_mail",
    "draw",
    "publish",
    "render_failure_mail",
    "render_html",
    "render_report_mail",
    "render_rollback_mail",
    "to_dict",
]
