"""All parameters as one vector, and back."""

from collections.abc import Iterable

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.linear import concatenate

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """(P,): all numbers of the parameters, one after another; gradients go back to them.

    Raises:
        ValueError: there is no parameter.
    Example:
        >>> layer = nn.Linear(2, 3)
        >>> vector = nn.utils.parameters_to_vector(layer.parameters())
        >>> vector.shape
        (9,)
        >>> nn.utils.vector_to_parameters(0 * vector, layer.parameters())
        >>> layer.weight.sum().item()
        0.0
    """
    flat = [parameter.reshape(-1) for parameter in parameters]
    if not flat:
        raise ArgumentError("parameters_to_vector: expected parameters, such as model.parameters(), got none")
    return concatenate(flat)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Parameter]) -> None:
    """Copy the numbers of a vector (P,) into the parameters, in order: the way back.

    Raises:
        ShapeError: there are not as many numbers as the parameters have.
    """
    vec, parameters = as_tensor(vec), list(parameters)
    sizes = [parameter.size for parameter in parameters]
    if vec.shape != (sum(sizes),):
        raise ShapeError(f"vector_to_parameters: expected ({sum(sizes)},) numbers, got {vec.shape}")
    start = 0
    for parameter, size in zip(parameters, sizes, strict=True):
        values = vec.data[start : start + size].reshape(parameter.shape)
        parameter.assign(backend.of(parameter.master).asarray(values, dtype=parameter.master.dtype))
        start += size
