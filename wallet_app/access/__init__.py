"""Who may do what: API keys, the gate before the API, tenants, and the audit log."""

from wallet_app.access.gate import check_again, init_app, still_admitted

__all__ = ["check_again", "init_app", "still_admitted"]
