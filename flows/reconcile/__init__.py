"""Store and Prefect kept in step: the dispatcher, the reconciler, housekeeping."""
