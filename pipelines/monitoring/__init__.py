"""The model monitor: what an endpoint was asked, against what its model was trained with.

It runs as a Processing job, from an archive that holds the folder `pipelines/`:

    python3 -m pipelines.monitoring.baseline ...    the baseline of a model, in the training pipeline
    python3 -m pipelines.monitoring.monitor ...     the report of one window, every hour
    python3 -m pipelines.monitoring.analyzer        the same two, under the contract of Model Monitor's own container

The scripts take their folders as arguments and know nothing of where they run. They need numpy and scipy; matplotlib
where a plot is asked for. Imports are relative, so that the folder may lie anywhere in an archive.
"""
