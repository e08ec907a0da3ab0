"""Registries: named things of one kind, to which packages outside add by Python entry points."""
