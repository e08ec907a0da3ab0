"""What int8 did to a model: outputs, accuracy, speed and size beside the float model, and which layers are to blame."""
