"""Lines of text as programs write them, one or two of each layout: time, severity, logger and message are where they belong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.parse import text_lines
from agent.parse.formats import PLAIN, detect
from agent.parse.timestamps import from_text

NOW = 1_795_348_800_000_000_000
"""2026-11-22T12:00:00Z"""
AT = "2026-11-22 10:00:00"
TRACE = "0af7651916cd43dd8448eb211c80319c"

LINES = {
    # Python's logging
    f"{AT},123 ERROR shop.pay card refused": (17, "shop.pay", "card refused"),
    f"{AT},123 INFO     __main__ started": (9, "__main__", "started"),
    f"{AT},123 INFO card.yaml was read": (9, None, "card.yaml was read"),
    f"{AT},123 ERROR example.com does not answer": (17, None, "example.com does not answer"),
    f"{AT},123 INFO v1.2.3 installed": (9, None, "v1.2.3 installed"),
    f"{AT},123 [MainThread] ERROR shop.pay: card refused": (17, "shop.pay", "card refused"),
    f"{AT},123 [Thread-7 (work)] WARNING shop: stock low": (13, "shop", "stock low"),
    f"{AT},123 - shop.pay - ERROR - card refused": (17, "shop.pay", "card refused"),
    f"{AT},123 | ERROR | shop.pay | card refused": (17, "shop.pay", "card refused"),
    f"{AT},123\tERROR\tshop.pay\tcard refused": (17, "shop.pay", "card refused"),
    f"{AT},123 ERROR [shop.pay] card refused": (17, "shop.pay", "card refused"),
    f"[{AT},123] [ERROR] [shop] card refused": (17, "shop", "card refused"),
    f"{AT},123 ERROR [pay.py:12] card refused": (17, None, "card refused"),
    f"{AT},123 ERROR pay.py:12 - card refused": (17, None, "card refused"),
    f"{AT},123 ERROR shop.pay:12 - card refused": (17, "shop.pay", "card refused"),
    f"{AT},123 E shop.pay: card refused": (17, "shop.pay", "card refused"),
    f"{AT} [E] card refused": (17, None, "card refused"),
    f"{AT},123 ERROR ValueError: card refused": (17, None, "ValueError: card refused"),
    f"{AT},123 4711 ERROR nova.compute [req-1] card refused": (17, "nova.compute", "[req-1] card refused"),
    f"{AT},123 ERROR [shop.pay] [pay.py:12] [trace_id={TRACE} span_id=b7ad6b7169203331 resource.service.name=s] - no": (17, "shop.pay", "no"),
    "ERROR:shop.pay:card refused": (17, "shop.pay", "card refused"),
    f"{AT},123 - ERROR - stock.py:9 - shelf empty": (17, None, "shelf empty"),
    f"{AT},123 - root - INFO - shelf.py:9 was read": (9, "root", "shelf.py:9 was read"),
    f"{AT},123 - stock.py[line:9] - WARNING: shelf low": (13, None, "shelf low"),
    f"{AT},123 stock.py:9 WARNING shelf low": (13, None, "shelf low"),
    f"{AT},123 - WARNING - shop.stock - stock.py:9 - shelf low": (13, "shop.stock", "shelf low"),
    f"{AT},123 - shop.stock - WARNING - [stock.py:9] - shelf low": (13, "shop.stock", "shelf low"),
    f"{AT},123 (MainThread) WARNING shop.stock - shelf low": (13, "shop.stock", "shelf low"),
    f"{AT}.123 WARNING (SyncWorker_2) [custom_components.shelf] shelf low": (13, "custom_components.shelf", "shelf low"),
    f"{AT} till-3 shop.stock[4711] WARNING shelf low": (13, "shop.stock", "shelf low"),
    "[Thread-7 (count)] WARNING shop.stock: shelf low": (13, "shop.stock", "shelf low"),
    "WARNING  shop.stock:stock.py:9 shelf low": (13, "shop.stock", "shelf low"),
    "ERROR    shelf empty": (17, None, "shelf empty"),
    "INFO     counting": (9, None, "counting"),
    "WARNING 11-22 10:00:00 [scheduler.py:9] cache full": (13, None, "cache full"),
    f"{AT}.123456: W tensorflow/core/framework/op.cc:9] shelf low": (13, None, "shelf low"),
    f"[{AT} +0000] - (sanic.root)[WARNING] shelf low": (13, "sanic.root", "shelf low"),
    f"{AT},123\tERROR shelf.py:9 -- shelf empty": (17, None, "shelf empty"),
    "CRITICAL: no disk": (21, None, "no disk"),
    f"{AT},123:ERROR:shop.pay:card refused": (17, "shop.pay", "card refused"),
    f"{AT},123:ERROR:card refused": (17, None, "card refused"),
    f"{AT},123 INFO sqlalchemy.engine.Engine SELECT 1": (9, "sqlalchemy.engine.Engine", "SELECT 1"),
    f"{AT} [scrapy.core.engine] INFO: Spider opened": (9, "scrapy.core.engine", "Spider opened"),
    # its libraries and servers
    f"{AT}.296 | SUCCESS  | shop.pay:run:15 - done": (10, "shop.pay", "done"),
    f"{AT} [info     ] order placed                   [shop.pay] order=17 user='Ann Lee'": (9, "shop.pay", "order placed"),
    "[warning  ] stock low                      sku=7": (13, None, "stock low"),
    f"[{AT},123] {{taskinstance.py:1157}} INFO - dependencies met": (9, None, "dependencies met"),
    f"[{AT},123: ERROR/ForkPoolWorker-1] task failed": (17, None, "task failed"),
    f"[{AT} +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:9)": (21, None, "WORKER TIMEOUT (pid:9)"),
    f"[{AT},123] ERROR in app: card refused": (17, "app", "card refused"),
    f"ERROR {AT},123 views 12 139 card refused": (17, "views", "card refused"),
    "[E 261122 10:00:00 web:2271] card refused": (17, None, "card refused"),
    f"[W {AT}.123 ServerApp] stock low": (13, "ServerApp", "stock low"),
    "[11/22/26 10:00:00] ERROR    card refused                                pay.py:46": (17, None, "card refused"),
    "                    WARNING  stock low                                   pay.py:47": (13, None, "stock low"),
    # Go
    "E1122 10:00:00.000000   12345 pay.go:12] card refused": (17, None, "card refused"),
    'W1122 10:00:00.000000   12345 pay.go:12] "Stock low" sku="a b"': (13, None, "Stock low"),
    "I20261122 10:00:00.000000 12345 pay.cc:12] started": (9, None, "started"),
    "ERRO[0003] card refused                                  order=17": (17, None, "card refused"),
    "WARN[2026-11-22T10:00:00Z] stock low                      sku=7": (13, None, "stock low"),
    '2026-11-22T10:00:00.123Z\tERROR\tshop.pay\tpay/pay.go:67\tcard refused\t{"order": 17}': (17, "shop.pay", "card refused"),
    "2026-11-22T10:00:00.123Z\tINFO\tpay/pay.go:67\tstarted": (9, None, "started"),
    "10:00AM INF order placed order=17": (9, None, "order placed"),
    "2026-11-22T10:00:00Z WRN pay.go:79 > stock low sku=7": (13, None, "stock low"),
    '2026/11/22 10:00:00 ERROR card refused err="no funds"': (17, None, "card refused"),
    "2026-11-22T10:00:00.123Z [WARN]  agent.cache: stock low: sku=7": (13, "agent.cache", "stock low: sku=7"),
    # Rust, Java, .NET, Ruby, PHP, Node, Erlang
    "2026-11-22T10:00:00.123456Z ERROR my_app::pay: card refused order=17": (17, "my_app::pay", "card refused order=17"),
    "[2026-11-22T10:00:00Z ERROR my_app::pay] card refused": (17, "my_app::pay", "card refused"),
    "2026-11-22T10:00:00.123Z  INFO 1234 --- [shop] [           main] c.e.shop.Pay      : started": (9, "c.e.shop.Pay", "started"),
    f"{AT}.123 [http-nio-8080-exec-1] ERROR com.example.Pay - card refused": (17, "com.example.Pay", "card refused"),
    "10:00:00.123 [main] WARN  com.example.Pay -- stock low": (13, "com.example.Pay", "stock low"),
    f"{AT},123 ERROR [com.example.Pay] (main) card refused": (17, "com.example.Pay", "card refused"),
    "[2026-11-22T10:00:00,123][WARN ][o.e.n.Node              ] [node-1] stock low": (13, "o.e.n.Node", "[node-1] stock low"),
    "22-Nov-2026 10:00:00.123 INFO [main] org.apache.catalina.startup.Catalina.load Initialized": (
        9, "org.apache.catalina.startup.Catalina.load", "Initialized",
    ),
    "22 Nov 2026 10:00:00,123 [main] ERROR com.example.Pay - card refused": (17, "com.example.Pay", "card refused"),
    "26/11/22 10:00:00 ERROR Executor: card refused": (17, "Executor", "card refused"),
    f"{AT}.1234|ERROR|Shop.Pay|card refused": (17, "Shop.Pay", "card refused"),
    f"{AT}.1234|ERROR|card was refused": (17, None, "card was refused"),
    f"{AT},123 [7] ERROR Shop.Pay [(null)] - card refused": (17, "Shop.Pay", "card refused"),
    "fail: Shop.Pay[7]": (17, "Shop.Pay", "Shop.Pay[7]"),
    "[10:00:00 ERR] card refused": (17, None, "card refused"),
    f"{AT}.123 +00:00 [ERR] card refused": (17, None, "card refused"),
    "E, [2026-11-22T10:00:00.123456 #123] ERROR -- pay: card refused": (17, "pay", "card refused"),
    "[22-Nov-2026 10:00:00 UTC] PHP Warning:  card refused in /pay.php on line 7": (13, None, "card refused in /pay.php on line 7"),
    "[22-Nov-2026 10:00:00] NOTICE: ready to handle connections": (10, None, "ready to handle connections"),
    f'[{AT}] production.ERROR: card refused {{"order":17}} []': (17, "production", 'card refused {"order":17} []'),
    "[2026-11-22T10:00:00.123Z] ERROR: shop/3505 on host-1: card refused (order=17)": (17, "shop", "card refused (order=17)"),
    "[10:00:00.123] WARN (3505): stock low": (13, None, "stock low"),
    "2026-11-22T10:00:00.123Z [shop] error: card refused": (17, "shop", "card refused"),
    f"{AT}.123456+00:00 [error] <0.9.0> card refused": (17, None, "card refused"),
    "10:00:00.123 [error] card refused": (17, None, "card refused"),
    "[Nest] 41  - 11/22/2026, 10:00:00 AM     LOG [ShelfModule] shelf counted +3ms": (9, "ShelfModule", "shelf counted +3ms"),
    "[Nest] 41  - 22/11/2026, 10:00:00   ERROR [TillService] card refused": (17, "TillService", "card refused"),
    "[shop-api] 41  - 11/22/2026, 10:00:00\u202fAM VERBOSE nothing to count": (1, None, "nothing to count"),
    f"[{AT},123] INFO shelf counted (kafka.server.ShelfManager)": (9, "kafka.server.ShelfManager", "shelf counted"),
    f"[{AT},123] WARN [Worker clientId=till-1] shelf low (org.shop.stock.Worker:88)": (13, "org.shop.stock.Worker", "[Worker clientId=till-1] shelf low"),
    f"[{AT},123] ERROR no answer from the till (till.shop.local)": (17, None, "no answer from the till (till.shop.local)"),
    f"{AT}.123+0000 [id=31]\tINFO\tjenkins.Shelf$1#onCounted: shelf counted": (9, "jenkins.Shelf$1", "shelf counted"),
    # Odoo
    f"{AT},123 41 INFO shop odoo.addons.stock.models.shelf: shelf counted": (9, "odoo.addons.stock.models.shelf", "shelf counted"),
    f"{AT},123 41 ERROR ? odoo.sql_db: card refused": (17, "odoo.sql_db", "card refused"),
    f"{AT},123 41 WARNING shop-2 py.warnings: stock low": (13, "py.warnings", "stock low"),
    f"{AT},123 41 INFO nothing here: odoo is not the one": (9, None, "nothing here: odoo is not the one"),
    # Android
    "W/ShelfView(  871): stock low": (13, "ShelfView", "stock low"),
    "11-22 10:00:00.123   871   902 E TillService: card refused": (17, "TillService", "card refused"),
    "11-22 10:00:00.123 u0_a7   871   902 I Till Service  : card taken": (9, "Till Service", "card taken"),
    "11-22 10:00:00.123 D/ShelfView(  871): counting": (5, "ShelfView", "counting"),
    f"{AT}.123   871   902 W ShelfView: stock low": (13, "ShelfView", "stock low"),
    f"{AT}.123   871-902   ShelfView               com.example.shop           E  card refused": (17, "ShelfView", "card refused"),
    f"{AT}.123 871-902/com.example.shop E/ShelfView: card refused": (17, "ShelfView", "card refused"),
    # servers
    "[NOTICE]   (7) : New worker (8) forked": (10, None, "New worker (8) forked"),
    "[ALERT] 325/100000 (7) : backend 'till' has no server available!": (19, None, "backend 'till' has no server available!"),
    "[WARNING] shop.stock: shelf low": (13, "shop.stock", "shelf low"),
    "2026/11/22 10:00:00 [crit] 29#29: *17 no disk": (21, None, "*17 no disk"),
    "[Sun Nov 22 10:00:00.123456 2026] [core:crit] [pid 7:tid 8] [client 192.0.2.7:5] AH00035: no": (18, "core", "AH00035: no"),
    f"{AT}.123 UTC [123] LOG:  ready to accept connections": (9, None, "ready to accept connections"),
    f'{AT}.123 UTC [123] app@shop ERROR:  relation "a" does not exist': (17, None, 'relation "a" does not exist'),
    "2026-11-22T10:00:00.123456Z 0 [Warning] [MY-010068] [Server] CA certificate is self signed.": (13, "Server", "CA certificate is self signed."),
    f"{AT} 0 [Note] InnoDB: started": (10, "InnoDB", "started"),
    "7:M 22 Nov 2026 10:00:00.123 # WARNING overcommit_memory is set to 0!": (13, None, "WARNING overcommit_memory is set to 0!"),
    "2026-11-22T10:00:00.123+0000 E STORAGE  [conn7] no disk": (17, "STORAGE", "no disk"),
    "2026.11.22 10:00:00.123456 [ 123 ] {} <Error> Application: no disk": (17, "Application", "no disk"),
    "[2026/11/22 10:00:00] [ warn] [input:tail:tail.0] stock low": (13, None, "[input:tail:tail.0] stock low"),
    "2026-11-22T10:00:00Z E! [inputs.cpu] no disk": (17, None, "[inputs.cpu] no disk"),
    "WARN [11-22|10:00:00.000] Stock low                                sku=7": (13, None, "Stock low"),
    "EROR[11-22|10:00:00] Shelf empty                              sku=7": (17, None, "Shelf empty"),
    f"{AT}.123456 W | raft: shelf low": (13, "raft", "shelf low"),
    "WARN  [Compaction:1] 2026-11-22 10:00:00,123 Compaction.java:9 - shelf low": (13, None, "shelf low"),
    f"{AT},123 WARN  [pool-1-thread-2] org.shop.Stock (Stock.java:9) - shelf low": (13, "org.shop.Stock", "shelf low"),
    f"{AT},123 [myid:3] - WARN  [main:Peer@9] - shelf low": (13, None, "[main:Peer@9] - shelf low"),
    "10:00:00.123 request_id=Fabc user=7 [warning] shelf low": (13, None, "shelf low"),
    "[10:00:00] [Server thread/WARN]: shelf low": (13, None, "shelf low"),
    "<4>shelf low": (13, None, "shelf low"),
    # AWS Lambda
    "[ERROR]\t2026-11-22T10:00:00.123Z\t0af76519-16cd-43dd-8448-eb211c80319c\tcard refused": (17, None, "card refused"),
    "2026-11-22T10:00:00.123Z\t0af76519-16cd-43dd-8448-eb211c80319c\tWARN\tstock low": (13, None, "stock low"),
    "[ERROR] KeyError: 'card'": (17, None, "KeyError: 'card'"),
    "END RequestId: 0af76519-16cd-43dd-8448-eb211c80319c": (0, None, "END RequestId: 0af76519-16cd-43dd-8448-eb211c80319c"),
}  # fmt: skip
UNDATED = (
    "WARN [",
    "ERROR:",
    "CRITICAL:",
    "[warning",
    "      ",
    "ERRO[",
    "10:00",
    "26/11",
    "fail:",
    "[10:00",
    "[ERROR] ",
    "END ",
    "[Thread",
    "WARNING  ",
    "INFO  ",
    "ERROR   ",
    "EROR",
    "<4>",
    "W/Shelf",
    "[NOTICE]",
    "[ALERT]",
    "[WARNING] ",
)


@pytest.mark.parametrize(("line", "expected"), LINES.items(), ids=LINES)
def test_a_line_says_what_its_writer_meant(line, expected):
    """Level, logger and message are separated, and the time is the record's where the line has a date."""
    parsed = text_lines.parse(line.encode(), NOW)

    assert (parsed.severity, parsed.attributes.get("logger"), parsed.body) == expected
    assert parsed.time_ns // 10**9 == (0 if line.startswith(UNDATED) else from_text(f"{AT}Z") // 10**9)


