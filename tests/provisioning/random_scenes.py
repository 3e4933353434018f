"""Scenes drawn at random: all that can go wrong, alone and together."""

import random
from collections.abc import Callable

from tests.provisioning.scenes import COLOR, OTHER_COLOR, Scene, Start, Visit
from tests.provisioning.simulated import READS, Down, Fault, Imports

Draw = random.Random

_VISITS = ["by hand", "rename", "move", "describe", "rewrite", "annotate", "delete", "shift", "shift"]


def random_scene(seed: int) -> Scene:
    """The scene of a seed."""
    draw = Draw(seed)
    order, left_out = draw.choice(["", "", "", "oldest", "shuffled", "pinned"]), draw.choice([0.0, 0.0, 0.0, 0.1, 1.0])
    # Where each look reads the whole list, many rows take long to play and show nothing more.
    rows = draw.choice([1, 1, 2, 3, 5, 8, 15, 30, 15 if order or left_out else 120])
    names = "abc"[: draw.choice([1, 1, 1, 2, 2, 3])]
    steps = draw.random() < 0.25
    return Scene(
        rows=rows,
        starts=tuple(_start(draw, name, rows, steps=steps) for name in names),
        faults=tuple(_fault(draw, names, rows) for _ in range(draw.choice([0, 0, 1, 2, 4, 8]))),
        share=draw.choice([0.0, 0.0, 0.1, 0.3, 0.5]),
        seed=draw.randrange(2**16),
        visits=tuple(
            Visit(draw.randint(1, 6 * rows * len(names)), draw.choice(_VISITS), draw.randrange(min(rows, 5)))
            for _ in range(draw.choice([0, 0, 0, 1, 4]))
        ),
        lag=draw.choice([0.0, 0.0, 0.0, 1.0, 1.0, 20.0, 120.0, 600.0]),
        older=draw.choice([0, 5, 25]),
        steps=steps,
        order=order,
        left_out=left_out,
        down=tuple(_down(draw) for _ in range(draw.choice([0, 0, 0, 1, 2]))),
        imports=_imports(draw) if steps and draw.random() < 0.7 else None,
    )


def _start(draw: Draw, name: str, rows: int, *, steps: bool) -> Start:
    # After five minutes what another batch left is gone on with.
    at = draw.choice([0.0, 0.0, 0.005, 0.3, 5.0, 40.0, *((310.0, 312.0) if steps else ())])
    return Start(
        name,
        at=at,
        dies_at=draw.choice([0, 0, draw.randint(2, (6 if steps else 2) * rows + 6)]),
        dies_on=draw.choice(["", "", "", "IMPORT", "STATE"]) if steps else "",
        stops_at=draw.choice([0, 0, 0, draw.randint(2, 2 * rows + 6)]),
        stops_for=draw.choice([1.0, 20.0, 70.0, 400.0]),
        color=draw.choice([COLOR, COLOR, COLOR, OTHER_COLOR]),
        at_once=draw.choice([1, 4, 8, 1000]),
        cancelled_at=tuple(
            draw.randint(2, (6 if steps else 3) * rows + 6) for _ in range(draw.choice([0, 0, 0, 1, 2]))
        ),
    )


def _imports(draw: Draw) -> Imports:
    return Imports(
        slowest=draw.choice([0.0, 1.0, 5.0, 40.0, 900.0]),
        fails=draw.choice([0.0, 0.0, 0.3, 1.0]),
        counted=draw.choice([0.0, 0.0, 2.0, 20.0]),
        seed=draw.randrange(2**16),
    )


def _down(draw: Draw) -> Down:
    return Down(
        draw.choice([0.1, 0.5, 2.0, 30.0]),
        draw.choice([1.0, 10.0, 48.0, 500.0, 700.0]),
        draw.choice(["refused", "502", "504"]),
    )


def _fault(draw: Draw, names: str, rows: int) -> tuple[str, str, int, Fault]:
    method = draw.choice(["POST", "PATCH", "DELETE", "POST", "PATCH", "DELETE", "IMPORT", *READS])
    # Tasks that a server imports twice by itself can't be taken back: the row fails and says so.
    kinds = _READS if method in READS else _IMPORTS if method == "IMPORT" else _WRITES
    fault = draw.choice(kinds)(draw)
    return draw.choice(names), method, draw.randint(1, 2 * rows + 2), fault


_READS: list[Callable[[Draw], Fault]] = [lambda draw: Fault(lost="before")]
_IMPORTS: list[Callable[[Draw], Fault]] = [
    lambda draw: Fault(lost=draw.choice(["unsent", "before", "after"])),
    lambda draw: Fault(lost="late", seconds=draw.uniform(0.01, 55), delay=draw.choice([0.0, 1.0])),
    lambda draw: Fault(throttled=draw.choice([0.5, 3.0]), status=draw.choice([0, 503])),
    lambda draw: Fault(status=draw.choice([400, 400, 401, 409]), field=draw.choice(["color", "title"])),
    lambda draw: Fault(delay=draw.uniform(0.01, 5)),
]
_WRITES: list[Callable[[Draw], Fault]] = [
    *_IMPORTS,
    lambda draw: Fault(copies=draw.randint(1, 4), lost=draw.choice(["", "after"])),
    lambda draw: Fault(throttled=draw.choice([0.5, 3.0]), status=draw.choice([0, 503]), copies=1),
    # An answer that trickles is given up after 90 seconds, and whatever it was about may have been carried out.
    lambda draw: Fault(trickles=90.0, lost=draw.choice(["before", "after"])),
    lambda draw: Fault(echo=draw.choice(["stale", "other"])),
    lambda draw: Fault(status=403, copies=draw.randint(0, 1)),
]
