"""The Celery application: `celery -A celery_worker:celery worker`."""

from wallet_app import create_app

# Not named app: `celery -A` would take the Flask application for its own.
celery = create_app().extensions["celery"]
