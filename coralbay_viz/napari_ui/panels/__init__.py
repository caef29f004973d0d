"""The sections of the dock widget: each shows what the session says and calls its commands, and decides nothing."""
