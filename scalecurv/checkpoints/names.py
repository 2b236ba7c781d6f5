"""The canonical name of a parameter: what is left when wrappers have been taken off."""

from collections.abc import Iterable

PREFIXES = ("module.", "_orig_mod.", "state_dict.", "model.", "net.")


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Each name as given -> its canonical name: wrappers' prefixes that every name carries are stripped."""
    given = list(names)
    stripped = given
    while prefix := next((p for p in PREFIXES if stripped and all(n.startswith(p) for n in stripped)), None):
        stripped = [name.removeprefix(prefix) for name in stripped]
    return dict(zip(given, stripped, strict=True))
