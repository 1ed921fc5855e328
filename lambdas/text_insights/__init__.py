"""Functions of the architecture `text-insights`."""
