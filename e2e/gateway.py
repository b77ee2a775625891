"""A running gateway, asked as programs ask it."""

import httpx
import openai

from running import eventually


class Gateway:
    """OpenAI's client and plain HTTP, pointed at one gateway."""

    def __init__(self, url, model, token="unused"):
        self.model = model
        self.http = httpx.Client(base_url=url, timeout=60)
        # A retry of the client's own would hide a failure.
        self.openai = openai.OpenAI(
            base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=60
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
