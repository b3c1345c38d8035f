"""How fast the service is, beside its yardsticks: `make bench`."""
