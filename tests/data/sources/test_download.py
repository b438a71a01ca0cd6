"""Downloads: taken up where they broke off, kept only if they are the official file."""

import hashlib
import os
import socket

import numpy as np
import pytest

from dlcourse.data.sources.download import Download, TransferError, fetch
from tests.data.sources.server import serving

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        server.files["a.tar.gz"] = CONTENT
        yield server


def download(server, md5=MD5, size=300_000):
    return Download(f"{server.url}/a.tar.gz", size, md5)


def test_a_file_arrives_under_its_own_name(server, tmp_path, capsys):
    path = fetch(download(server), tmp_path)
    assert path == tmp_path / "a.tar.gz" and path.read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["a.tar.gz"]
    assert capsys.readouterr().err == f"downloading {server.url}/a.tar.gz (0.3 MiB) to {tmp_path}\n"


def test_a_broken_transfer_is_taken_up_again_by_range(server, tmp_path):
    server.break_after = 100_000
    assert fetch(download(server), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=100000-", "bytes=200000-"]


def test_what_a_killed_process_left_is_gone_on_with(server, tmp_path):
    (tmp_path / "a.tar.gz.partial").write_bytes(CONTENT[:123_456])
    assert fetch(download(server), tmp_path).read_bytes() == CONTENT
    assert server.asked == [("a.tar.gz", "bytes=123456-")]


def test_a_whole_partial_file_needs_no_server(tmp_path):
    (tmp_path / "a.tar.gz.partial").write_bytes(CONTENT)
    unreachable = Download("http://127.0.0.1:9/a.tar.gz", len(CONTENT), MD5)
    assert fetch(unreachable, tmp_path).read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.tar.gz.partial").write_bytes(CONTENT[:1000])
    assert fetch(download(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("start", [b"x" * 1000, b"x" * 400_000])
def test_a_wrong_beginning_is_thrown_away_and_fetched_anew(server, tmp_path, start):
    (tmp_path / "a.tar.gz.partial").write_bytes(start)
    assert fetch(download(server), tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == ("a.tar.gz", None)


def test_a_connection_that_keeps_breaking_keeps_what_came(server, tmp_path):
    server.break_after = 10_000
    with pytest.raises(TransferError, match="the connection broke off"):
        fetch(download(server), tmp_path)
    assert (tmp_path / "a.tar.gz.partial").read_bytes() == CONTENT[:50_000]


def refused(server, folder, message, **expected):
    with pytest.raises(TransferError, match=message) as raised:
        fetch(download(server, **expected), folder)
    assert server.url in str(raised.value) and "\n" not in str(raised.value)


def test_a_wrong_file_leaves_nothing(server, tmp_path):
    refused(server, tmp_path, f"gave a file with md5 {MD5}, the official one has {'0' * 32}", md5="0" * 32)
    assert os.listdir(tmp_path) == [] and len(server.asked) == 1


def test_a_file_of_another_size_is_not_even_begun(server, tmp_path):
    (tmp_path / "a.tar.gz.partial").write_bytes(CONTENT[:1000])
    refused(server, tmp_path, "has a file of 300,000 bytes, the official one has 299,999", size=299_999)
    assert (tmp_path / "a.tar.gz.partial").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("announce", [True, False])
def test_a_proxys_page_is_refused_and_spoils_nothing(server, tmp_path, announce):
    server.files["a.tar.gz"] = b"<!DOCTYPE html><title>Sign in</title>" * 9
    server.kind, server.ranges, server.announce = "text/html; charset=utf-8", False, announce
    refused(server, tmp_path, "bytes" if announce else "a web page instead of the file")
    assert os.listdir(tmp_path) == []
    (tmp_path / "a.tar.gz.partial").write_bytes(CONTENT[:1000])
    refused(server, tmp_path, "bytes" if announce else "a web page instead of the file")
    assert (tmp_path / "a.tar.gz.partial").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize(("content", "message"), [(CONTENT[:500], "less"), (CONTENT + b"x" * 200_000, "more")])
def test_an_answer_of_unknown_length_that_does_not_fit_leaves_nothing(server, tmp_path, content, message):
    server.files["a.tar.gz"], server.announce = content, False
    refused(server, tmp_path, f"sends {message} than the official file")
    assert os.listdir(tmp_path) == []


def test_another_part_than_asked_for_is_refused(server, tmp_path):
    (tmp_path / "a.tar.gz.partial").write_bytes(CONTENT[:1000])
    server.shift = 7
    refused(server, tmp_path, "another part than was asked for")


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_servers_refusal_is_said(server, tmp_path, status):
    server.status = status
    refused(server, tmp_path, f"the server answers {status} ")
    assert os.listdir(tmp_path) == []


def test_no_connection_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.tar.gz"
        with pytest.raises(TransferError, match=f"{url}: Connection refused"):
            fetch(Download(url, 1, MD5), tmp_path)
    with pytest.raises(TransferError, match="http://no-such-host.invalid/a.tar.gz: ."):
        fetch(Download("http://no-such-host.invalid/a.tar.gz", 1, MD5), tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_the_systems_error(server, tmp_path):
    with pytest.raises(FileNotFoundError):
        fetch(download(server), tmp_path / "gone")
