"""Stages the handlers for a target."""
