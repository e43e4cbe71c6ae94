"""The recipe for alerts: a run with a rejected drop, and one that fails, are told by webhook and by mail."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from uda_assets_tests.support.dev_server import free_port
from uda_assets_tests.support.places import PROJECT


class Mailbox(Message):
    """Keeps what is mailed."""

    def __init__(self) -> None:
        super().__init__(EmailMessage)
        self.messages: list[EmailMessage] = []

    def handle_message(self, message: Any) -> None:
        self.messages.append(message)


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server on loopback, named by the environment."""
    box = Mailbox()
    server = Controller(box, hostname="127.0.0.1", port=free_port())
    server.start()
    monkeypatch.setenv("ALERT_SMTP", f"127.0.0.1:{server.port}")
    monkeypatch.setenv("ALERT_MAIL_TO", "team@example.com")
    yield box
    server.stop()


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is posted to a webhook on loopback, named by the environment."""
    texts: list[str] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("ALERT_SLACK_WEBHOOK", f"http://127.0.0.1:{server.server_address[1]}/")
    yield texts
    server.shutdown()
    server.server_close()
    thread.join(10)


def tell(recipe: dict[str, Any], instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> None:
    """What the daemon does when a run has ended."""
    sensor = recipe["alert_of_failed_checks" if result.success else "alert_of_failed_runs"]
    ended = dg.DagsterEventType.RUN_SUCCESS if result.success else dg.DagsterEventType.RUN_FAILURE
    (event,) = [each for each in result.all_events if each.event_type is ended]
    sensor(
        dg.build_run_status_sensor_context(
            sensor_name=sensor.name, dagster_event=event, dagster_instance=instance, dagster_run=result.dagster_run
        )
    )


def test_what_did_not_pass_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox, posts: list[str]
) -> None:
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    recipe = runpy.run_path(str(PROJECT / "docs/recipes/alerts.py"))
    assert {"alert_of_failed_runs", "alert_of_failed_checks", "drop_sensor"} <= {
        sensor.name for sensor in recipe["defs"].sensors
    }
    job = recipe["defs"].resolve_job_def("leaderboard_job")
    (tmp_path / "datasets").mkdir()
    shutil.copy(PROJECT / "data/datasets/sample.csv", tmp_path / "datasets/ok.csv")
    with dg.DagsterInstance.ephemeral() as instance:
        (tmp_path / "datasets/no-header.csv").write_text("a,b\n1,2\n")
        tell(recipe, instance, job.execute_in_process(instance=instance))
        told = posts.pop()
        assert "of leaderboard_job did not pass" in told
        assert "ERROR platform_parquet:no_rejected_drops" in told
        assert "no-header.csv" in told

        (tmp_path / "datasets/no-header.csv").unlink()
        (tmp_path / "datasets/bad.csv").write_text(
            "user_id,session_id,platform,activity_time,activity_type\nu,s,iOS,yesterday,view\n"
        )
        config = {"ops": {"platform_parquet": {"config": {"error_mode": "fail_fast"}}}}
        failed = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
        assert not failed.success
        tell(recipe, instance, failed)
        assert posts.pop().startswith("*leaderboard_job failed*")
    assert [message["Subject"].partition(" ")[2] for message in mailbox.messages] == [
        "checks of leaderboard_job did not pass", "failed",
    ]  # fmt: skip
    assert mailbox.messages[0]["To"] == "team@example.com"


def test_a_run_without_findings_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox, posts: list[str]
) -> None:
    monkeypatch.setenv("UDA_DATA_ROOT", str(tmp_path))
    recipe = runpy.run_path(str(PROJECT / "docs/recipes/alerts.py"))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/ok.csv").write_text(
        "user_id,session_id,platform,activity_time,activity_type\nu,s,iOS,2026-01-01T00:00:00Z,view\n"
    )
    with dg.DagsterInstance.ephemeral() as instance:
        tell(recipe, instance, recipe["defs"].resolve_job_def("leaderboard_job").execute_in_process(instance=instance))
    assert (posts, mailbox.messages) == ([], [])
