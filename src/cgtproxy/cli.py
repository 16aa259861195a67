"""The command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cgtproxy import __version__
from cgtproxy.errors import CgtproxyError, ExitCode

DESCRIPTION = """\
Send each app's traffic where you want it: direct, nowhere, or through a proxy.

Without a command, run the daemon in the foreground. It watches cgroups
(systemd runs every app and service in its own) and keeps nftables and policy
routing in line with the rules of its configuration. It needs CAP_NET_ADMIN and
no other privilege.
"""

EPILOG = """\
examples:
  cgtproxy check                  check the configuration and the permissions
  cgtproxy rules -c new.yaml      print the nftables ruleset for new.yaml
  systemctl reload cgtproxy       apply a changed configuration (SIGHUP)

files:
  /etc/cgtproxy/config.yaml       see cgtproxy.yaml(5); without it all is direct
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code (sysexits(3): 78 configuration, 77 privilege)."""
    arguments = _parser().parse_args(argv)
    try:
        code = _run(arguments)
        print(end="", flush=True)  # not at exit, where nobody catches a reader that went away
        return code
    except CgtproxyError as error:
        # The faults of a file have its name and position in front, as editors want them.
        faults = error.exit_code == ExitCode.CONFIG
        print(error if faults else f"cgtproxy: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: argparse.Namespace) -> int:
    # Each command imports what it needs when it runs: `check` must not wait for the daemon's.
    match arguments.command, getattr(arguments, "what", None):
        case "check", what:
            from cgtproxy.commands.check import check

            return check(arguments.config, what)
        case "rules", _:
            from cgtproxy.commands.rules import rules

            return rules(arguments.config)
        case "proxy", _:
            from cgtproxy.commands.proxy import proxy

            return proxy(arguments.config, arguments.log_level)
        case "clear", _:
            from cgtproxy.commands.clear import clear

            return clear()
        case "config", "schema":
            from cgtproxy.commands.schema import schema

            return schema()
        case "install-service", _:
            from cgtproxy.commands.service import install

            return install()
        case "uninstall-service", _:
            from cgtproxy.commands.service import uninstall

            return uninstall()
        case _:
            from cgtproxy.commands.run import run

            return run(arguments.config, arguments.log_level, serve=not arguments.no_proxy)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cgtproxy",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cgtproxy {__version__}")
    _common(parser, None)
    parser.add_argument(
        "--no-proxy",
        action="store_true",
        help="do not start the built-in server; run `cgtproxy proxy` instead",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    check = commands.add_parser("check", help="check the configuration and the permissions")
    _common(check, argparse.SUPPRESS)
    check.add_argument(
        "what",
        nargs="?",
        choices=("config", "permission", "proxy"),
        help="check only this (default: config and permission); proxy: has a TPROXY an upstream?",
    )
    rules = commands.add_parser("rules", help="print the nftables ruleset; change nothing")
    _common(rules, argparse.SUPPRESS)
    proxy = commands.add_parser("proxy", help="run the built-in TPROXY server alone")
    _common(proxy, argparse.SUPPRESS)
    commands.add_parser("clear", help="remove the table, ip rules and routes of a killed instance")
    config = commands.add_parser("config", help="about the configuration file")
    _common(config, argparse.SUPPRESS)
    config.add_argument("what", choices=("schema",), help="print the JSON Schema for editors")
    commands.add_parser(
        "install-service", help="install systemd units, a user and an example configuration"
    )
    commands.add_parser("uninstall-service", help="remove what install-service installed")
    return parser


def _common(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Options that stand before or after the command."""
    parser.add_argument(
        "-c", "--config", metavar="FILE", default=default, help="the configuration file"
    )
    parser.add_argument(
        "--log-level",
        metavar="LEVEL",
        default=default,
        help="debug, info, warning or error (default: $LOG_LEVEL, else info)",
    )
