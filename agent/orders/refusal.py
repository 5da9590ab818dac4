"""Why an order, or a command, is not followed, in OpenC2's numbers (Language Specification 1.0, section 3.3.2.1)."""

PROCESSING, OK = 102, 200
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 400, 401, 403, 404
INTERNAL_ERROR, NOT_IMPLEMENTED, UNAVAILABLE = 500, 501, 503


class Refusal(Exception):
    """An order that is not followed: ``code`` and a sentence for both sides. ``signed``: its issuer did sign it."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text, self.signed = code, text, False
        super().__init__(f"{code}: {text}")
