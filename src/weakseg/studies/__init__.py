"""Studies: experiments that end in a table, a CSV and a figure."""
