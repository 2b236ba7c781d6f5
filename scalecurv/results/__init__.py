"""The read path: a store as tables, SQL, text, pictures and files of other kinds; loads neither torch nor Ray."""
