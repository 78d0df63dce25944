# SPDX-License-Identifier: Apache-2.0
"""culvertctl top, on a pseudo-terminal, against canned answers."""

import re
import signal
import threading

import pytest

from harness.fake_api import BACKENDS, STATUS, backend
from harness.wait import await_condition

ENTER, ESCAPE, CTRL_C = "\n", "\033", "\003"


@pytest.fixture
def top(fake_api, make_terminal):
    """Call it with the arguments of Terminal: top, with its first screen drawn."""
    def start(*args, **options):
        terminal = make_terminal(fake_api.command("top", *args), **options)
        terminal.await_text("q quit")
        return terminal
    return start


def grow(fake_api, per_answer=100):
    """A server whose counters move with each answer."""
    count = 0

    def answer(handler):
        nonlocal count
        count += per_answer
        moved = backend("b1", connections={"current": 5, "total": count},
                        bytes={"rx": count * 10000, "tx": count * 500})
        handler.reply(200, {**BACKENDS, "backends": [moved, *BACKENDS["backends"][1:]]})

    fake_api.answers["GET /api/v1/backends"] = answer


def await_rounds(fake_api, count):
    """So many more times it has asked, and drawn what it was told."""
    before = len(fake_api.requests)
    await_condition(lambda: len(fake_api.requests) > before + 3 * count + 1, "it asks", timeout=30)


def number_of(line, column):
    return float(re.split(r"\s{2,}", line.strip())[column].replace(",", ""))


def test_pools_come_first_and_rates_move(fake_api, top):
    grow(fake_api)
    terminal = top()
    assert "culvert 9.9.9   passthrough mode   ready, running for 2 h 5 min" in terminal.text()
    assert "flows 12,304 of 1,048,576" in terminal.text()
    assert "servers 3   up 2   down 1" in terminal.text()
    assert "1 of 1" in terminal.line("mail") and "2 of 3" in terminal.line("web")
    await_condition(lambda: "-" not in terminal.line("web"), "rates")
    assert 10 < number_of(terminal.line("web"), 3) <= 200, terminal.text()


@pytest.mark.parametrize("columns, fast", [(80, ", 9,812 fast "), (60, " ")])
def test_what_the_kernel_forwards_is_told_where_there_is_room(fake_api, top, columns, fast):
    terminal = top(columns=columns)
    terminal.await_text(f"flows 12,304 of 1,048,576{fast}  new/s")
    fake_api.answers["GET /api/v1/status"] = {**STATUS, "flows": {"current": 5, "capacity": 8, "fast_path": 0}}
    terminal.await_text("flows 5 of 8   new/s")


def test_a_pool_is_entered_and_left(top):
    terminal = top()
    terminal.type("j" + ENTER)
    terminal.await_text("pool web   web 10.0.0.1:80 maglev")
    text = terminal.text()
    assert "web/b1" in text and "mail/m1" not in text
    terminal.type("j")
    terminal.await_text("selected: web/b2: connection refused")
    assert "drain" in terminal.line("web/b3")
    terminal.type(ESCAPE)
    terminal.await_text("2 of 3")
    terminal.type("a")
    terminal.await_text("mail/m1")
    assert "web/b1" in terminal.text()


def test_arrows_choose_as_letters_do(top):
    terminal = top()
    terminal.type("\033OB" + "\033OC")
    terminal.await_text("pool web")
    terminal.type("\033OD")
    terminal.await_gone("pool web")


def test_sorting(fake_api, top):
    fake_api.answers["GET /api/v1/backends"] = {**BACKENDS, "backends": [
        backend("b1", connections={"current": 5, "total": 1}), backend("b10", connections={"current": 70, "total": 1}),
        backend("b9", connections={"current": 9, "total": 1})]}
    terminal = top()

    def order():
        return [line.split()[0] for line in terminal.text().splitlines() if re.match(r"web/b\d+ .*%", line)]

    terminal.type("a")
    for keys, expected in (("", ["web/b1", "web/b9", "web/b10"]), ("n", ["web/b10", "web/b9", "web/b1"]),
                           ("c", ["web/b10", "web/b9", "web/b1"]), ("c", ["web/b1", "web/b9", "web/b10"])):
        terminal.type(keys)
        await_condition(lambda: order() == expected, f"{expected} after {keys}")


