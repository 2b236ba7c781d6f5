"""The words that define each column of a store's tables, for files that are exported and for the documents."""

_EVERYWHERE = {
    "fingerprint": "sha256 of the tensors of the model, by which equal contents are known",
    "task_id": "identity of the data, the loss and the model: a row of tasks",
    "dtype": "floating point type of the products",
    "seed": "seed of the random probes",
    "created": "time of the computation, since 1970-01-01 UTC",
    "attempt": "number of the attempt that gave the row, 1 for the first",
    "key": "identity of one measure with its options at one content",
    "measure": "name of the measure",
    "version": "version of the measure, which rises when its numbers change",
    "rtol": "relative half-width that was asked for; infinite where it was not recorded",
    "max_matvecs": "most products that were allowed; -1 where it was not recorded",
    "memory": "most bytes that temporaries were allowed; -1 where it was not recorded",
    "provenance_id": "identity of the versions and the machine: a row of provenance",
    "path": "absolute path of the checkpoint",
    "run": "training run, the directory of its checkpoints unless said otherwise",
}
_OF_TABLES = {
    "checkpoints": {
        "architecture": "layers of the model, as JSON",
        "status": "ok, partial where some measure failed, or failed",
        "error": "reason where the checkpoint failed",
        "step": "training step",
        "num_params": "number of parameters P",
        "total_matvecs": "products with the Hessian and other operators, each counted once",
        "epoch": "training epoch",
    },
    "estimates": {
        "quantity": "name of the number: a row of quantities",
        "component": "layer, parameter or block of parameters; empty for the whole model",
        "method": "route by which the number was computed",
        "status": "grounds on which the interval may be believed",
        "num_samples": "independent samples in the value",
        "num_matvecs": "products that the value needed, those that it shares with others included",
        "value": "the number, in the unit of its quantity",
        "stderr": "standard error of sampling, in the unit of its quantity",
        "lower": "lower end of the interval, in the unit of its quantity",
        "upper": "upper end of the interval, in the unit of its quantity",
        "confidence": "probability with which the interval holds the truth",
        "seconds": "time that the measure took",
    },
    "arrays": {
        "name": "name of the array",
        "values": "the numbers of the array",
    },
    "tasks": {
        "data_path": "path of the data",
        "split": "split of the data; empty where it has none",
        "data_fingerprint": "sha256 of the data",
        "loss": "name of the loss",
        "reduction": "mean or sum over the samples",
        "model": "mlp, or the factory of the model",
        "activation": "activation function of an MLP",
        "weights": "key of the weights in each file, as --weights gives it; empty where none was given",
        "ignored": "pattern of names of tensors that were left out, as --ignore gives it; empty where none was given",
        "num_data": "number of samples N",
        "num_outputs": "number of outputs of one sample D",
        "num_available": "number of samples before some were drawn; 0 where it was not recorded",
        "sample_seed": "seed that the samples were drawn with; -1 where all were used",
        "weight_decay": "factor w of w |theta|^2 / 2 in the loss",
    },
    "provenance": {
        "versions": "versions of the libraries, as JSON",
        "device": "device of the computation",
        "host": "name of the machine",
        "git": "commit of this program's source",
        "config": "options that say how to compute, as JSON",
        "threads": "number of threads; 0 where it was not recorded",
    },
    "files": {
        "size": "size of the file",
        "mtime_ns": "time of the last change, since 1970-01-01 UTC",
        "inode": "number of the file in its file system",
    },
    "runs": {"attributes": "attributes of the run by name, as a JSON object"},
    "moves": {
        "path": "former path of checkpoints that were renamed",
        "moved_to": "path that they were renamed to",
        "created": "rows of the former path that are older than this are not read, since 1970-01-01 UTC",
    },
    "quantities": {
        "quantity": "name of the number",
        "meaning": "words that define it",
        "unit": "unit, in powers of loss and theta (the parameters)",
        "integer": "1 for whole numbers",
        "derived": "1 where it is computed from other quantities",
    },
}


def meaning_of(table: str, column: str) -> str:
    """Return the words that define a column of a table of the schema.

    Example:
        >>> meaning_of("checkpoints", "num_params"), meaning_of("files", "dtype")
        ('number of parameters P', 'floating point type of the products')
    """
    return _OF_TABLES[table].get(column) or _EVERYWHERE[column]
