"""From a trained model and a folder of images to all that an application needs to run it in int8."""
