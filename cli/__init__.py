"""The `easel` command: start everything, render a picture, find out what is wrong.

The topmost room: it may import every other one, and nothing imports it. What a command needs is
imported when it runs, so that `easel --help` answers at once.
"""
