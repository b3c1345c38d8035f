"""The currencies that are configured besides those of ISO 4217."""

from wallet_app.config import ConfigurationError, Settings
from wallet_app.ledger import money


def configure(settings: Settings) -> None:
    """Know the currencies of WALLET_CURRENCIES; raises ConfigurationError."""
    try:
        money.configure(read(settings.currencies))
    except ValueError as error:
        raise ConfigurationError(f"WALLET_CURRENCIES: {error}") from error


def read(text: str) -> dict[str, int]:
    """Digits by code, of text such as POINTS:0,BTC:8; raises ValueError."""
    currencies: dict[str, int] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        code, _, digits = part.partition(":")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 2):
            raise ValueError(f"{part}: give a code and its digits, such as BTC:8")
        if code in currencies:
            raise ValueError(f"{code} is there twice")
        currencies[code] = int(digits)
    return currencies
