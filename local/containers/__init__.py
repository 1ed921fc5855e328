"""Programs that play AWS's container images on this machine."""