@pytest.mark.parametrize("line", LINES, ids=LINES)
def test_the_order_in_which_layouts_are_tried_changes_nothing(line):
    """Layouts that match the same line say the same of it, so what was read before can't be seen in a record."""
    readings = [parsed for row in text_lines._ROWS if (parsed := text_lines._parsed(row, line, NOW)) is not None]

    assert readings
    assert all(reading == readings[0] for reading in readings)


def test_more_of_the_line_is_told_apart():
    """Threads, files, process and request ids, pairs and objects behind the message."""
    said = {line: text_lines.parse(line.encode(), NOW).attributes for line in LINES}

    assert said[f"{AT},123 [MainThread] ERROR shop.pay: card refused"] == {"thread.name": "MainThread", "logger": "shop.pay"}
    assert said[f"{AT},123 ERROR [pay.py:12] card refused"] == {"code.file.path": "pay.py", "code.line.number": 12}
    assert said["10:00AM INF order placed order=17"]["order"] == "17"
    assert said[f"{AT} [info     ] order placed                   [shop.pay] order=17 user='Ann Lee'"]["user"] == "Ann Lee"
    assert [more["order"] for more in said.values() if "order" in more] == ["17", "17", 17, "17"]
    assert said["[E 261122 10:00:00 web:2271] card refused"] == {"code.file.path": "web", "code.line.number": 2271}
    assert {more["faas.invocation_id"] for more in said.values() if "faas.invocation_id" in more} == {
        "0af76519-16cd-43dd-8448-eb211c80319c"
    }


