"""Where records rest: immutable HDF5 parts, read together. Imports neither torch nor ray."""
