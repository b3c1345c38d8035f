"""How gunicorn serves: the worker that gunicorn.conf.py configures."""
