"""What other frameworks hand over: a framework is imported only where it is needed."""
