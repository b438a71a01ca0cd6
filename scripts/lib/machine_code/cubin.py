"""A CUDA source as machine code, and the machine code as text. A cubin, not PTX: PTX lets instructions through that the
architecture has not got, and has neither registers nor spills."""

import json
import os
import shutil
import struct
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from dlcourse.backend.cuda.program import OPTIONS
from machine_code import nvrtc

CUPY_OPTIONS = "-ftz=true", "--device-as-default-execution-space"
"""What CuPy adds for every source: numbers below 1e-38 become zero; functions are the device's by default."""
FRAME, REGISTERS = 0x11, 0x2F
"""Attributes in the section .nv.info: bytes of local memory and registers of a thread."""


def missing_nvrtc() -> str | None:
    """Why nothing can be compiled here, if so."""
    return None if nvrtc.installed() else "no NVRTC (extra: ci)"


def compile_to_cubin(code: str, architecture: int, version: str = "") -> nvrtc.Compiled:
    """By the NVRTC of that version ("13.0"), else by the first that is here."""
    libraries = nvrtc.installed()
    library = libraries[version] if version else next(iter(libraries.values()))
    return nvrtc.compiled(library, code, (*OPTIONS, *CUPY_OPTIONS, f"-arch=sm_{architecture}"))


def attributes(cubin: bytes) -> dict[str, dict[int, int]]:
    """``attributes(cubin)[function][FRAME]``, for each attribute that is one number of a function."""
    (start,), (size, count, names) = struct.unpack_from("<Q", cubin, 0x28), struct.unpack_from("<3H", cubin, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", cubin, start + i * size) for i in range(count)]
    sections = {_text(cubin, headers[names][4] + header[0]): header for header in headers}
    symbols, strings = sections[".symtab"], sections[".strtab"][4]
    found: dict[str, dict[int, int]] = {}
    _, _, _, _, at, length, *_ = sections[".nv.info"]
    end = at + length
    while at < end:
        kind, attribute, extra = struct.unpack_from("<BBH", cubin, at)
        if kind == 4 and extra == 8:
            symbol, value = struct.unpack_from("<II", cubin, at + 4)
            (name,) = struct.unpack_from("<I", cubin, symbols[4] + symbol * symbols[9])
            found.setdefault(_text(cubin, strings + name), {})[attribute] = value
        at += 4 + (extra if kind == 4 else 0)
    return found


def _text(cubin: bytes, at: int) -> str:
    return cubin[at : cubin.index(0, at)].decode()


def disassembler() -> str | None:
    """The path of nvdisasm: of the wheel nvidia-cuda-nvdisasm, else of a CUDA toolkit; None where there is none."""
    found = sorted(Path(sysconfig.get_paths()["purelib"], "nvidia").glob("*/bin/nvdisasm"))
    if found:
        return str(found[-1])
    toolkits = [str(Path(os.environ.get(name, "/nowhere"), "bin")) for name in ("CUDA_PATH", "CUDA_HOME")]
    return shutil.which("nvdisasm") or shutil.which(
        "nvdisasm", path=os.pathsep.join([*toolkits, "/usr/local/cuda/bin"])
    )


def missing_disassembler() -> str | None:
    """Why nothing can be disassembled here, if so."""
    return None if disassembler() else "no nvdisasm: pip install nvidia-cuda-nvdisasm (extra: ci)"


def disassemble(cubin: bytes) -> dict[str, list[dict[str, Any]]]:
    """The instructions of each kernel, as nvdisasm's JSON has them: ``opcode``, ``operands``, ``predicate``."""
    tool = disassembler()
    if tool is None:
        raise FileNotFoundError(missing_disassembler())
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        done = subprocess.run([tool, "-json", file.name], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nvdisasm: {done.stderr.strip()}")
    return {each["function-name"]: each["sass-instructions"] for each in json.loads(done.stdout)[1]}
