"""Functions that several architectures deploy."""
