"""What the loops of each source's kernels may ask of a GPU: kept where it was once reached, for sm_80 and sm_90."""

from typing import NamedTuple


class Budget(NamedTuple):
    """Attributes:
    in_flight: loads that some loop has on their way at a time, with accesses of
    bytes: of so many at least.
    divisions: the most by integers known at run time only in any one loop.
    fma: of a loop without divisions at least so many percent are multiply-adds.
    anywhere: the most of such divisions in the whole kernel, where those outside loops count too.
    """

    in_flight: int = 0
    bytes: int = 0
    divisions: int = 0
    fma: int = 0
    anywhere: int | None = None


BUDGETS: dict[str, dict[str, Budget]] = {
    "activation": {
        r"(relu|relu_grad|add|add_relu)_\w+": Budget(3, 16),
        r"((sigmoid|silu|gelu(_tanh)?)(_grad)?|normal_cdf|error_function)_(float|half|bfloat16)": Budget(1, 16),
    },
    "conv": {
        r"patches_(float|double)": Budget(4, 16),
        r"patches_(half|bfloat16)": Budget(3, 16),
        r"fold_float": Budget(4, 16, divisions=8),  # in a table of the kernel's rows and columns
    },
    "conv_tiles_16_float": {
        r"conv_(forward|weight_grad)_16_float": Budget(9, 4, fma=37),
        r"conv_(forward|weight_grad)_16_fours_float": Budget(3, 16, fma=42),
        r"conv_input_grad_16_float": Budget(9, 4, divisions=4, fma=37),  # divisions in such a table
        r"conv_input_grad_16_fours_float": Budget(3, 16, divisions=4, fma=42),
    },
    "conv_tiles_32_float": {
        r"conv_(forward|weight_grad)_32_float": Budget(10, 4, fma=48),
        r"conv_(forward|weight_grad)_32_fours_float": Budget(4, 16, fma=59),
        r"conv_input_grad_32_fours_float": Budget(4, 16, divisions=4, fma=59),
    },
    "loss": {r"cross_entropy_\w+": Budget(7, 4)},
    "optim": {
        r"(adam|rmsprop)_step(_each)?_float": Budget(4, 16),
        r"(adagrad|sgd)_step(_each)?_float": Budget(2, 16),
        r"(average_step|clip)_float": Budget(4, 16),
        r"squares_float": Budget(1, 16),
        r"penalty_float": Budget(2, 16),
    },
    "device_batch": {
        r"device_batch_rows": Budget(4, 16),
        r"device_batch_(bytes|same)_(float|double)": Budget(1, 16),
        r"device_batch_(bytes|same)_(half|bfloat16)": Budget(1, 8),
    },
    "images": {r"image_batch_(bytes|same)_(float|double)": Budget(1, 16)},
    "linear": {
        r"relu_bias_grad_(float|double)": Budget(8, 16),
        r"relu_bias_grad_(half|bfloat16)": Budget(8, 8),
        r"column_sums_(float|double)": Budget(4, 16),
        r"column_sums_(half|bfloat16)": Budget(4, 8),
        r"gelu_tanh_bias_grad_float": Budget(3, 16),
        r"gelu_tanh_bias_grad_(half|bfloat16)": Budget(3, 8),
    },
    "pool": {
        r"(max|avg)_pool_2x2_(float|double)": Budget(4, 16),
        r"(max|avg)_pool_2x2_(half|bfloat16)": Budget(3, 8),
        r"max_pool_grad_2x2_float": Budget(2, 16),
        r"(max|avg)_pool(_grad)?_\w+": Budget(0, 0, divisions=0),
    },
    "random": {r"dropout_\w+": Budget(0, 16), r"masked_\w+": Budget(4, 16)},
    "recurrent": {r"\w+_(float|double)": Budget(anywhere=0)},
    "scaling": {r"(widen|narrow|refresh_half_weights)_\w+": Budget(3, 16), r"unscale_\w+": Budget(2, 16)},
}
"""For each source, by a regular expression that names its kernels."""
