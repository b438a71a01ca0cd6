"""The subcommands of ``dlcourse``, a file each; see ``dlcourse/cli.py`` for what one consists of."""
