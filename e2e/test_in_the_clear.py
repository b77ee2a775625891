"""There is no plaintext fallback: a pod that is asked outside the seal says what to use instead."""

import ssl

import httpx
import openai
import pytest

MESSAGES = [{"role": "user", "content": "The operator could read this."}]


@pytest.fixture(scope="module")
def endpoint(gateway):
    """Where an accepted pod answers."""
    return next(pod["endpoint"] for pod in gateway.get("pods") if pod["accepted"])


@pytest.fixture(scope="module")
def stranger():
    """A caller who takes any certificate, as curl -k does."""
    anything = ssl.create_default_context()
    anything.check_hostname = False
    anything.verify_mode = ssl.CERT_NONE
    with httpx.Client(verify=anything, timeout=60) as client:
        yield client


def test_the_openai_client_is_sent_to_the_gateway(endpoint, stranger):
    client = openai.OpenAI(
        base_url=f"{endpoint}/v1", api_key="unused", max_retries=0, http_client=stranger
    )
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model="smollm2", messages=MESSAGES)
    assert refused.value.status_code == 421
    assert refused.value.code == "plaintext_refused"
    assert "subrosa gateway" in refused.value.message
    assert MESSAGES[0]["content"] not in refused.value.message


@pytest.mark.parametrize("path", ["/v1/models", "/v1/completions", "/api/chat", "/api/generate"])
def test_no_plaintext_path_is_served(endpoint, stranger, path):
    for answer in [stranger.get(endpoint + path), stranger.post(endpoint + path, json={})]:
        assert answer.status_code == 421
        assert answer.json()["error"]["code"] == "plaintext_refused"


def test_a_question_that_is_not_sealed_is_not_read(endpoint, stranger):
    body = {"model": "smollm2", "messages": MESSAGES}
    answer = stranger.post(f"{endpoint}/subrosa/v1/ask", json=body)
    assert answer.status_code == 415
    assert MESSAGES[0]["content"] not in answer.text


def test_without_tls_nothing_is_answered(endpoint):
    with pytest.raises(httpx.TransportError):
        httpx.get(endpoint.replace("https://", "http://") + "/v1/models", timeout=60)
