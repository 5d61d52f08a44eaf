"""The log: facts on each line, JSON on request, no secrets and no traces."""

import base64
import json
import logging
from collections.abc import Iterator

import pytest

from populator import log
from populator.cli.log_flags import key_texts

PASSWORD = 'geheim"/ö'


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before[0], before[1]
    log.set_up("info", "lines", ())
    root.handlers[:] = before[0]
    log.about(host="", lun="", task="")


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("style", ["lines", "json"])
def test_a_secret_never_shows_in_whatever_form(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("debug", style, [PASSWORD, ""])
    basic = base64.b64encode(PASSWORD.encode()).decode()
    log.about(host=PASSWORD)
    try:
        raise RuntimeError(PASSWORD)
    except RuntimeError:
        logging.getLogger("x").exception("sent %s and %s", PASSWORD, basic)
    shown = capsys.readouterr().err
    assert log.BLOT in shown
    assert "RuntimeError" in shown
    for form in (PASSWORD, json.dumps(PASSWORD)[1:-1], basic.rstrip("=")):
        assert form not in shown


@pytest.mark.usefixtures("restored")
def test_lines_name_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("info", "lines", ())
    log.about(host="host-21", lun="naa.1")
    log.about(lun="")
    logging.getLogger("x").info("hello", extra={"facts": {"task": "t1"}})
    shown = capsys.readouterr().err
    assert shown.endswith("INFO    hello  host=host-21 task=t1\n")


@pytest.mark.usefixtures("restored")
def test_json_has_a_field_for_each_fact(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("info", "json", ())
    log.about(host="host-21")
    logging.getLogger("x").warning("hello", extra={"facts": {"task": "t1"}})
    logging.getLogger("x").warning("later")
    line, later = (json.loads(text) for text in capsys.readouterr().err.splitlines())
    assert later["task"] == "t1"
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "warning", "message": "hello", "host": "host-21", "task": "t1"}


@pytest.mark.usefixtures("restored")
def test_traces_appear_when_debugging_only(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("info", "lines", ())
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("x").exception("it broke")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("restored")
def test_no_line_of_the_ssh_key_shows(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["MIIEowIBAAKCAQEA3" * 3, "gT0hbEo6OZx0YXFUu" * 3]
    pem = "\n".join(("-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----\n"))
    given = base64.b64encode(pem.encode()).decode()
    log.set_up("debug", "json", key_texts({"SSH_PRIVATE_KEY": given}))
    for said in (given, pem, *lines):
        logging.getLogger("test").error("key: %s", said)
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 4
    assert not any(part in shown for part in (given, *lines))
    assert key_texts({"SSH_PRIVATE_KEY": "nonsense!"}) == ["nonsense!", ""]
    assert key_texts({}) == ["", ""]


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("style", ["lines", "json"])
def test_a_record_is_one_line_whatever_is_in_it(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("info", style, ())
    forged = "go-pod\n2026-11-27T00:00:00.000+00:00 INFO    all is well\r\x1b[2J\u2028\x85\u202e\udc80"
    log.about(host=forged)
    logging.getLogger("x").warning("held by %s", forged, extra={"facts": {"holder": forged}})
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1
    assert shown.count("go-pod") == 3
    assert not {"\x1b", "\r", "\x85", "\u2028"} & set(shown)


@pytest.mark.usefixtures("restored")
def test_no_line_of_a_trace_can_be_taken_for_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("debug", "lines", ())
    try:
        raise RuntimeError("boom\n2026-11-27T00:00:00.000+00:00 INFO    all is well")
    except RuntimeError:
        logging.getLogger("x").exception("it broke")
    first, *trace = capsys.readouterr().err.splitlines()
    assert first.endswith("ERROR   it broke")
    assert "    RuntimeError: boom" in trace
    assert all(line.startswith("    ") for line in trace)


ORDINARY = [
    "password",
    "progress",
    "time",
    "level",
    "message",
    "host",
    "clone",
    "lun",
    "e",
    "2026",
    "error",
    "https",
]


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("password", ORDINARY)
def test_a_password_that_is_an_ordinary_word_destroys_nothing(
    password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.set_up("info", "json", [password])
    log.about(phase="clone", host="host-21", lun="naa.1")
    facts = {"url": f"https-x://u:{password}@h", "failed": "clone"}
    logging.getLogger("x").error("hosts, timely: %s, passwords", password, extra={"facts": facts})
    line = json.loads(capsys.readouterr().err)
    hidden = len(password) >= log.SHORTEST_SECRET
    shown = log.BLOT if hidden else password
    assert line.pop("time").startswith("20")
    assert line == {
        "level": "error",
        "message": f"hosts, timely: {shown}, passwords",
        "phase": "clone",
        "failed": "clone",
        "host": "host-21" if password != "host" else f"{log.BLOT}-21",
        "lun": "naa.1",
        "url": f"{log.BLOT if password == 'https' else 'https'}-x://u:{shown}@h",
    }


@pytest.mark.usefixtures("restored")
def test_a_real_password_is_hidden_also_inside_of_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    secrets = ["Tr0ub4dor-3", "abcdefghijkl", "with-newline\n", "caf\udce9-latin"]
    log.set_up("info", "lines", secrets)
    for secret in secrets:
        logging.getLogger("x").error("xx%syy", secret.strip("\n"))
    shown = capsys.readouterr().err
    assert shown.count(f"xx{log.BLOT}yy") == len(secrets)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_task_is_on_all_later_lines_at_every_level(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.set_up(level, "lines", ())
    logging.getLogger("x").info("copy started", extra={"facts": {"task": "t1"}})
    logging.getLogger("x").error("it broke")
    *before, last = capsys.readouterr().err.splitlines()
    assert last.endswith("it broke  task=t1")
    assert len(before) == (level in {"debug", "info"})
