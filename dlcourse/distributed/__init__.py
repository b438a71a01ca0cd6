"""Several processes that train one model: what ``mpirun`` started, and how they talk.

``mpirun -n 4 dlcourse run CONFIG`` starts four processes. Each makes the same batches, computes the gradient of its
share of the samples, and one sum over all ranks makes the gradient of the batch, on a CPU by MPI, on GPUs by NCCL.
"""
