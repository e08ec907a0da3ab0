"""Files and folders that outlive no run by accident: locks, files replaced as one, temporary folders."""
