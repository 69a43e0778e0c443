"""generate, chat, serve, backend and config as a user runs them: real child processes, a real worker, real HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow

PARROT = ("--backend", "parrot", "--llm", "parrot-model")


def run(*args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sage_infer", *args],
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_generate_streams_the_answer_and_reports_progress_apart(testbed: Path) -> None:
    done = run("generate", *PARROT, "--raw", "--max-tokens", "5", "abc")
    assert (done.stdout, done.returncode) == ("abcab\n", 0)
    assert "hatching (50%)" in done.stderr
    assert "parrot-model: ready" in done.stderr


def test_generate_uses_the_chat_template_and_prints_json(testbed: Path) -> None:
    done = run(
        "generate",
        *PARROT,
        "--quiet",
        "--system",
        "be",
        "--max-tokens",
        "12",
        "--json",
        "--temperature",
        "0",
        "abc",
    )
    answer = json.loads(done.stdout)
    assert answer["text"] == "system: be\nu"
    assert (answer["finish_reason"], answer["model"]) == ("length", "parrot-model")
    assert answer["usage"] == {"prompt_tokens": 21, "completion_tokens": 12, "reused_prompt_tokens": 0}
    assert 0 < answer["ttft_ms"] <= answer["total_ms"]
    assert done.stderr == ""


def test_generate_reads_standard_input_and_honours_stop_and_seed(testbed: Path) -> None:
    args = (
        "generate",
        *PARROT,
        "--quiet",
        "--raw",
        "--temperature",
        "1",
        "--seed",
        "7",
        "--max-tokens",
        "20",
        "-",
    )
    first, second = run(*args, stdin="abcdefgh"), run(*args, stdin="abcdefgh")
    assert first.stdout == second.stdout != ""
    stopped = run("generate", *PARROT, "--quiet", "--raw", "--stop", "c", "--json", "abc")
    assert json.loads(stopped.stdout)["stop_reason"] == "c"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--temperature", "-1"), "--temperature"),
        (("--kv-schema", "preset=fp7"), "unknown KV schema preset"),
        (("--kv-schema", "page_size=x"), "page_size"),
        (("--option", "novalue"), "KEY=VALUE"),
        (("--raw", "--system", "x"), "--system"),
        (("--max-tokens", "0"), "--max-tokens"),
    ],
)
def test_bad_options_are_usage_errors(testbed: Path, args: tuple[str, ...], said: str) -> None:
    done = run("generate", *PARROT, *args, "abc")
    assert done.returncode == 2
    assert said in done.stderr


def test_generate_reports_the_backends_own_refusals(testbed: Path) -> None:
    done = run("generate", *PARROT, "--quiet", "--option", "no_device=true", "abc")
    assert (done.returncode, "install parrot-runtime" in done.stderr) == (1, True)
    long = run("generate", *PARROT, "--quiet", "--max-sequence-length", "10", "a" * 50)
    assert long.returncode == 1
    assert "context is 10 tokens" in long.stderr
    two = run("generate", *PARROT, "--llm", "parrot-model", "abc")
    assert "takes one language model, not 2" in two.stderr


def test_a_worker_that_dies_while_answering_is_said_in_one_line(testbed: Path) -> None:
    done = run("generate", *PARROT, "--quiet", "--option", "kill_at=3", "--raw", "abcdef")
    assert done.returncode == 1
    assert "exited with status 9" in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_while_generating_stops_the_worker(testbed: Path) -> None:
    command = [sys.executable, "-m", "sage_infer", "generate", *PARROT, "--raw", "--option", "step_s=0.05"]
    with subprocess.Popen(
        [*command, "--max-tokens", "4000", "abc"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == "ab"
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert len(workers) == 1
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert (len(gone), alive) == (1, [])


def test_chat_keeps_the_conversation_until_reset(testbed: Path) -> None:
    lines = "hello\n/help\n\nagain\n/reset\nhello\n/quit\nnever\n"
    done = run("chat", *PARROT, "--quiet", "--system", "S", "--max-tokens", "64", stdin=lines)
    assert done.returncode == 0, done.stderr
    once = ("system: S\nuser: hello\n" * 4)[:64]
    history = f"system: S\nuser: hello\nassistant: {once}\nuser: again\n"
    assert done.stdout == f"{once}\n{history[:64]}\n{once}\n"
    assert "/reset forgets" in done.stderr


def test_chat_over_a_pipe_ends_with_an_error_when_a_turn_fails(testbed: Path) -> None:
    done = run(
        "chat", *PARROT, "--quiet", "--max-tokens", "20", "--max-sequence-length", "40", stdin="a" * 60
    )
    assert done.returncode == 1
    assert "context is 40" in done.stderr


def test_backends_are_listed_without_importing_them_and_checked_in_children(testbed: Path) -> None:
    (testbed / "parrot_engine.py").write_text("raise SystemExit('imported')")
    listed = json.loads(run("backend", "list", "--json").stdout)["backends"]
    assert ("backend", "parrot", "parrot-plugin", "1.2.3") in {
        (row["kind"], row["name"], row["distribution"], row["version"]) for row in listed
    }
    assert "parrot" in run("backend", "list").stdout
    checked = run("backend", "list", "--check", "--json")
    assert checked.returncode == 1
    verdicts = {row["name"]: row["check"] for row in json.loads(checked.stdout)["backends"]}
    assert verdicts["parrot"]["ok"] is False
    assert "imported" in verdicts["parrot"]["problems"][0]
    assert "imported" in run("backend", "list", "--check").stdout.replace("\n", "")


def test_backend_test_exercises_a_real_worker(testbed: Path) -> None:
    done = run("backend", "test", "parrot", "--llm", "parrot-model", "--option", "step_s=0.001", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (0, True)
    assert next(check["check"] for check in report["checks"]) == "start"
    table = run("backend", "test", "parrot", "--llm", "parrot-model", "--option", "broken_generate=true")
    assert table.returncode == 1
    assert "FAILED" in table.stdout
    assert run("backend", "test", "parrot", "--backend", "x").returncode == 2


def test_config_shows_values_with_origins_and_validates_files(
    testbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("serving: {port: 9}")
    monkeypatch.setenv("SAGE_INFER_SERVING__HOST", "localhost")
    shown = json.loads(run("config", "show", "--config", str(file), "--json").stdout)["keys"]
    assert shown["serving.port"] == {"value": 9, "origin": f"file {file}"}
    assert shown["serving.host"] == {"value": "localhost", "origin": "environment"}
    assert shown["limits.max_queued_requests"]["origin"] == "default"
    assert "serving.port" in run("config", "show").stdout
    assert "ok, 1 keys set" in run("config", "validate", str(file)).stdout
    assert json.loads(run("config", "validate", str(file), "--json").stdout) == {
        "ok": True,
        "keys": ["serving.port"],
    }
    file.write_text("serving: {prot: 9}")
    bad = run("config", "validate", str(file))
    assert (bad.returncode, "did you mean serving.port" in bad.stderr) == (1, True)
    assert run("config", "validate", "nowhere.yaml").returncode == 2


@contextmanager
def serving(*args: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``serve`` on a free port; yields its URL once it says that it listens."""
    command = [sys.executable, "-m", "sage_infer", "serve", "--port", "0", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        drain = threading.Thread(target=process.stderr.read)
        try:
            line = process.stdout.readline()
            found = re.search(r"http://[\w.:]+", line)
            drain.start()
            assert found is not None, line
            yield found[0], process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(30)
            if drain.ident is not None:
                drain.join(10)


def ask(url: str, body: dict[str, Any] | None = None, key: str | None = None) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def test_serve_answers_over_http_and_drains_on_sigterm(testbed: Path) -> None:
    with serving(*PARROT, "--api-key", "k1") as (url, process):
        body = {"model": "parrot-model", "prompt": "abc", "max_tokens": 5, "temperature": 0}
        assert ask(f"{url}/v1/completions", body)[0] == 401
        status, answer = ask(f"{url}/v1/completions", body, "k1")
        assert (status, answer["choices"][0]["text"]) == (200, "abcab")
        assert ask(f"{url}/health")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def _until(url: str, wanted: int, seconds: float = 30.0) -> int:
    deadline = time.monotonic() + seconds
    while (status := ask(url)[0]) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return status


def test_a_killed_worker_shows_in_health_and_comes_back(
    testbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_INFER_WORKER__RESTART_BACKOFF_S", "4")
    with serving(*PARROT, "--option", "step_s=0.001") as (url, process):
        (worker,) = psutil.Process(process.pid).children(recursive=True)
        os.kill(worker.pid, signal.SIGKILL)
        assert _until(f"{url}/health", 503) == 503
        assert _until(f"{url}/health", 200) == 200
        body = {"model": "parrot-model", "prompt": "abc", "max_tokens": 3, "temperature": 0}
        assert ask(f"{url}/v1/completions", body)[1]["choices"][0]["text"] == "abc"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_serve_refuses_models_of_the_wrong_kind_and_duplicates(testbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    folder.mkdir()
    for name in ("config.json", "modules.json"):
        (folder / name).write_text("{}")
    wrong = run("serve", "--backend", "parrot", "--llm", str(folder))
    assert "is of type embedding; serve it with --embedding" in wrong.stderr
    twice = run("serve", *PARROT, "--llm", "parrot-model")
    assert "two models are called 'parrot-model'" in twice.stderr
    unknown = run("serve", *PARROT, "--embedding", "parrot-model", "--embedding-backend", "parrot")
    assert "serve it with --llm" in unknown.stderr
