"""Masks of images that are sent over HTTP: a small server around a trained network."""