def test_a_list_longer_than_the_screen_scrolls(fake_api, top):
    fake_api.answers["GET /api/v1/backends"] = {**BACKENDS, "backends": [backend(f"b{i}") for i in range(200)]}
    terminal = top()
    terminal.type("a")
    terminal.await_text("web/b16 ")
    assert "web/b17 " not in terminal.text()
    terminal.type("\033OF")  # End
    terminal.await_text("web/b199 ")
    terminal.type("\033[5~")  # PgUp
    terminal.await_text("web/b182 ")
    terminal.type("\033OH")
    terminal.await_text("web/b0 ")


@pytest.mark.parametrize("columns, rows", [(80, 24), (200, 60), (40, 12), (20, 5), (5, 2), (1, 1)])
def test_any_size_and_resizing(fake_api, top, make_terminal, columns, rows):
    terminal = top()
    terminal.type("a")
    terminal.await_text("web/b1")
    terminal.resize(columns, rows)
    await_rounds(fake_api, 2)
    terminal.type("j")
    terminal.resize(80, 24)
    terminal.await_text("web/b3")
    terminal.await_text("q quit")
    small = make_terminal(fake_api.command("top"), columns=columns, rows=rows)
    await_rounds(fake_api, 2)
    small.type("q")
    assert small.wait() == 0


def test_at_80_by_24_nothing_is_cut(top):
    terminal = top(columns=80, rows=24)
    terminal.type("a")
    terminal.await_text("web/b1")
    heading = terminal.line("HEALTH").split()
    assert heading == ["SERVER", "HEALTH", "WEIGHT", "SHARE", "NOW", "NEW/S", "IN/S", "OUT/S"]
    assert terminal.text().splitlines()[-1].endswith("q quit")


def test_a_narrow_screen_keeps_what_counts(top):
    terminal = top(columns=45, rows=12)
    terminal.type("a")
    terminal.await_text("web/b1")
    assert terminal.line("HEALTH").split() == ["SERVER", "HEALTH", "NOW", "NEW/S"]


@pytest.mark.parametrize("end", ["q", CTRL_C, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_as_before(top, end):
    terminal = top()
    assert not terminal.is_cooked()
    if isinstance(end, str):
        terminal.type(end)
    else:
        terminal.signal(end)
    assert terminal.wait() == 0
    assert terminal.is_cooked()
    assert terminal.raw.rstrip().endswith(b"\x1b[?1l\x1b>") or b"\x1b[?1049l" in terminal.raw


def test_a_culvert_that_goes_away_is_waited_for(fake_api, top):
    terminal = top()
    good = fake_api.answers["GET /api/v1/status"]
    fake_api.answers["GET /api/v1/status"] = (200, b"nonsense")
    terminal.await_text("No answer, the numbers are old")
    assert "web" in terminal.text(), "what is known stays"
    fake_api.answers["GET /api/v1/status"] = good
    terminal.await_gone("No answer")


def test_keys_work_while_culvert_hangs(fake_api, top):
    terminal = top()
    enough = threading.Event()
    fake_api.answers["GET /api/v1/backends"] = lambda handler: enough.wait(60)
    before = len(fake_api.requests)
    await_condition(lambda: len(fake_api.requests) > before + 2, "it waits for an answer")
    terminal.type("a")
    terminal.await_text("web/b1")
    terminal.type("q")
    assert terminal.wait() == 0
    enough.set()


def test_a_failure_at_the_start_is_told_without_a_screen(fake_api, make_terminal, tmp_path):
    terminal = make_terminal([*fake_api.command("top"), f"--socket={tmp_path}/none"])
    assert terminal.wait() == 3
    assert "there is no socket" in terminal.text()
    assert b"\x1b[?1049h" not in terminal.raw


def test_without_a_terminal_it_says_so(fake_api):
    result = fake_api.run("top")
    assert (result.returncode, result.stdout) == (2, "")
    assert "top needs a terminal" in result.stderr


def test_an_unknown_terminal_is_named(fake_api, make_terminal):
    terminal = make_terminal(fake_api.command("top"), environment={"TERM": "nonsense"})
    assert terminal.wait() == 2
    assert 'the terminal "nonsense" is not known here' in terminal.text()
    assert terminal.is_cooked()


def test_odd_names_draw_nothing_of_their_own(fake_api, top):
    fake_api.answers["GET /api/v1/backends"] = {**BACKENDS, "backends": [
        backend("\033[2J\033[Hx", pool="web"), backend("y" * 300), backend("日本" * 40)]}
    terminal = top()
    terminal.type("a")
    terminal.await_text("web/?[2J?[Hx")
    terminal.await_text("web/yyy")
    assert all(len(line) <= 80 for line in terminal.text().splitlines())
    assert "culvert 9.9.9" in terminal.text()
