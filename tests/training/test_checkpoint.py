from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def _checkpoint(step: int = 7, **state: object) -> Checkpoint:
    torch.manual_seed(step)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return Checkpoint(
        step=step,
        modules={"layer": layer.state_dict()},
        optimizers={"adam": optimizer.state_dict()},
        state={"fingerprint": {"size": 64, "seed": 1}, "losses": [0.5, 0.25], **state},
        rng=torch.Generator().manual_seed(step).get_state(),
    )


def test_a_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    saved, path = _checkpoint(), tmp_path / "deep" / "render" / "checkpoint.pt"
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path)
    assert loaded is not None
    assert (loaded.step, loaded.state) == (saved.step, saved.state)
    for name, tensor in saved.modules["layer"].items():
        assert torch.equal(loaded.modules["layer"][name], tensor)
    before, after = saved.optimizers["adam"]["state"][0], loaded.optimizers["adam"]["state"][0]
    assert torch.equal(before["exp_avg"], after["exp_avg"])
    generator = torch.Generator()
    generator.set_state(loaded.rng)
    assert torch.equal(
        torch.rand(4, generator=generator), torch.rand(4, generator=torch.Generator().manual_seed(7))
    )
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]


def test_there_may_be_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None
    assert load_checkpoint(tmp_path) is None  # a folder


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.98])
def test_a_truncated_file_counts_as_none(tmp_path: Path, share: float) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, _checkpoint())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert load_checkpoint(path) is None


@pytest.mark.parametrize("content", [b"not a checkpoint at all", b"\x80\x02garbage", b"\0" * 300])
def test_a_foreign_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    assert load_checkpoint(path) is None


def test_content_of_another_kind_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for content in ({"step": 1}, [1, 2], {**vars(_checkpoint()), "more": 1}):
        torch.save(content, path)
        assert load_checkpoint(path) is None


class _Trap:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.mark,)


def test_no_code_in_the_file_runs(tmp_path: Path) -> None:
    path, mark = tmp_path / "checkpoint.pt", tmp_path / "ran"
    torch.save({**vars(_checkpoint()), "state": {"trap": _Trap(str(mark))}}, path)
    assert load_checkpoint(path) is None
    path.write_bytes(pickle.dumps(_Trap(str(mark)), protocol=2))
    assert load_checkpoint(path) is None
    assert not mark.exists()


def test_another_runs_checkpoint_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, _checkpoint())
    assert load_checkpoint(path, fingerprint={"size": 64, "seed": 1}) is not None
    assert load_checkpoint(path, fingerprint={"seed": 1, "size": 64}) is not None
    assert load_checkpoint(path, fingerprint={"size": 64, "seed": 2}) is None
    assert load_checkpoint(path, fingerprint={"size": 64}) is None


def test_a_failed_write_keeps_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, _checkpoint(1))
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(path, _checkpoint(2, bad=lambda: None))
    loaded = load_checkpoint(path)
    assert loaded is not None
    assert loaded.step == 1
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_kill_while_writing_keeps_the_last_one(tmp_path: Path, repo: Path) -> None:
    """The process dies by SIGKILL between the bytes and the rename."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, _checkpoint(1))
    script = (
        "import os, signal, sys, torch; from pathlib import Path; from training import checkpoint as c;"
        "os.replace = lambda a, b: os.kill(os.getpid(), signal.SIGKILL);"
        "c.save_checkpoint(Path(sys.argv[1]), c.Checkpoint(2, {}, {}, {}, torch.zeros(1, dtype=torch.uint8)))"
    )
    died = subprocess.run([sys.executable, "-c", script, str(path)], cwd=repo, check=False)
    assert died.returncode == -9
    loaded = load_checkpoint(path)
    assert loaded is not None
    assert loaded.step == 1
