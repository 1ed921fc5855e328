"""Speech that the project makes itself: see `voices`."""
