"""Runs every suite in vendors/, each against a sandbox of its own, and counts.

A suite is a function `suite(test, open, serve)`: `open()` starts a sandbox (`open(faults="throttle=1")` one in which things go
wrong) and gives what it says of itself; `serve(connections, env)` starts a daemon, for what loopd receives itself; `@test("title")`
notes a test. Tests run one after another.
"""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

COUNT, WANTED = sys.argv[1], sys.argv[2:]
running = []
homes = []


def open_sandbox(faults=""):
    """A sandbox on free ports; it ends by itself if nobody ends it."""
    args = [os.environ["LOOPD"], "sandbox", "--json", "--seed", "1", "--for", "900"]
    child = subprocess.Popen(args + (["--faults", faults] if faults else []), stdout=subprocess.PIPE, text=True)
    running.append(child)
    return json.loads(child.stdout.readline())


class Daemon:
    """`loopd run` with these connections (TOML), on a ledger and a port of its own."""

    def __init__(self, connections, env):
        home = pathlib.Path(tempfile.mkdtemp(prefix="loopd-sdk-"))
        homes.append(home)
        self.config = home / "config.toml"
        self.env = {**os.environ, **env}
        self.config.write_text(
            f"[ledger]\npath = {json.dumps(str(home / 'ledger'))}\n"
            '[http]\nlisten = "127.0.0.1:0"\npublic_url = "https://loopd.example.com"\n[log]\nformat = "json"\n' + connections
        )
        # What it says goes to a file: nobody empties a pipe here.
        log = home / "log"
        with log.open("w") as sink:
            child = subprocess.Popen([os.environ["LOOPD"], "--config", self.config, "run"], env=self.env, stderr=sink)
        running.append(child)
        self.url = f"http://{self.address(child, log)}"

    @staticmethod
    def address(child, log):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and child.poll() is None:
            for line in log.read_text().splitlines():
                if '"loopd is ready"' in line:
                    return json.loads(line)["address"]
            time.sleep(0.02)
        raise RuntimeError(f"loopd run is not ready: {log.read_text()}")

    def ask(self, *words):
        """What a command says of it: `ask("usage")`."""
        command = [os.environ["LOOPD"], "--config", self.config, "--json", *words]
        return json.loads(subprocess.run(command, env=self.env, stdout=subprocess.PIPE, check=True).stdout)


def serve(connections, env=()):
    return Daemon(connections, dict(env))


def close():
    while running:
        child = running.pop()
        child.kill()
        child.wait()
    while homes:
        shutil.rmtree(homes.pop(), ignore_errors=True)


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
        module.suite(test, open_sandbox, serve)
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
