"""What all tests share: nothing of the user's is read or written, whatever runs."""

import atexit
import os
import shutil
import tempfile

# Set before anything imports Prefect, which reads its profiles then.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="stencil-tests-prefect-")
for name in (
    "PREFECT_API_URL",
    "PREFECT_PROFILE",
    "LABEL_STUDIO_URL",
    "LABEL_STUDIO_API_KEY",
    "STENCIL_SANDBOX_DATA",
    "STENCIL_ALLOW",
):
    os.environ.pop(name, None)
os.environ["DO_NOT_TRACK"] = "1"
# Workbooks are read as by those who install the extra `excel`, without lxml, which the tests' packages bring along.
os.environ.setdefault("OPENPYXL_LXML", "False")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
