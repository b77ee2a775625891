"""A team's own pod, without a chain, in front of a real Ollama server.

Ollama is the cache's, which `make ollama` builds, or that of SUBROSA_OLLAMA. Without one these
tests are skipped, unless SUBROSA_REQUIRE_OLLAMA=1 asks for them.
"""

import hashlib
import json
import os
import pathlib
import subprocess

import pytest

import digests
from gateway import Gateway
from running import PATIENCE_S, Running
from team import Team

CACHE = pathlib.Path(
    os.environ.get("SUBROSA_CACHE")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "subrosa"
)
OLLAMA = pathlib.Path(os.environ.get("SUBROSA_OLLAMA") or CACHE / "ollama-0.6.5" / "ollama")
WEIGHTS = CACHE / "models" / f"sha256-{digests.SMOLLM2_SHA256}"
NAME, TAG = "smollm2", "team"


def need(holds, reason):
    """Skips where the tests may be skipped, and fails where they were asked for."""
    if not holds and os.environ.get("SUBROSA_REQUIRE_OLLAMA") == "1":
        pytest.fail(reason)
    if not holds:
        pytest.skip(reason)


class Ollama:
    """A real server in a folder of its own, with SmolLM2 imported."""

    def __init__(self, folder):
        self.models_dir = folder / "models"
        environment = {
            **os.environ,
            "HOME": str(folder),
            "OLLAMA_HOST": "127.0.0.1:0",
            "OLLAMA_MODELS": str(self.models_dir),
            "OLLAMA_NUM_PARALLEL": "1",
        }
        self._server = Running([OLLAMA, "serve"], environment)
        address = self._server.line(r"Listening on (127\.0\.0\.1:\d+)")[1]
        self.url = f"http://{address}"
        modelfile = folder / "Modelfile"
        modelfile.write_text(f"FROM {WEIGHTS}\n")
        environment["OLLAMA_HOST"] = address
        create = [OLLAMA, "create", f"{NAME}:{TAG}", "-f", modelfile]
        subprocess.run(create, env=environment, check=True, capture_output=True, timeout=PATIENCE_S)

    def stop(self):
        # It ends its runner on this signal.
        self._server.interrupt()


@pytest.fixture(scope="module")
def ollama(tmp_path_factory):
    need(OLLAMA.is_file(), f"there is no Ollama at {OLLAMA}: run make ollama")
    need(WEIGHTS.is_file(), "SmolLM2 is not in the cache: run subrosa models pull smollm2")
    with WEIGHTS.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digests.SMOLLM2_SHA256
    server = Ollama(tmp_path_factory.mktemp("ollama"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def team(subrosa, ollama, tmp_path_factory):
    backend = f"""
[backend.ollama]
url = "{ollama.url}"
models_dir = "{ollama.models_dir}"
model = "{NAME}:{TAG}"
"""
    team = Team(
        subrosa,
        tmp_path_factory.mktemp("team"),
        image="our-team/ollama",
        model=digests.ollama_model(ollama.models_dir, NAME, TAG),
        backend=backend,
    )
    yield team
    assert team.stop() == [0, 0]


@pytest.fixture(scope="module")
def gateway(team):
    gateway = Gateway(team.url, model=f"{NAME}:{TAG}")
    yield gateway
    gateway.close()


def test_the_pod_is_accepted_for_the_files_that_ollama_loads(gateway, ollama):
    [pod] = gateway.get("pods")
    assert pod["accepted"], pod["reason"]
    assert pod["simulated"]
    [model] = pod["models"]
    assert model["digest"] == digests.ollama_model(ollama.models_dir, NAME, TAG)
    assert model["name"] == f"{NAME}:{TAG}"
    assert [model.id for model in gateway.openai.models.list()] == [f"{NAME}:{TAG}"]


def test_a_streamed_answer_of_ollama_leaves_a_receipt_that_verifies(
    gateway, team, subrosa, tmp_path
):
    question = [{"role": "user", "content": "What is the capital of France?"}]
    stream, order = gateway.stream(
        question, max_tokens=64, stream_options={"include_usage": True}
    )
    *pieces, last = stream
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert "Paris" in text
    assert len(pieces) > 4
    assert pieces[-1].choices[0].finish_reason == "stop"

    receipt = gateway.receipt(order)
    assert receipt["verified"]
    assert receipt["outcome"] == "complete"
    assert receipt["charged"] == "0"
    counted = (receipt["input_tokens"], receipt["output_tokens"])
    assert counted == (last.usage.prompt_tokens, last.usage.completion_tokens)

    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(gateway.get(f"receipts/{order}")))
    report = subrosa.json("verify", file, "--network", team.network)
    assert report["verdict"] == "accepted"
    assert report["simulated"]
    assert report["releases_from"] == "as the network file pins them"


def test_ollama_keeps_the_bound_of_tokens(gateway):
    story = [{"role": "user", "content": "Tell me a long story."}]
    answer, receipt = gateway.ask(story, max_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert receipt["outcome"] == "limit"
