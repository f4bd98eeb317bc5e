"""Benchmarks, run by hand: ``make bench``. They measure the shipped product from outside."""
