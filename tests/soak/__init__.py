"""Load that comes and goes for as long as is wanted, with faults; what must hold at its end."""
