"""Does everything end well on a small device? ``python -m bench.memory``."""
