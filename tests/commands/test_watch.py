"""The live page: what the server answers, whom it answers, and the page in a real browser."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlcourse import cli
from dlcourse.plots.live_runs import LiveRuns
from dlcourse.plots.live_server import LiveServer
from tests.browser import Browser


def line(step: int, **more) -> str:
    return json.dumps({"event": "train", "step": step, "epoch": step / 10, "seconds": 0.1 * step, **more}) + "\n"


def make_run(folder: Path, status: str = "running", steps: int = 3) -> Path:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"name": folder.parent.name, "status": status}))
    rows = [line(step, loss=1 / (step + 1), lr=0.1) for step in range(steps)]
    metrics = {"train": {"accuracy": 0.5}, "val": {"accuracy": 0.4}}
    rows.append(json.dumps({"event": "eval", "step": steps, "epoch": 1.0, "seconds": 1.0, "metrics": metrics}) + "\n")
    (folder / "metrics.jsonl").write_text("".join(rows))
    return folder


class Client:
    """What a browser asks for."""

    def __init__(self, server: LiveServer):
        self.port = server.server_port

    def ask(self, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, headers={"Host": f"127.0.0.1:{self.port}" if host is None else host})
        answer = connection.getresponse()
        content = answer.read().decode()
        connection.close()
        return answer.status, content, dict(answer.getheaders())

    def json(self, path: str):
        status, content, _ = self.ask(path)
        assert status == 200, content
        return json.loads(content)

    def rows(self, run: str, generation: int = -1, start: int = 0):
        return self.json(f"/rows?run={run}&generation={generation}&from={start}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "first" / "1")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[LiveServer]:
    with LiveServer(LiveRuns([Path("runs")]), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server: LiveServer) -> Client:
    return Client(server)


def test_a_run_as_it_grows(client: Client, folder: Path) -> None:
    (found,) = client.json("/runs")
    assert (found["id"], found["name"], found["status"]) == ("runs/first/1", "first", "running")
    assert (found["step"], found["epoch"], found["rows"], found["report"]) == (3, 1, 4, False)
    rows = client.rows("runs/first/1")["rows"]
    assert rows[0] == [0, 0, 0, {"train.loss": 1, "lr": 0.1}]
    assert rows[3] == [3, 1, 1, {"train.accuracy": 0.5, "val.accuracy": 0.4}]
    metrics = folder / "runs" / "first" / "1" / "metrics.jsonl"
    with metrics.open("a") as file:
        file.write(line(4, loss=None) + line(5, loss=0.2) + line(6, loss=0.1)[:9])  # the last is half written
        file.flush()
        client.json("/runs")
        more = client.rows("runs/first/1", 0, 4)
        assert [row[0] for row in more["rows"]] == [4, 5] and more["from"] == 4
        assert more["rows"][0][3] == {"train.loss": None, "lr": None}
        file.write(line(6, loss=0.1)[9:])
    assert client.json("/runs")[0]["rows"] == 7
    make_run(folder / "runs" / "second" / "2", "done")
    assert [run["id"] for run in client.json("/runs")] == ["runs/first/1", "runs/second/2"]
    shutil.rmtree(folder / "runs" / "second")
    assert len(client.json("/runs")) == 1


@pytest.mark.parametrize("in_place", [True, False])
def test_a_resumed_run_is_read_anew(client: Client, folder: Path, in_place: bool) -> None:
    client.json("/runs")
    metrics = folder / "runs" / "first" / "1" / "metrics.jsonl"
    text = line(0, loss=9.0)
    if in_place:
        metrics.write_text(text)
    else:
        (folder / "new").write_text(text * 20)
        os.replace(folder / "new", metrics)
    client.json("/runs")
    found = client.rows("runs/first/1", 0, 3)
    assert (found["generation"], found["from"]) == (1, 0)
    assert found["rows"][0][3]["train.loss"] == 9


def test_damaged_lines_are_left_out(client: Client, folder: Path) -> None:
    path = folder / "runs" / "first" / "1"
    (path / "metrics.jsonl").write_bytes(b'{"step": \n\xff\n[1]\n{"step": "x"}\n{"event": "train", "step": 1e999}\n')
    (path / "result.json").write_text("{")
    (found,) = client.json("/runs")
    assert found["rows"] == 0 and found["status"] == "running"


def test_a_sweeps_points_and_a_run_itself(folder: Path) -> None:
    make_run(folder / "runs" / "sweep" / "9" / "points" / "000-lr=1")
    runs = LiveRuns([Path("runs"), Path("runs/first/1")])
    assert [run["id"] for run in runs.summaries()] == ["runs/first/1", "runs/sweep/9/points/000-lr=1"]


def test_only_this_machine_is_answered(client: Client) -> None:
    for host in ("evil.example", f"evil.example:{client.port}", "127.0.0.1", f"127.0.0.1:{client.port + 1}", ""):
        status, content, _ = client.ask("/runs", host=host)
        assert status == 403 and "first" not in content
    assert client.ask("/runs", host=f"localhost:{client.port}")[0] == 200


def test_no_request_becomes_a_path(client: Client, folder: Path) -> None:
    (folder / "secret.txt").write_text("secret")
    (folder / "runs" / "secret.txt").write_text("secret")
    client.json("/runs")
    asked = ["/../secret.txt", "/secret.txt", "/runs/secret.txt", "/%2e%2e/secret.txt", "//secret.txt", "/watch.html"]
    asked += [f"/report?run={run}" for run in ("..", "runs/first/1/../../..", "runs/secret.txt", "/etc", "%2e%2e", "")]
    asked += [f"/rows?run={run}" for run in ("..", "/etc/passwd", "runs/first/1/", "%00")]
    for path in asked:
        status, content, _ = client.ask(path)
        assert status == 404 and "secret" not in content, path
    assert client.ask("/rows?run=runs/first/1&from=x")[0] == 400
    assert client.ask("/runs", "POST")[0] == 501


def test_a_report_but_through_no_link(client: Client, folder: Path) -> None:
    report = folder / "runs" / "first" / "1" / "report.html"
    report.symlink_to(folder / "secret.html")
    (folder / "secret.html").write_text("secret")
    client.json("/runs")
    assert client.ask("/report?run=runs/first/1")[0] == 404
    report.unlink()
    report.write_text("<p>a report")
    status, content, headers = client.ask("/report?run=runs/first/1")
    assert (status, content) == (200, "<p>a report")
    assert headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


def test_the_page_loads_nothing_from_elsewhere(client: Client) -> None:
    status, page, headers = client.ask("/")
    assert status == 200 and not re.search(r"https?://(?!www\.w3\.org/2000/svg)|innerHTML|@import|url\(", page)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, content, headers = client.ask("/", "HEAD")
    assert (status, content) == (200, "") and int(headers["Content-Length"]) == len(page.encode())


CURVES = """[...document.querySelectorAll('[data-metric="loss"] polyline')]
    .map(it => [it.dataset.run, it.getAttribute("points").split(" ").length]).sort()"""


def test_in_a_browser(server: LiveServer, folder: Path) -> None:
    second = "runs/<b>second/2"
    make_run(folder / second, "done", steps=5)
    metrics = folder / "runs" / "first" / "1" / "metrics.jsonl"
    with Browser(folder) as page:
        page.emulate(390, 800, dark=True)
        page.open(server.url)
        page.wait(CURVES, [["runs/<b>second/2", 5], ["runs/first/1", 3]])
        charts = "[...document.querySelectorAll('figure')].map(it => it.dataset.metric)"
        assert page.value(charts) == ["loss", "accuracy", "learning rate"]
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
        assert page.value("document.querySelectorAll('b').length") == 0  # a name is no markup
        with metrics.open("a") as file:  # it grows
            file.write(line(4, loss=0.1) + line(5, loss=0.2))
        page.wait(CURVES, [["runs/<b>second/2", 5], ["runs/first/1", 5]])
        page.value("document.querySelector('input[data-run=\"runs/first/1\"]').click()")  # hidden
        page.wait(CURVES, [["runs/<b>second/2", 5]])
        page.open(server.url)  # and still so in the next visit
        page.wait(CURVES, [["runs/<b>second/2", 5]])
        page.value("document.getElementById('none').click()")
        page.wait("document.querySelectorAll('polyline').length", 0)
        page.value("document.getElementById('all').click()")
        page.wait(CURVES + ".length", 2)
        page.value("document.getElementById('log').click()")
        page.wait(CURVES + ".length", 2)
        metrics.write_text(line(0, loss=1.0) + line(1, loss=0.5))  # resumed from an earlier checkpoint
        page.wait(CURVES, [["runs/<b>second/2", 5], ["runs/first/1", 2]])


def test_the_command_ends_by_ctrl_c(folder: Path) -> None:
    command = [sys.executable, "-m", "dlcourse", "watch", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed = process.stdout.readline()
    match = re.match(r"http://127\.0\.0\.1:(\d+)/ shows runs; Ctrl-C ends it\n", printed)
    connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=20)
    connection.request("GET", "/runs")  # and the connection stays open
    assert json.loads(connection.getresponse().read())[0]["name"] == "first"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert process.stderr.read() == "dlcourse: error: interrupted by SIGINT\n"
    connection.close()


def test_mistakes_are_one_line(server: LiveServer, folder: Path, monkeypatch, capsys) -> None:
    for words, message in (
        (["nowhere"], "nowhere: no such folder"),
        (["--port", "70000"], "a port is a number from 1 to 65535"),
        (["--port", "x"], "invalid int value"),
        (["--port", str(server.server_port)], f"port {server.server_port}: Address already in use"),
    ):
        assert cli.main(["watch", *words]) == 2
        assert message in capsys.readouterr().err
    monkeypatch.chdir(folder / "runs")
    assert cli.main(["watch"]) == 2
    assert "runs: no such folder; name one, or run something first" in capsys.readouterr().err
