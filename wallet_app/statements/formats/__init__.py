"""A statement's content as a file: the same content always gives the same bytes."""
