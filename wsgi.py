"""The WSGI application: `gunicorn wsgi:app`, `flask --app wsgi`."""

import sys

from wallet_app import create_app
from wallet_app.config import ConfigurationError
from wallet_app.embedded import EmbeddedDatabaseError

try:
    app = create_app()
except (ConfigurationError, EmbeddedDatabaseError) as error:
    sys.exit(f"{error}")
