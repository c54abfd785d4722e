"""How currencies are written where nobody said: € for EUR."""


def usual_symbol(code: str) -> str:
    """The symbol of a currency; empty where it has none but its code."""
    # Needed when a unit is made, which is once: no command should wait for languages to be read.
    from babel.numbers import get_currency_symbol

    found: str = get_currency_symbol(code, locale="en")
    return "" if found == code else found
