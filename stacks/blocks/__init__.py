"""Constructs that several stacks share: few, each with one purpose."""
