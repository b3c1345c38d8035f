"""What happens in the service, for whoever wants to follow it."""
