"""Celery: its application, its workers, and the hints that they get."""
