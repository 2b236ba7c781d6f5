"""The store of records: immutable HDF5 parts that are read together. It imports neither torch nor ray."""
