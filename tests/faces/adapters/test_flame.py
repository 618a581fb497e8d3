"""FLAME from generated pickles of its layout, and pickles that would run code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from faces.adapters import flame
from faces.morphable import EYES, SKIN
from problems import InvalidPackage
from tests.faces.adapters.generated_models import EXPRESSIONS, IDENTITIES, head_parts, write_flame


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_vertices_components_and_eyeballs_come_back(tmp_path: Path, protocol: int) -> None:
    head = head_parts(SKIN, EYES)
    read = flame.read(write_flame(tmp_path / "generic_model.pkl", head, protocol=protocol))
    assert np.abs(read.mean - head.vertices).max() < 0.05
    assert np.abs(read.identity[..., :IDENTITIES] - head.identity).max() < 0.05
    assert read.identity.shape[-1] == 300
    assert read.expression.shape[-1] == EXPRESSIONS + 3  # and three turns of the jaw
    assert (read.part == head.part).all()  # the eyeballs are found as two unconnected balls
    assert read.triangles.tolist() == head.triangles.tolist()


def test_the_jaws_turn_moves_only_the_jaw(tmp_path: Path) -> None:
    head = head_parts(SKIN, EYES)
    opened = flame.read(write_flame(tmp_path / "generic_model.pkl", head)).expression[..., EXPRESSIONS]
    chin = np.argmin(np.linalg.norm(head.vertices - np.array([3.0, -127.0, 114.0]), axis=1))
    assert opened[chin, 1] < -10.0  # .35 radians about a joint 80 mm behind the chin
    assert np.abs(opened[head.vertices[:, 1] > 20]).max() < 0.5


class Command:
    """Runs a command when an ordinary unpickler meets it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    path, marker = tmp_path / "generic_model.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"v_template": Command(marker)}, protocol))
    with pytest.raises(InvalidPackage, match=r"refused unread: it names (posix|os)\.system"):
        flame.read(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()  # an ordinary unpickler would have run it


@pytest.mark.parametrize(
    "name",
    [b"builtins\neval", b"numpy\nload", b"numpy.testing\nrun_module_suite", b"chumpy\nos.system", b"scipy\nio.loadmat",
     b"numpy.core.multiarray\n_reconstruct.__globals__"],
)  # fmt: skip
def test_other_names_are_refused(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(b"c" + name + b"\n(S'1+1'\ntR.")
    with pytest.raises(InvalidPackage, match="refused unread"):
        flame.read(path)


def test_a_chumpy_name_stays_inert(tmp_path: Path) -> None:
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(b"(dS'v_template'\ncchumpy.utils\nsystem\n(S'touch x'\ntRs.")
    with pytest.raises(InvalidPackage, match="neither array"):
        flame.read(path)


def test_memory_can_not_be_reserved_by_a_short_file(tmp_path: Path) -> None:
    path = tmp_path / "generic_model.pkl"
    for content in (b"\x80\x04K\x01r\xff\xff\xff\x7f.", b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00x."):
        path.write_bytes(content)
        with pytest.raises(InvalidPackage):
            flame.read(path)


def changed(path: Path, name: str, value: object) -> None:
    """A plain pickle of the arrays that matter, one of them replaced."""
    head = head_parts(SKIN)
    content = {
        "v_template": head.vertices / 1000, "shapedirs": head.identity / 1000, "f": head.triangles, name: value,
    }  # fmt: skip
    path.write_bytes(pickle.dumps(content, 2))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("v_template", np.full((len(head_parts(SKIN).vertices), 3), np.nan), "NaN"),
        ("v_template", np.zeros((12, 3)), "mm large"),
        ("v_template", "text", "v_template is missing"),
        ("shapedirs", np.zeros((5, 3, 2)), "shapedirs has the shape"),
        ("f", np.full((9, 3), 10**6), "names vertex"),
        ("f", np.array([[object()]]), "refused unread|not an array|dtype"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, name: str, value: object, message: str) -> None:
    changed(tmp_path / "generic_model.pkl", name, value)
    with pytest.raises(InvalidPackage, match=message):
        flame.read(tmp_path / "generic_model.pkl")


def test_arrays_without_chumpy_and_without_joints_load(tmp_path: Path) -> None:
    changed(tmp_path / "flame2023.pkl", "kintree_table", np.zeros((2, 5)))
    read = flame.read(tmp_path / "flame2023.pkl")
    assert read.version == "flame2023"
    assert any("no joints" in note for note in read.missing)


def test_a_cut_off_pickle_is_refused(tmp_path: Path) -> None:
    path = write_flame(tmp_path / "generic_model.pkl")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InvalidPackage, match="damaged"):
        flame.read(path)
