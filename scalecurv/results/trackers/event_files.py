"""Results as event files of TensorBoard: a folder for each run, with its scalars and its hyper-parameters."""

import io
from pathlib import Path
from typing import Any

from scalecurv.errors import Misuse
from scalecurv.results.query import Store
from scalecurv.results.trackers.trajectories import Exported, Trajectory, counted, trajectories
from scalecurv.store.writer import write_atomically

FILE = "events.out.tfevents.0.scalecurv"  # one name, so that a later export takes the place of this one
VERSION = "brain.Event:2"  # of the format, which every event file begins with


def export_events(store: Store, folder: Path) -> Exported:
    """Write the numbers of each run to an event file in a folder of its own below `folder`, and return the counts.

    A number is the scalar curvature/NAME, and the ends of its interval are curvature/NAME_lower and
    curvature/NAME_upper, as float32 at the step of its checkpoint; its time is that of the analysis. Attributes of
    runs are hyper-parameters. A file of an earlier export is replaced as a whole, and files of others stay as they
    are. Raises Misuse where `folder` is a file, cannot be made or lies in the store, and without tensorboard;
    StoreError where the disk is full.
    """
    if store.path.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise Misuse(f"{folder} lies in the store itself; give a folder outside of {store.path}")
    found, left_out = trajectories(store)
    contents = {one.name: _events(one) for one in found}
    for name, content in contents.items():
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misuse(f"{folder / name} cannot be made ({error.strerror}); give a folder to write to") from error
        write_atomically(folder / name / FILE, content)
    return counted(found, left_out)


def _events(one: Trajectory) -> bytes:
    """Return the bytes of an event file."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise Misuse('event files need tensorboard; run `pip install "scalecurv[trackers]"`') from error
    buffer, start = io.BytesIO(), min(point.time for point in one.points)
    records = RecordWriter(buffer)

    def write(**fields: Any) -> None:
        records.write(Event(**fields).SerializeToString(deterministic=True))

    write(wall_time=start, file_version=VERSION)
    if one.attributes:
        write(wall_time=start, summary=hparams_pb(one.attributes, trial_id=one.identity, start_time_secs=start))
    for point in one.points:
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in point.values.items()]
        write(wall_time=point.time, step=point.step, summary=Summary(value=scalars))
    return buffer.getvalue()
