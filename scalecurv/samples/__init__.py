"""Samples as people hold them: arrays, nested containers of arrays, datasets and loaders, taken apart by rows."""
