"""What goes wrong on the way to a server and back, made to go wrong on purpose, and the same way each time.

It exists because a promise about lost answers and late commits is worth what it was tried against. A `Fault` says what
happens to which requests, `Faults` holds several with a seed, and `Injector` (in `injecting`) stands between a route and
its handler and carries them out. All three read the same words: a file of JSON, one argument, the header of one request.
"""

from label_studio_sandbox.faults.model import BadFaults, Fault, Faults
from label_studio_sandbox.faults.parsing import from_argument, from_file, from_text

__all__ = ["BadFaults", "Fault", "Faults", "from_argument", "from_file", "from_text"]
