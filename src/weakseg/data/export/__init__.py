"""Masks in the formats of other tools: one file per format, listed in `weakseg.data.export.formats`."""
