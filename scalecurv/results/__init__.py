"""The read path: a store as tables, SQL, text, pictures and files of other kinds; loads neither torch nor Ray."""

FORMATS = ("table", "csv", "json", "ndjson", "parquet")  # here, so that the command line's help loads no pandas
