"""The command line of the sandbox. Importing it imports no web server."""

import argparse
import math
import sys
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sandbox to a parser."""
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8095, metavar="P", help="port; 0 picks one (default: 8095)")
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="SQLite file to keep projects in (default: memory only)"
    )
    parser.add_argument("--token", metavar="T", help="the token to accept (default: a fixed one, which is printed)")
    parser.add_argument(
        "--latency-ms",
        type=_milliseconds,
        default=0.0,
        metavar="L",
        help="milliseconds to wait before each response (default: 0)",
    )
    parser.add_argument(
        "--faults",
        metavar="SPEC",
        help="faults to simulate: a JSON file, or a text such as 'lost-after=0.2,429=0.05,seed=7' (docs/sandbox.md)",
    )


def run(chosen: argparse.Namespace) -> int:
    """Serve the sandbox until Ctrl-C. Returns the exit code: 0 after an interrupt, 2 if it could not start."""
    from label_studio_sandbox.faults import BadFaults, from_argument
    from label_studio_sandbox.server import serve

    try:
        faults = from_argument(chosen.faults) if chosen.faults is not None else None
    except BadFaults as bad:
        print(f"error: --faults: {bad}.", file=sys.stderr)
        return 2
    return serve(chosen.port, chosen.data, chosen.token, chosen.latency_ms, chosen.host, faults)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a whole number from 0 to 65535")
    return int(text)


def _milliseconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds, 0 or more")
    return number
