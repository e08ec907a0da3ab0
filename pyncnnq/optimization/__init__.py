"""What makes int8 models more accurate: changes of the float model and its table that leave the float outputs as they
are."""
