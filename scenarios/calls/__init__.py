"""Recorded calls, synthesized from scripts, and how well what was understood of them fits what was said."""
