"""Tasks: functions that run in a job, call the core and return a result."""