def test_ids_of_opentelemetrys_layout_are_the_records():
    """The trace and the span; a zero outside of any span is not one."""
    line = f"{AT},123 INFO [a] [b.py:1] [trace_id=%s span_id=%s resource.service.name=s trace_sampled=%s] - m"

    inside = text_lines.parse((line % (TRACE, "b7ad6b7169203331", "True")).encode(), NOW)
    outside = text_lines.parse((line % ("0", "0", "False")).encode(), NOW)

    assert (inside.trace_id.hex(), inside.span_id.hex(), inside.trace_flags) == (TRACE, "b7ad6b7169203331", 1)
    assert (outside.trace_id, outside.span_id, outside.trace_flags, outside.body) == (b"", b"", 0, "m")


@pytest.mark.parametrize(
    "bad", [" " * 60_000, "a" * 60_000, "a.b-" * 15_000, " - a" * 15_000, "[x " * 20_000, "a=1 " * 15_000, '"' * 60_000, "::" * 30_000]
)
@pytest.mark.parametrize(
    "head", [f"{AT},123 ", f"[{AT}] [", f"{AT} INFO ", "INFO:", "E1122 10:00:00.000000 1 ", "10:00AM INF ", "                    ERROR "]
)
def test_no_line_takes_long(head, bad):
    """Parts that repeat are bounded: the longest line costs milliseconds, whatever it is made of."""
    line = (head + bad)[:65_000].encode()

    begin = time.process_time()
    detect(line)

    assert time.process_time() - begin < 0.5


