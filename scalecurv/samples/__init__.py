"""Samples as people hold them: arrays, containers of arrays, data sets and loaders; one sample is one row."""
