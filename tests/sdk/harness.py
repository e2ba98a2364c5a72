"""Runs every suite in vendors/, each against a sandbox of its own, and counts.

A suite is a function `suite(test, open)`: `open()` starts a sandbox (`open(faults="throttle=1")` one in which things go wrong)
and gives what it says of itself; `@test("title")` notes a test. Tests run one after another.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import traceback

COUNT, WANTED = sys.argv[1], sys.argv[2:]
running = []


def open_sandbox(faults=""):
    """A sandbox on free ports; it ends by itself if nobody ends it."""
    args = [os.environ["LOOPD"], "sandbox", "--json", "--seed", "1", "--for", "900"]
    child = subprocess.Popen(args + (["--faults", faults] if faults else []), stdout=subprocess.PIPE, text=True)
    running.append(child)
    return json.loads(child.stdout.readline())


def close():
    while running:
        child = running.pop()
        child.terminate()
        child.wait()


passed = failed = 0
for file in sorted(pathlib.Path(__file__).with_name("vendors").glob("*.py")):
    vendor = file.stem
    if WANTED and vendor not in WANTED:
        continue
    tests = []

    def test(title):
        return lambda body: tests.append((title, body))

    def broken(error):
        raise error

    try:
        # Under a name of its own: the client may be called like the vendor.
        spec = importlib.util.spec_from_file_location(f"suite_of_{vendor}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.suite(test, open_sandbox)
    except Exception as error:  # whatever it is, it is told as a failure
        tests.append(("its suite begins", lambda error=error: broken(error)))
    for title, body in tests:
        try:
            body()
            passed += 1
            print(f"ok      {vendor} (python): {title}")
        except Exception:
            failed += 1
            print(f"NOT OK  {vendor} (python): {title}\n{traceback.format_exc(limit=-4, chain=False)}")
    close()

pathlib.Path(COUNT).write_text(f"{passed} {failed}\n")
sys.exit(1 if failed else 0)
