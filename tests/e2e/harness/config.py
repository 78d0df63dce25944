# SPDX-License-Identifier: Apache-2.0
"""Configurations for culvert, as dictionaries and as TOML."""

import os

from .lab import VIP, VIPS, endpoint

STATS_PORT = 9000
UDP_PORT = 5353


def leave_unchecked(pool):
    """Its servers are up, and see no connections but those of clients."""
    for key in ("health_check_interval", "health_check_timeout", "rise", "fall"):
        del pool[key]
    pool["health_check"] = "none"


def passthrough(lab, *, weights=None, workers=0, protocol=None, port=80, family=4, **overrides):
    """A pool of all backends of the lab behind the virtual address. `overrides` are merged into
    the sections of the same name, deeply: backends={"web": {"fall": 1}}."""
    names = lab.backend_names()
    weights = weights or [1] * len(names)
    frontend = {"listen_addr": endpoint(VIPS[family], port), "backend": "web"}
    pool = {
        "health_check_interval": 0.2,
        "health_check_timeout": 0.2,
        "rise": 1,
        "fall": 2,
        "servers": {
            name: {"addr": endpoint(lab.backend_addr(name, family), port), "weight": weight}
            for name, weight in zip(names, weights)
        },
    }
    if protocol:
        frontend["protocol"] = protocol
    if protocol == "udp":
        leave_unchecked(pool)
    config = {
        "mode": "passthrough",
        "stats": {"port": STATS_PORT},
        "passthrough": {"workers": workers},
        "frontends": {"web": frontend},
        "backends": {"web": pool},
    }
    merge(config, overrides)
    return config


def proxy(lab, *, weights=None, port=80, backend_port=80, checked=True, **overrides):
    """As passthrough(), for the mode that runs when none is named. Not `checked`, backends see no
    connections but those of clients."""
    names = lab.backend_names()
    weights = weights or [1] * len(names)
    config = {
        "stats": {"port": STATS_PORT},
        "proxy": {"threads": 2},
        "frontends": {"web": {"listen_addr": f"{VIP}:{port}", "backend": "web"}},
        "backends": {"web": {
            "health_check_interval": 0.2,
            "health_check_timeout": 0.2,
            "rise": 1,
            "fall": 2,
            "servers": {
                name: {"addr": f"{lab.backend_addr(name)}:{backend_port}", "weight": weight}
                for name, weight in zip(names, weights)
            },
        }},
    }
    if not checked:
        leave_unchecked(config["backends"]["web"])
    merge(config, overrides)
    return config


def dsr(lab, method="nat", **overrides):
    """As passthrough(): that section says how DSR captures packets and keeps flows, too."""
    config = passthrough(lab, **overrides)
    config["mode"] = "dsr"
    config["dsr"] = {"method": method, **config.get("dsr", {})}
    return config


def with_environment(config):
    """The configuration with what the environment variables IO and FAST_PATH say of a packet mode's driver,
    unless it says so itself."""
    named = {key: os.environ.get(key.upper()) for key in ("io", "fast_path")}
    if not any(named.values()) or config.get("mode") not in ("passthrough", "dsr"):
        return config
    wanted = {key: value for key, value in named.items() if value}
    return {**config, "passthrough": {**wanted, **config.get("passthrough", {})}}


def merge(target, source):
    for key, value in source.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def to_yaml(config, depth=0):
    lines = []
    for key, value in config.items():
        if isinstance(value, dict):
            lines += [f"{'  ' * depth}{key}:", to_yaml(value, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}{key}: {_value(value)}")
    return "\n".join(lines)


def to_toml(config, path=()):
    tables = {key: value for key, value in config.items() if isinstance(value, dict)}
    lines = [f"[{'.'.join(path)}]"] if path else []
    lines += [f"{key} = {_value(value)}" for key, value in config.items() if key not in tables]
    text = "\n".join(lines) + "\n"
    for key, table in tables.items():
        text += "\n" + to_toml(table, (*path, key))
    return text
