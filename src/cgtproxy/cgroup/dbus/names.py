"""systemd's names on D-Bus (org.freedesktop.systemd1(5))."""

from __future__ import annotations

import re

BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
SYSTEMD = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
UNIT_PATH = MANAGER_PATH + "/unit/"
MANAGER = SYSTEMD + ".Manager"
UNIT = SYSTEMD + ".Unit"
PROPERTIES = "org.freedesktop.DBus.Properties"

# The types of unit whose processes, if only for mounting, run in cgroups of theirs.
_INTERFACES = {
    kind.lower(): f"{SYSTEMD}.{kind}"
    for kind in ("Mount", "Scope", "Service", "Slice", "Socket", "Swap")
}
PATTERNS = [f"*.{kind}" for kind in _INTERFACES]
# systemd.unit(5); what a user's manager says is logged, so a name is not just any text.
_NAME = r"[A-Za-z0-9:_.\\@-]{1,255}"
# A cgroup may outlive a unit in one of these, but no process starts there any more.
ENDED = ("inactive", "failed")
STATES = ["active", "activating", "deactivating", "maintenance", "refreshing", "reloading"]


def unit_name(path: str) -> str:
    """The unit of an object path, empty where it is no unit that has a cgroup."""
    if not path.startswith(UNIT_PATH) or path.rpartition("_2e")[2] not in _INTERFACES:
        return ""
    escaped = path[len(UNIT_PATH) :]
    return re.sub("_([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), escaped)


def unit_path(name: str) -> str:
    """The object path of a unit."""
    return UNIT_PATH + re.sub("[^A-Za-z0-9]|^[0-9]", lambda match: f"_{ord(match[0]):02x}", name)


def interface(name: str) -> str:
    """The interface that has the unit's cgroup, empty where it has none or is no unit's name."""
    kind = name.rpartition(".")[2]
    return _INTERFACES.get(kind, "") if re.fullmatch(_NAME, name) else ""


def is_state(text: str) -> bool:
    """Whether it can be one; there are new ones at times."""
    return bool(re.fullmatch("[a-z-]{1,20}", text))


def user_of(name: str) -> int | None:
    """The user whose manager a unit is."""
    match = re.fullmatch(r"user@([0-9]{1,10})\.service", name)
    return int(match[1]) if match else None
