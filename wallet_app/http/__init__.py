"""What every blueprint shares: exact JSON, strict parsing, problems, fields, pages."""
