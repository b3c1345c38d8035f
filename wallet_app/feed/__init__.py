"""The feed: the journal's rows in one order that everybody can follow."""
