"""The models behind the stand-in services. Each loads on first use, and once a process."""
