"""Readers of tagged images; a data set differs from another only in here."""
