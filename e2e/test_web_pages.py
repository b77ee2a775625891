"""A web page that a browser has open must not spend its visitor's money, nor read what is here."""

import pytest

CHAT = {
    "model": "smollm2",
    "max_tokens": 2,
    "messages": [{"role": "user", "content": "Spend the visitor's money."}],
}

# What a page can make a browser send, and the refusal that meets it.
ATTACKS = {
    "another origin": ({"origin": "http://evil.example"}, 403, "origin_refused"),
    "an origin without a name": ({"origin": "null"}, 403, "origin_refused"),
    "an empty origin": ({"origin": ""}, 403, "origin_refused"),
    "a name that was pointed at loopback": ({"host": "evil.example"}, 403, "host_refused"),
    "another site": ({"sec-fetch-site": "cross-site"}, 403, "origin_refused"),
    "a sister site": ({"sec-fetch-site": "same-site"}, 403, "origin_refused"),
}
FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]


def assert_refused(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    # With this header a browser would let the page read the answer.
    assert "access-control-allow-origin" not in answer.headers
    assert "x-subrosa-order" not in answer.headers


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_page_cannot_ask(gateway, attack):
    headers, status, code = ATTACKS[attack]
    before = gateway.receipts()
    answer = gateway.http.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert_refused(answer, status, code)
    assert gateway.receipts() == before


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_page_cannot_read_receipts(gateway, attack):
    headers, status, code = ATTACKS[attack]
    assert_refused(gateway.http.get("/subrosa/v1/receipts", headers=headers), status, code)


@pytest.mark.parametrize("content_type", FORMS)
def test_a_form_cannot_ask(gateway, content_type):
    before = gateway.receipts()
    answer = gateway.http.post(
        "/v1/chat/completions",
        content=b'{"model":"smollm2","messages":[{"role":"user","content":"Hi"}]}',
        headers={"content-type": content_type},
    )
    assert_refused(answer, 415, "content_type_refused")
    assert gateway.receipts() == before


def test_a_page_gets_no_leave_to_send_json(gateway):
    preflight = {
        "origin": "http://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    answer = gateway.http.options("/v1/chat/completions", headers=preflight)
    assert_refused(answer, 403, "origin_refused")
