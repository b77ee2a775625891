"""What the tests share: the real binary, one demo for the whole session, and clients of its gateway."""

import json
import pathlib
import subprocess

import httpx
import openai
import pytest

from running import Running, eventually

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUBROSA = ROOT / "target" / "debug" / "subrosa"


class Gateway:
    """A running gateway, asked by OpenAI's client and by plain HTTP."""

    def __init__(self, url, model):
        self.model = model
        self.http = httpx.Client(base_url=url, timeout=60)
        # A retry of the client's own would hide a failure.
        self.openai = openai.OpenAI(
            base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=60
        )

    def ask(self, messages, **members):
        """A whole answer and its receipt."""
        answer, order = self._create(messages, members)
        return answer, self.receipt(order)

    def stream(self, messages, **members):
        """A stream of chunks, and the order whose receipt is kept when it has ended."""
        return self._create(messages, {"stream": True, **members})

    def _create(self, messages, members):
        members = {"model": self.model, "temperature": 0, **members}
        create = self.openai.chat.completions.with_raw_response.create
        answer = create(messages=messages, **members)
        return answer.parse(), answer.headers["x-subrosa-order"]

    def get(self, path):
        answer = self.http.get(f"/subrosa/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def receipts(self):
        """The kept receipts, the newest first."""
        return self.get("receipts")

    def receipt(self, order):
        """The receipt of an order; it is kept when the sealed answer has ended, filler and all."""

        def look():
            return next((kept for kept in self.receipts() if kept["order"] == order), None)

        return eventually(look, f"the receipt of {order} is kept")

    def close(self):
        self.http.close()
        self.openai.close()


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

    def start(self, *arguments, environment=None):
        return Running([SUBROSA, *arguments], environment)


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