def test_indentation_behind_a_time_is_content():
    """One blank parts both; what is more belongs to the text."""
    bodies = [text_lines.parse_timed(f"{AT}Z{text}".encode(), NOW).body for text in (" config:", "   a:", "     b: 1", " - a", "\tc")]

    assert bodies == ["config:", "  a:", "    b: 1", "a", "c"]


PROSE = (Path(__file__).parents[2] / "golden" / "prose.txt").read_text().splitlines()


@pytest.mark.parametrize("line", PROSE, ids=PROSE)
def test_ordinary_text_stays_plain(line):
    """Prose, SQL, source code, tables, stack traces, the output of tools: no layout takes them for its own."""
    assert detect(line.encode()) is PLAIN


@pytest.mark.parametrize(
    "text",
    [
        "the ERROR was mended",
        "Critical parts of the shelf are gone",
        "Notice to all customers",
        "all WARNING signs are gone",
        "Error codes of the till",
    ],
)
def test_a_sentence_behind_a_time_has_no_level(text):
    """A word that is a level elsewhere is one of the sentence's, which stays whole."""
    parsed = detect(f"{AT} {text}".encode()).parse(f"{AT} {text}".encode(), NOW)

    assert (parsed.severity, parsed.body, parsed.attributes) == (0, text, {})


def test_headers_of_syslog_are_not_the_text_of_a_service():
    """A digit in angle brackets is a level where no header of syslog's follows."""
    assert detect(b"<4>Nov 22 10:00:00 till shop[7]: shelf low").name == "syslog"
    assert detect(b"<4>1 2026-11-22T10:00:00Z till shop 7 - - shelf low").name == "syslog"


def test_there_is_enough_ordinary_text():
    """Two hundred lines."""
    assert len(PROSE) >= 200
