"""Gateways of strangers on the demo's network: with a token, without money, without caution."""

import openai
import pytest

from gateway import Gateway
from team import ready

TOKEN = "a-token-of-the-test-0123456789"


@pytest.fixture(scope="module")
def stranger(subrosa, network, tmp_path_factory):
    """A gateway that demands a token, of a payer who holds nothing."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "passphrase").write_text("correct horse battery staple\n")
    (folder / "token").write_text(f"{TOKEN}\n")
    own = ["--state-dir", folder, "--passphrase-file", folder / "passphrase", "--network", network]
    subrosa.json("wallet", "new", *own)
    listen = ["--listen", "127.0.0.1:0", "--token-file", folder / "token"]
    process = subrosa.start("gateway", *own, *listen, "--json")
    told = ready(process)
    assert told["simulated"]
    assert (told["accepted"], told["pods"]) == (2, 3)
    yield f"http://{told['address']}"
    assert process.interrupt() == 0


def test_the_clients_key_is_the_token(stranger):
    gateway = Gateway(stranger, "smollm2", token=TOKEN)
    assert "smollm2" in {model.id for model in gateway.openai.models.list()}
    gateway.close()


def test_without_the_token_nothing_is_told(stranger):
    gateway = Gateway(stranger, "smollm2", token="another-token-0123456789")
    with pytest.raises(openai.AuthenticationError) as refused:
        gateway.openai.models.list()
    assert refused.value.code == "token_refused"
    for path in ["status", "pods", "receipts", "balance"]:
        answer = gateway.http.get(f"/subrosa/v1/{path}")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "token_refused"
    gateway.close()


def test_a_payer_without_money_is_told_so(stranger):
    gateway = Gateway(stranger, "smollm2", token=TOKEN)
    with pytest.raises(openai.APIStatusError) as refused:
        gateway.ask([{"role": "user", "content": "What is a rose?"}], max_tokens=4)
    assert refused.value.status_code == 402
    assert refused.value.code == "insufficient_funds"
    assert "rose" not in refused.value.message
    gateway.close()


def test_beyond_loopback_a_gateway_without_a_token_does_not_start(subrosa, network, tmp_path):
    (tmp_path / "passphrase").write_text("correct horse battery staple\n")
    own = ["--state-dir", tmp_path, "--passphrase-file", tmp_path / "passphrase"]
    subrosa.json("wallet", "new", *own)
    done = subrosa.run("gateway", *own, "--network", network, "--listen", "0.0.0.0:0")
    assert done.returncode == 1
    assert "--token-file" in done.stderr
    assert done.stdout == ""
