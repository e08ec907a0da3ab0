"""How long layers take on a CPU, in float and in int8, and which of them int8 makes faster."""
