"""Architectures that read documents."""
