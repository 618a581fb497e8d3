"""Read the arrays of a pickle without running anything that it names.

FLAME comes as a Python 2 pickle of numpy arrays, scipy sparse matrices and chumpy objects. Nothing of numpy, scipy or
chumpy is called while it is read: their names stand for inert records here, from which the arrays are made afterwards.
Any other name is refused.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from faces.adapters.foreign import Checked


class Inert:
    """Whatever the pickle builds: its arguments and its state, nothing else."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *arguments: Any) -> Inert:
        made = object.__new__(cls)
        made.arguments = arguments
        return made

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Ndarray(Inert):
    pass


class _Dtype(Inert):
    pass


class _Scalar(Inert):
    pass


class _Sparse(Inert):
    pass


class _Chumpy(Inert):
    pass


def _encode(text: str, _encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


def _reconstructor(kind: Any, _base: Any, _state: Any) -> Any:
    if not (isinstance(kind, type) and issubclass(kind, Inert)):
        raise pickle.UnpicklingError("an object of an unknown kind")
    return kind()


_NUMPY = {"_reconstruct": _Ndarray, "ndarray": _Ndarray, "dtype": _Dtype, "scalar": _Scalar}
_PLAIN = {
    ("copy_reg", "_reconstructor"): _reconstructor, ("copyreg", "_reconstructor"): _reconstructor,
    ("_codecs", "encode"): _encode, ("__builtin__", "object"): Inert, ("builtins", "object"): Inert,
}  # fmt: skip
_SPARSE = {"csc_matrix", "csr_matrix", "coo_matrix", "csc_array", "csr_array"}


class _Reader(
    pickle._Unpickler
):  # the one in Python: the one in C can be made to reserve any amount of memory
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        top = module.split(".")[0]
        if top == "numpy" and name in _NUMPY:
            return _NUMPY[name]
        if top == "scipy" and name in _SPARSE:
            return _Sparse
        if top == "chumpy" and "." not in name:
            return _Chumpy
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no model needs")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside the file")


def read_pickle(path: Path, check: Checked) -> dict[str, Any]:
    """The top dictionary with arrays instead of inert records; entries that are no arrays are left out.

    Raises:
        InvalidPackage: damaged, or it names anything but arrays.
    """
    check.size(path.name, (path.stat().st_size,), 2)
    try:
        content = _Reader(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise check.refuse(f"it is refused unread: {error}") from error
    except Exception as error:  # a damaged pickle makes its reader raise anything
        raise check.refuse(f"it is damaged or no pickle ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise check.refuse("it does not hold a dictionary")
    arrays: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Inert):
            try:
                arrays[key] = _array(value, check, 0)
            except (TypeError, ValueError, KeyError, IndexError, AttributeError, MemoryError) as error:
                raise check.refuse(f"{key} is not an array that can be read ({error})") from error
    return arrays


def _array(record: Any, check: Checked, depth: int) -> NDArray[Any]:
    if depth > 4:
        raise check.refuse("its objects are nested too deeply")
    if isinstance(record, _Ndarray):
        _, shape, kind, fortran, content = record.state
        dtype = np.dtype(str(kind.arguments[0])).newbyteorder(kind.state[1] if kind.state else "=")
        if dtype.kind not in "fiub":
            raise check.refuse(f"an array has the dtype {dtype}")
        raw = content.encode("latin1") if isinstance(content, str) else bytes(content)
        check.size("an array", tuple(shape))
        return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    if isinstance(record, _Sparse):
        state = record.state
        data, index, starts = (
            _array(state[name], check, depth + 1) for name in ("data", "indices", "indptr")
        )
        rows, columns = (int(n) for n in state.get("_shape", state.get("shape")))
        check.size("a sparse matrix", (rows, columns))
        if not len(starts) == columns + 1 or not (np.diff(starts) >= 0).all() or starts[-1] != len(data):
            raise check.refuse("a sparse matrix is not in compressed columns")
        if len(index) != len(data) or (len(index) and not 0 <= index.min() <= index.max() < rows):
            raise check.refuse("a sparse matrix names rows that it does not have")
        return np.asarray(sparse.csc_matrix((data, index, starts), (rows, columns)).toarray())
    if isinstance(record, _Chumpy):
        state = record.state if isinstance(record.state, dict) else {}
        if "x" in state:
            return _array(state["x"], check, depth + 1)
    raise check.refuse("an entry is neither array, sparse matrix nor plain chumpy value")
