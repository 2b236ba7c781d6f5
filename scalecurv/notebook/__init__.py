"""The functions of a notebook or a script: a Problem in, a number, an operator or a Findings out."""
