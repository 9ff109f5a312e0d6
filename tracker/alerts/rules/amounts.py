"""Numbers as people read them in a notice."""

import re
from decimal import Decimal


class Amount(float):
    """A number that formats such as ``.6g`` write without an exponent: 12345700 and 0.00000812."""

    def __format__(self, form: str) -> str:
        text = super().__format__(form)
        return re.sub(r"[0-9.]+e[+-][0-9]+", _written_out, text) if form.endswith("g") else text


def _written_out(number: re.Match[str]) -> str:
    return f"{Decimal(number[0]):f}"
