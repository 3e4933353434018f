"""`python -m label_studio_sandbox`: the sandbox in the foreground."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from label_studio_sandbox.faults import BadFaults, from_argument
from label_studio_sandbox.server import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 after an interrupt, 2 where it could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m label_studio_sandbox", description="A stand-in for Label Studio Enterprise."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="SQLite file that keeps everything (default: memory)")
    parser.add_argument("--token", help="legacy token (default: a fixed one, printed at the start)")
    parser.add_argument("--latency-ms", type=float, default=0, help="delay of every answer (default: none)")
    parser.add_argument(
        "--faults", help="what goes wrong: a file of JSON, or for example 'lost-after=0.2,429=0.05,seed=7'"
    )
    given = parser.parse_args(arguments)
    try:
        faults = from_argument(given.faults) if given.faults is not None else None
    except BadFaults as exc:
        print(f"--faults: {exc}.", file=sys.stderr)
        return 2
    return serve(given.port, given.data, given.token, given.latency_ms, given.host, faults)


if __name__ == "__main__":
    sys.exit(main())
