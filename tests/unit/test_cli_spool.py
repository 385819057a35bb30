"""`outrider spool …` as a person calls it, over the store of an agent that does not run, and what the running one answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from agent import cli_spool
from agent.cli import cli
from agent.net.server_message import ServerRequest
from agent.record import Payload, Signal
from agent.server.logs import LogsRoute
from agent.server.spool_routes import spool_routes
from agent.spool.paths import FILE
from agent.spool.spool import Spool
from agent.spool.values import DeadLetter

if TYPE_CHECKING:
    from pathlib import Path


def request(text: str) -> bytes:
    """A request with one record."""
    message = ExportLogsServiceRequest()
    message.resource_logs.add().scope_logs.add().log_records.add().body.string_value = text
    return message.SerializeToString()


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """The state directory of a stopped agent: one valid dead letter, one that is not a request, and a row that waits."""
    spool = await Spool.open(tmp_path)
    await spool.register("otlp", [Signal.LOGS])
    for body in (request("refused"), b"\xff\xff\xff", request("waits")):
        await spool.append("files", [Payload(Signal.LOGS, 1, body)], {}, {}, replayable=True)
    for _ in range(2):
        await spool.settle("otlp", await spool.next_row("otlp", Signal.LOGS), sent=0, dead=[DeadLetter("HTTP 400", 1)])
    await spool.close()
    return tmp_path


def outrider(state: Path, *words: str, code: int = 0) -> tuple[str, str]:
    """Standard output and standard error of `outrider spool …`."""
    result = CliRunner().invoke(cli, ["spool", *words, "--state-dir", str(state)])
    assert (result.exit_code, None if isinstance(result.exception, SystemExit) else result.exception) == (code, None)
    return result.stdout, result.stderr


def test_a_dead_letter_is_shown(state: Path):
    """`--show` writes the refused request as OTLP/JSON; of one that cannot be read it says so, as of one that is not there."""
    shown, _ = outrider(state, "dead-letters", "--show", "1")
    (record,) = json.loads(shown)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert record["body"] == {"stringValue": "refused"}
    assert outrider(state, "dead-letters", "--show", "2", code=70)[1] == "outrider: dead letter 2 is damaged: not a request of logs\n"
    assert outrider(state, "dead-letters", "--show", "3", code=66)[1] == "outrider: there is no dead letter 3\n"


def test_dead_letters_are_listed(state: Path):
    """The list says where each was going and why it was refused; as JSON it is one list."""
    listed, _ = outrider(state, "dead-letters")
    assert [line.split() for line in listed.splitlines()] == [
        [str(number), "otlp", "logs", "row", str(number), "1", "records", "HTTP", "400"] for number in (1, 2)
    ]
    assert [one["id"] for one in json.loads(outrider(state, "dead-letters", "--json")[0])] == [1, 2]


def test_all_dead_letters_are_listed_page_by_page(capsys: pytest.CaptureFixture[str]):
    """A store gives them out in pages: the list goes on until a page is empty."""

    class Pages(cli_spool.Running):
        def __init__(self) -> None:
            self.asked: list[int] = []

        def ask(self, name: str, /, **arguments: str) -> object:
            assert name == "dead-letters"
            self.asked.append(after := int(arguments["after"]))
            return [{"id": after + 5}, {"id": after + 9}] if after < 18 else []

    store = Pages()
    cli_spool.show_dead_letters(store, as_json=True)
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [5, 9, 14, 18]
    assert store.asked == [0, 9, 18]


def test_an_agent_that_knows_no_pages_is_asked_twice(capsys: pytest.CaptureFixture[str]):
    """One that runs since before an upgrade gives the same list whatever is asked for: it is shown once."""

    class Whole(cli_spool.Running):
        def __init__(self) -> None:
            pass

        def ask(self, _name: str, /, **_arguments: str) -> object:
            return [{"id": 5}, {"id": 9}]

    cli_spool.show_dead_letters(Whole(), as_json=True)
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [5, 9]


async def test_the_running_agent_gives_pages(state: Path):
    """It lists what is behind a number, and refuses what is none."""
    spool = await Spool.open(state)
    ask = spool_routes(spool)["GET /spool/dead-letters"]
    answers = [await ask(ServerRequest("GET", "/spool/dead-letters", {"after": after})) for after in ("0", "1", "2")]
    assert [[one["id"] for one in json.loads(bytes(answer.body))] for answer in answers] == [[1, 2], [2], []]
    assert (await ask(ServerRequest("GET", "/spool/dead-letters", {"after": "x"}))).status == 400
    body = spool_routes(spool)["GET /spool/dead-letters/body"]
    assert (await body(ServerRequest("GET", "/spool/dead-letters/body", {"id": "9"}))).status == 400
    await spool.close()


def test_figures_are_for_people_and_for_machines(state: Path):
    """`stat` writes one cursor per line and times as times; its JSON has the cursors as objects."""
    lines = {line.split()[0]: line.split(maxsplit=1)[1:] for line in outrider(state, "stat")[0].splitlines()}
    assert lines["cursors"] == ["otlp  logs  seq 2  pending 1"]
    assert lines["oldest_ns"][0].endswith("+00:00")
    assert lines["quota"] == ["1,073,741,824"]
    found = json.loads(outrider(state, "stat", "--json")[0])
    assert found["cursors"] == [{"destination": "otlp", "signal": "logs", "seq": 2, "pending": 1}]


def test_what_cannot_be_forgotten_is_told(state: Path):
    """`gc` tells a destination that the configuration still has from one that is unknown, and gives up what waits only by force."""
    told = outrider(state, "gc", "other", code=66)[1]
    assert told == "outrider: 'other' is not known to this spool; what can be forgotten: nothing\n"
    file = state / "f.yaml"
    file.write_text("exporters: [{type: otlp_http, name: otlp, endpoint: 'http://h'}]\n")
    _, told = outrider(state, "gc", "otlp", "--config", str(file), code=66)
    assert "'otlp' is in the configuration: remove it there" in told
    told = outrider(state, "gc", "otlp", code=66)[1]
    assert told == "outrider: 1 records wait for 'otlp': to give them up, which counts them as evicted, say --force\n"
    assert outrider(state, "gc", "otlp", "--force")[0] == "otlp: forgotten; 1 records that it had not received are counted as evicted\n"


async def test_what_the_agent_was_configured_with_is_remembered(state: Path):
    """Without a configuration, and in an empty environment, `stat` and `gc` go by that of the agent's last run; a named one overrides it."""
    spool = await Spool.open(state)
    await spool.configure({"otlp": [Signal.LOGS], "sentry": [Signal.METRICS]})
    await spool.configure({"otlp": [Signal.LOGS]})
    await spool.close()
    found = json.loads(outrider(state, "stat", "--json")[0])
    assert (found["configured"], found["orphans"]) == (["otlp"], ["sentry"])
    assert "configured     otlp" in outrider(state, "stat")[0]
    assert "'otlp' is in the configuration" in outrider(state, "gc", "otlp", "--force", code=66)[1]
    assert outrider(state, "gc", "sentry")[0] == "sentry: forgotten; 0 records that it had not received are counted as evicted\n"
    (file := state / "f.yaml").write_text("exporters: [{type: otlp_http, name: renamed, endpoint: 'http://h'}]\n")
    assert "1 records wait for 'otlp'" in outrider(state, "gc", "otlp", "--config", str(file), code=66)[1]
    assert outrider(state, "gc", "otlp", "--config", str(file), "--force")[0].startswith("otlp: forgotten; 1 records")


