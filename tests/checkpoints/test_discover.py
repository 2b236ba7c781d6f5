"""Which files of a directory are taken for checkpoints, and in which order."""

from pathlib import Path

import pytest

from scalecurv.checkpoints.discover import discover
from scalecurv.errors import Misuse


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def found(folder: Path, **options: list[Path]) -> list[str]:
    return [str(path.relative_to(folder.resolve())) for path in discover([folder], **options)]


def complaint(*paths: Path, **options: list[Path]) -> str:
    with pytest.raises(Misuse) as caught:
        discover(list(paths), **options)
    return str(caught.value)


def test_every_suffix_at_every_depth_and_nothing_else(tmp_path: Path) -> None:
    tree(
        tmp_path, "a.pt", "b.pth", "c.safetensors", "deep/er/d.pt", "log.txt", "problem.json", "e.pt.tmp", "pt", "f.h5"
    )
    (tmp_path / "folder.pt").mkdir()
    assert found(tmp_path) == ["a.pt", "b.pth", "c.safetensors", "deep/er/d.pt"]


def test_numbers_in_names_count_as_numbers(tmp_path: Path) -> None:
    names = ["run2/step_9.pt", "run2/step_10.pt", "run2/step_100.pt", "run10/step_1.pt", "run10/1²2.pt"]
    tree(tmp_path, *reversed(names))
    assert found(tmp_path) == [
        "run2/step_9.pt",
        "run2/step_10.pt",
        "run2/step_100.pt",
        "run10/1²2.pt",
        "run10/step_1.pt",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "optimizer",
        "optim_states",
        "step_1_optimizer",
        "Optimizer",
        "scheduler",
        "sched",
        "rng_state_0",
        "training_args",
        "grad_scaler",
        "scaler",
        "GradScaler",
        "sampler",
        "sampler_1",
        "random_states_0",
        "dataloader_0",
        "data_loader",
        "lr_scheduler",
        "trainer_state",
        "optimizer_1",
        "data",
        "train_data",
        "dataset",
        "data_test",
    ],
)
def test_what_stands_beside_the_weights_is_passed_over(tmp_path: Path, name: str) -> None:
    assert found(tree(tmp_path, "step_1.pt", f"{name}.pt")) == ["step_1.pt"]


@pytest.mark.parametrize(
    "name",
    [
        "optimal.pt",
        "optimum_2.pt",
        "optimised.pt",
        "optimization_5.pt",
        "scheduled_3.pt",
        "model_optim_rng.pt",
        "model_and_optim.pt",
        "upscaler.pt",
        "resampler_3.pt",
        "metadata.pt",
        "data2vec.pt",
    ],
)
def test_words_that_only_look_like_an_optimizer_are_taken(tmp_path: Path, name: str) -> None:
    assert found(tree(tmp_path, name)) == [name]


def test_a_file_named_outright_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    tree(tmp_path, "optimizer.bin", "step_1.pt")
    assert discover([tmp_path / "optimizer.bin"]) == [tmp_path.resolve() / "optimizer.bin"]


def test_data_is_no_checkpoint_found_or_named(tmp_path: Path) -> None:
    tree(tmp_path, "digits.pt", "step_1.pt")
    assert found(tmp_path, exclude=[tmp_path / "sub" / ".." / "digits.pt"]) == ["step_1.pt"]
    named = discover(
        [tmp_path / "digits.pt", tmp_path / "step_1.pt"], exclude=[tmp_path / "digits.pt"]
    )  # as a shell's *.pt
    assert named == [tmp_path.resolve() / "step_1.pt"]


def test_each_file_once_and_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a/step_1.pt", "a/step_2.pt", "b/step_1.pt")
    monkeypatch.chdir(tmp_path)
    paths = discover([Path("b"), Path("a"), Path("a/step_1.pt"), tmp_path])
    assert paths == [tmp_path.resolve() / name for name in ("b/step_1.pt", "a/step_1.pt", "a/step_2.pt")]


def test_links(tmp_path: Path) -> None:
    """A link to what is listed anyway is left out, another keeps its own name; a linked root is followed, a linked
    directory below is not (it may loop)."""
    tree(tmp_path, "run/step_1.pt", "elsewhere/step_7.pt")
    (tmp_path / "run/best.pt").symlink_to("step_1.pt")
    (tmp_path / "run/sub").mkdir()
    (tmp_path / "run/sub/last.pt").symlink_to("../best.pt")
    (tmp_path / "run/itself.pt").symlink_to("itself.pt")
    (tmp_path / "run/far.pt").symlink_to(tmp_path / "elsewhere/step_7.pt")
    (tmp_path / "run/gone.pt").symlink_to("nowhere.pt")  # taken: that it cannot be opened is worth a failure
    (tmp_path / "run/loop").symlink_to(tmp_path / "run")
    (tmp_path / "root").symlink_to("run")
    expected = [tmp_path.resolve() / "run" / name for name in ("far.pt", "gone.pt", "itself.pt", "step_1.pt")]
    assert discover([tmp_path / "run"]) == expected
    assert discover([tmp_path / "root"]) == expected
    assert discover([tmp_path / "run/best.pt"]) == [tmp_path.resolve() / "run/step_1.pt"]


def test_a_link_to_a_nameless_blob_keeps_its_own_name(tmp_path: Path) -> None:
    """As in caches of downloads, where the link alone has a suffix, a step, and neighbours."""
    tree(tmp_path, "blobs/0f3a", "snapshots/main/config.json")
    link = tmp_path / "snapshots/main/step_3.safetensors"
    link.symlink_to("../../blobs/0f3a")
    (tmp_path / "here").symlink_to("snapshots/main")
    kept = [tmp_path.resolve() / "snapshots/main/step_3.safetensors"]
    assert discover([link]) == discover([tmp_path]) == discover([tmp_path / "here/step_3.safetensors"]) == kept


def test_a_folder_that_may_not_be_opened_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "step_1.pt", "lost+found/x.txt")
    is_file = Path.is_file

    def denied(path: Path) -> bool:  # as the system would, were the tests not run by root
        if path.parent.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", denied)
    assert found(tmp_path) == ["step_1.pt"]


def test_nothing_to_analyse(tmp_path: Path) -> None:
    tree(tmp_path, "a/log.txt", "data.pt")
    wanted = "looked for files that end in .pt, .pth, .bin, .ckpt, .safetensors"
    assert complaint(tmp_path / "a") == f"no checkpoint in {tmp_path / 'a'}; {wanted}"
    both = f"{tmp_path / 'a'}, {tmp_path / 'data.pt'}"
    assert (
        complaint(tmp_path / "a", tmp_path / "data.pt", exclude=[tmp_path / "data.pt"])
        == f"no checkpoint in {both}; {wanted}"
    )
    missing = tmp_path / "missing"
    advice = "give a directory of checkpoints, or checkpoint files"
    assert complaint(tmp_path, missing) == f"{missing} does not exist; {advice}"


@pytest.mark.parametrize("address", ["s3://bucket/run", "gs://bucket", "hdfs://node:9000/run"])
def test_a_remote_address_is_refused_with_advice(address: str) -> None:
    advice = "copy or mount it first, and give a path that every worker sees"
    assert complaint(Path(address)) == f"{address} is a remote address; {advice}"


def test_a_folder_that_reads_like_an_address_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "s3:/run/step_1.pt")
    monkeypatch.chdir(tmp_path)
    assert discover([Path("s3:/run")]) == [tmp_path.resolve() / "s3:/run/step_1.pt"]
