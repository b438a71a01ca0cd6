"""Differentiable functions, one file a family; ``dlcourse.functional`` gathers what each lists in ``__all__``."""
