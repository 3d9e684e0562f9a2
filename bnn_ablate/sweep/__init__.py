"""Many runs: which ones a command line asks for, training them side by side, and what became of them."""
