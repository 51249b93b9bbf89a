"""`tdbench track` against a real `mlflow server` on PostgreSQL: killed, restarted, unreachable."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import psycopg2
import pytest
from mlflow import MlflowClient

from tdbench.errors import TdbenchError
from tdbench.reporting.tracking import retry
from tests.reporting.tracking.conftest import Tracked
from tests.reporting.tracking.servers import MlflowServer, free_port, postgres
from tests.reporting.tracking.stores import assert_one_whole_copy, contents


def rows(database: str, query: str) -> int:
    connection = psycopg2.connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return int(cursor.fetchone()[0])
    finally:
        connection.close()


@pytest.mark.slow
def test_one_whole_copy_whoever_is_killed(results: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the writer is killed, then the server, which comes back while the writer waits for it."""
    # Else MLflow's own silent tries could outlast the restart.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with postgres() as database, MlflowServer(database, tmp_path) as server:
        ended = "select count(*) from runs where status = 'FINISHED' and lifecycle_stage = 'active'"
        results.kill_when(lambda: rows(database, ended) >= 1, server.uri)
        before = rows(database, ended)
        process = results.begin(server.uri)
        while rows(database, ended) < before + 4:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        server.stop()
        server.start(wait=False)
        # A call that was under way is cut off, another one is refused, and a server that begins may answer with 503.
        said = "".join(process.communicate())
        assert process.returncode == 0, said + server.log()
        assert f"MLflow at {server.uri}: " in said and "trying again in" in said
        assert "Traceback" not in said
        client = MlflowClient(server.uri)
        assert_one_whole_copy(client)
        found = contents(client)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        results.track_here()
        assert contents(client) == found


def test_a_server_that_does_not_come_back_is_named_in_one_line(
    results: Tracked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retry, "WAITS_S", (0.1, 0.2))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:se%40cret@127.0.0.1:{port}")
    with pytest.raises(TdbenchError) as raised:
        results.track_here()
    message, said = str(raised.value), capsys.readouterr().err
    assert message.startswith(f"MLflow at http://me:***@127.0.0.1:{port}: cannot be reached (") and "\n" not in message
    assert "MLFLOW_TRACKING_URI" in message
    assert said.count("trying again in") == 2 and "cret" not in said + message


@contextmanager
def hangs_up() -> Iterator[int]:
    """The port of a server that reads a request and closes the connection, as one does that is killed meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)

        Thread(target=serve, daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


def test_a_call_cut_off_is_tried_again_and_named(
    results: Tracked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retry, "WAITS_S", (0.1,))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with hangs_up() as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with pytest.raises(TdbenchError, match="cannot be reached \\(Remote end closed connection without response\\)"):
            results.track_here()
    assert capsys.readouterr().err.count("trying again in") == 1
