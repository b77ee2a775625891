"""What the tests share: the real binary, one demo for the whole session, and its gateway."""

import json
import os
import pathlib
import subprocess

import pytest

from gateway import Gateway
from running import Running, kill_all

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUBROSA = ROOT / "target" / "debug" / "subrosa"

# A person's own wallet and network file must not reach the tests, and no proxy their requests.
SETTINGS = ["SUBROSA_STATE_DIR", "SUBROSA_NETWORK", "SUBROSA_WALLET", "SUBROSA_PASSPHRASE"]
for setting in SETTINGS:
    os.environ.pop(setting, None)
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


def pytest_sessionfinish():
    kill_all()


class Subrosa:
    """The command line."""

    def run(self, *arguments):
        return subprocess.run(
            [SUBROSA, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def json(self, *arguments):
        """What a command that must succeed prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments):
        return Running([SUBROSA, *arguments], os.environ)


@pytest.fixture(scope="session")
def subrosa():
    assert SUBROSA.is_file(), f"{SUBROSA} is missing: run make build"
    return Subrosa()


class Demo:
    """`subrosa demo`, after its story: chain, pods and gateway stay up until ctrl-c."""

    def __init__(self, subrosa, folder):
        self._running = subrosa.start("demo", "--folder", folder)
        self.network = folder / "network.toml"
        self._running.line("ctrl-c ends everything")

    def text(self):
        return self._running.text()

    def url(self):
        """The gateway's, out of the very line that a person would paste."""
        return self._running.line(r"curl (http://\S+)/v1/chat/completions")[1]

    def stop(self):
        return self._running.interrupt()


@pytest.fixture(scope="session")
def demo(subrosa, tmp_path_factory):
    demo = Demo(subrosa, tmp_path_factory.mktemp("demo"))
    yield demo
    assert demo.stop() == 0


@pytest.fixture(scope="session")
def network(demo):
    return demo.network


@pytest.fixture(scope="session")
def gateway(demo):
    gateway = Gateway(demo.url(), model="smollm2")
    yield gateway
    gateway.close()
