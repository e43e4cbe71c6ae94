"""Alerts by Slack and by mail: the project's definitions, and sensors that tell of failed runs and failed checks.

Load it in place of ``uda_assets.definitions``: ``dagster dev -f alerts.py``. ``ALERT_SLACK_WEBHOOK`` is the address of
an incoming webhook; ``ALERT_MAIL_TO`` and ``ALERT_SMTP`` (``host:port``) send mail.
"""

import json
import os
import smtplib
import urllib.request
from email.message import EmailMessage

import dagster as dg

from uda_assets import definitions

SHOWN = 10


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=5
)
def alert_of_failed_runs(context: dg.RunStatusSensorContext) -> None:
    """A run failed: a blocking check, a ``fail_fast`` drop, a full disk."""
    _send(f"{context.dagster_run.job_name} failed", [context.dagster_event.message or "", *_failed_checks(context)])


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=5
)
def alert_of_failed_checks(context: dg.RunStatusSensorContext) -> None:
    """A run went through, and one of its checks did not pass: a rejected drop, an unknown platform."""
    if failed := _failed_checks(context):
        _send(f"{len(failed)} checks of {context.dagster_run.job_name} did not pass", failed)


def _failed_checks(context: dg.RunStatusSensorContext) -> list[str]:
    """What the checks of a run found, those that block first."""
    events = context.instance.all_logs(context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [event.dagster_event.asset_check_evaluation_data for event in events if event.dagster_event]
    failed = sorted((each for each in found if not each.passed), key=lambda each: not each.blocking)
    return [
        f"{each.severity.value} {each.asset_check_key.to_user_string()}: {each.description}{_cases(each)}"
        for each in failed
    ]


def _cases(check: dg.AssetCheckEvaluation) -> str:
    """The cases that a check names, such as drops with their reasons: a Markdown table of one column."""
    table = str(check.metadata["cases"].value) if "cases" in check.metadata else ""
    return "".join(f"\n  {line.strip('| ')}" for line in table.splitlines()[2 : 2 + SHOWN])


def _send(subject: str, findings: list[str]) -> None:
    text = "\n".join(findings[:SHOWN])
    if webhook := os.environ.get("ALERT_SLACK_WEBHOOK"):
        body = json.dumps({"text": f"*{subject}*\n```{text}```"}).encode()
        request = urllib.request.Request(webhook, body, {"Content-Type": "application/json"})  # noqa: S310 - yours
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
    if recipient := os.environ.get("ALERT_MAIL_TO"):
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, "uda_assets@localhost", recipient
        message.set_content(text)
        host, _, port = os.environ.get("ALERT_SMTP", "localhost:25").partition(":")
        with smtplib.SMTP(host, int(port or 25), timeout=10) as server:
            server.send_message(message)


defs = dg.Definitions.merge(definitions.defs(), dg.Definitions(sensors=[alert_of_failed_runs, alert_of_failed_checks]))
