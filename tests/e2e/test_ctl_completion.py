# SPDX-License-Identifier: Apache-2.0
"""Completion of culvertctl on the command line, in bash and in zsh, as a person at a terminal meets it."""

import os
import shlex
import subprocess

import pytest

from harness.fake_api import BACKENDS, CTL, backend
from harness.lab import ROOT

FOLDER = ROOT / "tools/completion"
COMMANDS = {"status", "servers", "stats", "flows", "drops", "events", "top", "explain", "config", "drain",
            "maint", "ready", "weight", "reload", "check"}


def environment(fake_api):
    return {**os.environ, "PATH": f"{os.path.dirname(CTL)}:{os.environ['PATH']}",
            "CULVERT_SOCKET": fake_api.path}


def bash(fake_api, *words):
    """What bash would offer after these words, the last of them unfinished."""
    script = (f"source {FOLDER}/culvertctl.bash; "
              "compopt() { if [[ $2 == default ]]; then COMPREPLY+=(FILES); fi; }; "
              f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}; "
              "_culvertctl; printf '%s\\n' \"${COMPREPLY[@]}\"")
    result = subprocess.run(["bash", "-uc", script], capture_output=True, text=True, check=True,
                            env=environment(fake_api))
    assert result.stderr == "", result.stderr
    return set(result.stdout.split("\n")) - {""}


def test_bash_knows_commands_and_options(fake_api):
    assert bash(fake_api, "culvertctl", "") == COMMANDS
    assert bash(fake_api, "culvertctl", "re") == {"ready", "reload"}
    assert bash(fake_api, "culvertctl", "--json", "st") == {"status", "stats"}
    assert {"--plan", "--max-disruption=", "--socket=", "--json"} <= bash(fake_api, "culvertctl", "reload", "--")
    assert bash(fake_api, "culvertctl", "--ver") == {"--version"}


def test_bash_knows_servers(fake_api):
    names = {"web/b1", "web/b2", "web/b3", "mail/m1"}
    for command in ("drain", "maint", "ready", "weight"):
        assert bash(fake_api, "culvertctl", command, "") == names
    assert bash(fake_api, "culvertctl", "drain", "web/b") == names - {"mail/m1"}
    assert bash(fake_api, "culvertctl", "weight", "web/b1", "") == {"default"}
    assert bash(fake_api, "culvertctl", "servers", "") == {"web", "mail"}
    assert bash(fake_api, "culvertctl", "flows", "--server", "=", "mail") == {"mail/m1"}
    assert bash(fake_api, "culvertctl", "flows", "--server", "=") == names
    assert bash(fake_api, "culvertctl", "drops", "--sample", "=", "fl") == {"flow_table_full"}
    assert bash(fake_api, "culvertctl", "check", "--mode", "=", "") == {"proxy", "passthrough", "dsr"}


def test_bash_offers_files_where_one_is_wanted(fake_api):
    assert bash(fake_api, "culvertctl", "check", "") == {"FILES"}
    assert bash(fake_api, "culvertctl", "reload", "") == set()
    assert bash(fake_api, "culvertctl", "reload", "--plan", "") == {"FILES"}
    assert bash(fake_api, "culvertctl", "drops", "") == set()
    assert bash(fake_api, "culvertctl", "drops", "--sample", "=", "no_flow", "") == {"FILES"}


def test_bash_asks_at_the_socket_of_the_line(fake_api, tmp_path):
    assert bash(fake_api, "culvertctl", "--socket", "=", str(tmp_path / "none"), "drain", "") == set()
    assert "web/b1" in bash(fake_api, "culvertctl", "--socket", "=", fake_api.path, "drain", "")
    assert "web/b1" in bash(fake_api, "culvertctl", "--socket", fake_api.path, "drain", "")


def test_bash_quotes_odd_names(fake_api):
    fake_api.answers["GET /api/v1/backends"] = {**BACKENDS, "backends": [
        backend("a b"), backend("$(touch pwned)")]}
    assert bash(fake_api, "culvertctl", "drain", "") == {"web/a\\ b", "web/\\$\\(touch\\ pwned\\)"}


def test_bash_offers_nothing_when_nobody_answers(fake_api):
    del fake_api.answers["GET /api/v1/backends"]
    assert bash(fake_api, "culvertctl", "drain", "") == set()


@pytest.fixture
def zsh(fake_api, make_terminal, tmp_path):
    """Call it with a line: zsh with culvertctl's completion, at which the line is typed, and Tab pressed
    twice."""
    (tmp_path / ".zshrc").write_text(
        f"fpath=({FOLDER} $fpath)\nautoload -Uz compinit && compinit -u -D\nPS1='$ '\n"
        "setopt no_beep\nunsetopt menu_complete auto_menu\nsetopt list_ambiguous bash_auto_list\n")

    def start(line):
        terminal = make_terminal(["zsh", "-i"], columns=100, environment={
            **environment(fake_api), "ZDOTDIR": str(tmp_path)})
        terminal.await_text("$")
        terminal.type(line + "\t\t")
        return terminal
    return start


@pytest.mark.parametrize("line, offered", [
    ("culvertctl re", ["ready", "reload", "take the configuration file over"]),
    ("culvertctl drain ", ["web/b1", "web/b2", "mail/m1"]),
    ("culvertctl drain ma", ["culvertctl drain mail/m1"]),
    ("culvertctl servers ", ["web", "mail"]),
    ("culvertctl reload --", ["--plan", "--max-disruption="]),
    ("culvertctl flows --server=ma", ["culvertctl flows --server=mail/m1"]),
    ("culvertctl drops --sample=fl", ["--sample=flow_table_full"]),
    ("culvertctl check --mode=pa", ["--mode=passthrough"]),
    ("culvertctl weight web/b1 d", ["weight web/b1 default"]),
    (f"culvertctl reload --plan {ROOT}/VERSI", ["VERSION"]),
])
def test_zsh_completes(zsh, line, offered):
    terminal = zsh(line)
    for text in offered:
        terminal.await_text(text, timeout=20)
