"""The local cloud, and `python -m local`, its command line."""

# The name of the cloud that a command uses where none is given.
DEFAULT_CLOUD = "default"
# The name that stands for a LocalStack: a core that a command started, or the user's own.
LOCALSTACK = "localstack"
