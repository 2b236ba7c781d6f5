"""The data that the loss is taken over: arrays from files of any format, directories of them, or user code."""
