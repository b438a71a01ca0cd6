"""PyTorch's own sample inputs for its operators, modules and optimizers, run there and here (``torch.testing``)."""
