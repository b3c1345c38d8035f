"""The WSGI application: `gunicorn wsgi:app`, `flask --app wsgi`."""

import sys

from wallet_app import create_app
from wallet_app.config import ConfigurationError
from wallet_app.standalone.embedded import EmbeddedDatabaseError

try:
    app = create_app()
except (ConfigurationError, EmbeddedDatabaseError) as error:
    print(error, file=sys.stderr)  # noqa: T201
    # gunicorn would restart a worker that ends in any other way, for ever.
    sys.exit(3)
