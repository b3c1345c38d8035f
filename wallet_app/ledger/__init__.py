"""The money core: knows no HTTP, no Celery, no marshmallow."""
