"""How much one address, and one key, may ask for in a while."""

from wallet_app.limits.limiting import Limits

__all__ = ["Limits"]