def test_a_spool_of_an_older_agent_does_not_say_what_is_configured(state: Path):
    """Then `stat` names no orphans and says that it is unknown, and `gc` gives up nothing that waits unless it is forced."""
    found = json.loads(outrider(state, "stat", "--json")[0])
    assert (found["configured"], found["orphans"]) == (None, [])
    assert "configured     unknown" in outrider(state, "stat")[0]
    assert "wait for 'otlp'" in outrider(state, "gc", "otlp", code=66)[1]


@pytest.mark.parametrize("command", ["stat", "export", "dead-letters", "gc otlp"])
def test_where_there_is_no_spool_is_told_as_missing_input(tmp_path: Path, command: str):
    """Exit code 66 (EX_NOINPUT): the program itself has not failed."""
    assert outrider(tmp_path, *command.split(), code=66)[1] == f"outrider: there is no spool in {tmp_path}\n"


def test_an_unknown_severity_is_a_wrong_usage(tmp_path: Path):
    """Exit code 64 (EX_USAGE) with the known ones, whether an agent runs or not; the names that records show are known."""
    asked = [
        CliRunner().invoke(cli, ["logs", "--severity", name, "--state-dir", str(tmp_path)]) for name in ("nonsense", "warning", "CRITICAL")
    ]
    assert [one.exit_code for one in asked] == [64, 69, 69]
    assert asked[0].stderr == "outrider: no severity 'nonsense'; there are trace, debug, info, warn, error, fatal\n"


async def test_the_running_agent_knows_the_usual_names_of_severities(state: Path):
    """Names that records show, such as `warning`, can be asked for; a word that is not a level is refused."""
    spool = await Spool.open(state)
    asked = [await LogsRoute(spool)(ServerRequest("GET", "/logs", {"severity": name})) for name in ("warning", "unspecified", "nonsense")]
    assert [answer.status for answer in asked] == [200, 200, 400]
    await spool.close()


def test_damage_is_told(state: Path):
    """Opening a damaged file sets it aside and saves its intact rows; standard error reports it."""
    file = state / FILE
    file.write_bytes(b"no database" * 1000)
    _, told = outrider(state, "stat")
    assert told.startswith("outrider: warning: spool: salvage report: reason ")
    (aside,) = state.glob("spool.corrupt-*.db")
    assert str(aside) in told
    assert outrider(state, "stat")[1] == ""
