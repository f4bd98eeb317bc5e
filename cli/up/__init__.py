"""``easel up``: all parts of Easel, started and kept running."""
